# mender_base_tree: mender_tree is where the device tree is: that of the slot's file, else the one that U-Boot's name for the board has in
# the slot's directory, else U-Boot's own.
setenv mender_base_tree 'setenv mender_tree;
if test -n "${fdt}"; then
  if load ${mender_root} ${fdt_addr_r} /${fdt}; then
    setenv mender_tree ${fdt_addr_r};
  else
    echo "The device tree /${fdt} of partition ${mender_slot} does not load: trying another.";
  fi;
fi;
if test -z "${mender_tree}"; then
  if test -n "${fdtdir}"; then
    setenv mender_named ${fdtfile};
    if test -z "${fdtfile}"; then setenv mender_named ${fdt_file}; fi;
    if test -z "${mender_named}"; then
      if test -n "${soc}"; then setenv mender_named ${soc}-${board}${boardver}.dtb; fi;
    fi;
    if test -n "${mender_named}"; then
      if load ${mender_root} ${fdt_addr_r} /${fdtdir}/${mender_named}; then setenv mender_tree ${fdt_addr_r}; fi;
    fi;
  fi;
fi;
if test -z "${mender_tree}"; then setenv mender_tree ${fdt_addr}; fi;
if test -z "${mender_tree}"; then setenv mender_tree ${fdtcontroladdr}; fi'

# mender_device_tree: the device tree with the slot's overlays. One that cannot be applied spoils the tree: then the slot starts without
# any, since a device that starts can be updated.
setenv mender_device_tree 'run mender_base_tree;
if test -n "${overlays}"; then
  setenv mender_applied no;
  if test "${mender_tree}" = "${fdt_addr_r}"; then
    if fdt addr ${mender_tree}; then setenv mender_applied yes; fi;
  else
    if fdt addr ${mender_tree}; then
      if fdt move ${mender_tree} ${fdt_addr_r}; then
        setenv mender_tree ${fdt_addr_r};
        setenv mender_applied yes;
      fi;
    fi;
  fi;
  if test ${mender_applied} = yes; then fdt resize 10000; fi;
  for mender_overlay in ${overlays}; do
    if test ${mender_applied} = yes; then
      setenv mender_applied no;
      if load ${mender_root} ${ramdisk_addr_r} /${mender_overlay}; then
        if fdt apply ${ramdisk_addr_r}; then setenv mender_applied yes; fi;
      fi;
      if test ${mender_applied} = no; then echo "The overlay /${mender_overlay} cannot be applied: starting without overlays."; fi;
    fi;
  done;
  if test ${mender_applied} = no; then run mender_base_tree; fi;
fi'
