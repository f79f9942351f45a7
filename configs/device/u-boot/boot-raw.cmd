# Starts the root filesystem that the environment of this U-Boot names. U-Boot itself, built with the update client's own scripts in its
# environment, counts the trials and goes back; this script asks it which partition that is. Made with the image.
#
# Of this language: numbers are hexadecimal; there are no functions, `run` of a variable stands for them.

if test -z "${devtype}"; then setenv devtype mmc; fi
if test -z "${devnum}"; then setenv devnum 0; fi
@ADDRESSES@
setexpr mender_slot_env ${mender_memory} + 5000

@DEVICE_TREES@
run mender_setup
setenv mender_slot ${mender_boot_part}
setenv mender_slot_hex @ROOT_A_HEX@
setenv mender_uuid @ROOT_A_PARTUUID@
if test "${mender_slot}" = @ROOT_B_NUMBER@; then
  setenv mender_slot_hex @ROOT_B_HEX@
  setenv mender_uuid @ROOT_B_PARTUUID@
fi
setenv mender_root "${devtype} ${devnum}:${mender_slot_hex}"
setenv kernel
setenv initrd
setenv fdtdir
setenv fdt
setenv overlays
setenv args
if load ${mender_root} ${mender_slot_env} /boot/mender-slot.env 4000; then
  env import -t ${mender_slot_env} ${filesize} kernel initrd fdtdir fdt overlays args
fi
if test -z "${kernel}"; then setenv kernel vmlinuz; setenv initrd initrd.img; fi
if load ${mender_root} ${kernel_addr_r} /${kernel}; then
  @DEVICE_TREE@
  setenv mender_ramdisk -
  if test -n "${initrd}"; then
    if load ${mender_root} ${ramdisk_addr_r} /${initrd}; then setenv mender_ramdisk ${ramdisk_addr_r}:${filesize}; fi
  fi
  setenv bootargs "@ARGUMENTS@"
  if itest.l *${kernel_addr_r} == 56190527; then bootm ${kernel_addr_r} ${mender_ramdisk} ${mender_tree}; fi
  if itest.l *${kernel_addr_r} == edfe0dd0; then bootm ${kernel_addr_r} ${mender_ramdisk} ${mender_tree}; fi
  @BOOT_COMMAND@ ${kernel_addr_r} ${mender_ramdisk} ${mender_tree}
fi
echo "No kernel of partition ${mender_slot} starts."
run mender_try_to_recover
sleep 30
reset
