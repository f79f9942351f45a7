# Chooses the root filesystem, notes a trial before it starts, and goes back when an update does not prove itself.
# Made with the image: what depends on its disk was filled in then.
#
# The environment is kept twice, in U-Boot's own format: a checksum, a serial number, the variables. A write goes to the copy that is
# not believed, so the only good copy is never written to. What this script cannot write is written by the system that it starts,
# which learns its slot from the argument mender.slot. U-Boot's own environment is not used: saveenv would freeze its defaults.
#
# Of this language: numbers are hexadecimal; there are no functions, `run` of a variable stands for them; a command that fails or is
# missing is false. Of the environment only the names in mender_names are read and kept.

setenv mender_names "bootcount mender_boot_part mender_boot_part_hex upgrade_available mender_check_saveenv_canary mender_saveenv_canary mender_systemd_machine_id mender_uboot_separator"

if test -z "${devtype}"; then setenv devtype mmc; fi
if test -z "${devnum}"; then setenv devnum 0; fi
if test -z "${distro_bootpart}"; then setenv distro_bootpart 1; fi
setenv mender_boot "${devtype} ${devnum}:${distro_bootpart}"

# Memory: two copies, a new one, a checksum, a copy read back, a slot's file.
@ADDRESSES@
setexpr mender_copy1 ${mender_memory} + 0
setexpr mender_copy2 ${mender_memory} + 1000
setexpr mender_new ${mender_memory} + 2000
setexpr mender_sum ${mender_memory} + 3000
setexpr mender_back ${mender_memory} + 4000
setexpr mender_slot_env ${mender_memory} + 5000
setexpr mender_new_serial ${mender_new} + 4
setexpr mender_new_data ${mender_new} + 5

# Builds differ in which byte of a checksum comes first: that of one zero byte, d202ef8d, tells.
mw.b ${mender_new} 0 1
crc32 ${mender_new} 1 ${mender_sum}
setexpr.b mender_order *${mender_sum}
if test "${mender_order}" = d2; then
  for mender_byte in 0 1 2 3; do
    setexpr mender_sum${mender_byte} ${mender_sum} + ${mender_byte}
    setexpr mender_turned${mender_byte} ${mender_back} + ${mender_byte}
  done
fi

# mender_crc: the checksum of the copy at mender_at, least significant byte first, at mender_sum.
setenv mender_crc 'setexpr mender_data ${mender_at} + 5;
crc32 ${mender_data} ffb ${mender_sum};
if test "${mender_order}" = d2; then
  cp.b ${mender_sum3} ${mender_turned0} 1;
  cp.b ${mender_sum2} ${mender_turned1} 1;
  cp.b ${mender_sum1} ${mender_turned2} 1;
  cp.b ${mender_sum0} ${mender_turned3} 1;
  cp.b ${mender_back} ${mender_sum} 4;
fi'

# mender_import: the variables of the copy at mender_at.
setenv mender_import 'setexpr mender_data ${mender_at} + 5;
for mender_name in ${mender_names}; do setenv ${mender_name}; done;
env import -b ${mender_data} ffb ${mender_names}'

# mender_read: the file mender_file to mender_at; mender_good is yes when its checksum is right and its values are in range.
setenv mender_read 'setenv mender_good no;
mw.b ${mender_at} 0 1000;
if load ${mender_boot} ${mender_at} ${mender_file} 1000; then
  if test "${filesize}" = 1000; then
    run mender_crc;
    if cmp.b ${mender_sum} ${mender_at} 4; then
      run mender_import;
      for mender_known in @ROOT_A_NUMBER@ @ROOT_B_NUMBER@; do
        for mender_state in 00 01 10 11; do
          if test "${mender_boot_part}-${upgrade_available}${bootcount}" = "${mender_known}-${mender_state}"; then
            setenv mender_good yes;
          fi;
        done;
      done;
    fi;
  fi;
fi'

# mender_store: the variables into the copy that is not believed; mender_saved is yes when they can be read back.
setenv mender_store 'setenv mender_saved no;
setenv mender_boot_part_hex @ROOT_A_HEX@;
if test "${mender_boot_part}" = @ROOT_B_NUMBER@; then setenv mender_boot_part_hex @ROOT_B_HEX@; fi;
setenv mender_next 1;
setenv mender_file @FILE_1@;
if test ${mender_newest} = 1; then
  setenv mender_next 2;
  setenv mender_file @FILE_2@;
fi;
setexpr mender_next_serial ${mender_serial} + 1;
if test ${mender_next_serial} = 100; then setenv mender_next_serial 0; fi;
env export -b -s ffb ${mender_new_data} ${mender_names};
mw.b ${mender_new_serial} ${mender_next_serial} 1;
setenv mender_at ${mender_new};
run mender_crc;
cp.b ${mender_sum} ${mender_new} 4;
if fatwrite ${mender_boot} ${mender_new} ${mender_file} 1000; then
  mw.b ${mender_back} 0 1000;
  if load ${mender_boot} ${mender_back} ${mender_file} 1000; then
    if cmp.b ${mender_back} ${mender_new} 1000; then
      setenv mender_saved yes;
      setenv mender_newest ${mender_next};
      setenv mender_serial ${mender_next_serial};
    fi;
  fi;
fi'

@DEVICE_TREES@
# mender_load: mender_kernel, its device tree and mender_initrd of the slot; mender_loaded is yes when kernel and initial RAM disk are there
# and the kernel is one. Overlays are read to where the initial RAM disk goes later.
setenv mender_load 'setenv mender_loaded no;
setenv mender_ramdisk -;
if load ${mender_root} ${kernel_addr_r} ${mender_kernel}; then
  setexpr mender_magic ${kernel_addr_r} + @KERNEL_MAGIC_AT@;
  setenv mender_command @BOOT_COMMAND@;
  if itest.l *${mender_magic} == @KERNEL_MAGIC@; then setenv mender_loaded yes; fi;
  if itest.w *${kernel_addr_r} == 8b1f; then setenv mender_loaded @GZIP@; fi;
  if itest.l *${kernel_addr_r} == 56190527; then setenv mender_command bootm; setenv mender_loaded yes; fi;
  if itest.l *${kernel_addr_r} == edfe0dd0; then setenv mender_command bootm; setenv mender_loaded yes; fi;
  @DEVICE_TREE@
  if test -n "${mender_initrd}"; then
    if load ${mender_root} ${ramdisk_addr_r} ${mender_initrd}; then
      setenv mender_ramdisk ${ramdisk_addr_r}:${filesize};
    else
      setenv mender_loaded no;
    fi;
  fi;
fi'

# mender_try: starts mender_kernel and mender_initrd. Comes back when they do not load. Only when all is loaded is it true that the
# slot of last resort starts.
setenv mender_try 'run mender_load;
if test ${mender_loaded} = yes; then
  echo "Starting ${mender_kernel} of partition ${mender_slot} ...";
  setenv bootargs "@ARGUMENTS@";
  if test ${mender_last} = yes; then
    setenv mender_boot_part ${mender_slot};
    setenv upgrade_available 0;
    setenv bootcount 0;
    run mender_store;
    setenv mender_last noted;
  fi;
  if test ${mender_command} = bootm; then
    bootm ${kernel_addr_r} ${mender_ramdisk} ${mender_tree};
  else
    @BOOT_COMMAND@ ${kernel_addr_r} ${mender_ramdisk} ${mender_tree};
  fi;
fi'

# mender_start: the kernels of mender_slot, the best first. Comes back when none of them starts.
setenv mender_start 'setenv mender_slot_hex @ROOT_A_HEX@;
setenv mender_uuid @ROOT_A_PARTUUID@;
if test ${mender_slot} = @ROOT_B_NUMBER@; then
  setenv mender_slot_hex @ROOT_B_HEX@;
  setenv mender_uuid @ROOT_B_PARTUUID@;
fi;
setenv mender_root "${devtype} ${devnum}:${mender_slot_hex}";
setenv kernel;
setenv initrd;
setenv fdtdir;
setenv fdt;
setenv overlays;
setenv args;
if load ${mender_root} ${mender_slot_env} /boot/mender-slot.env 4000; then
  env import -t ${mender_slot_env} ${filesize} kernel initrd fdtdir fdt overlays args;
fi;
if test -n "${kernel}"; then
  setenv mender_kernel /${kernel};
  setenv mender_initrd;
  if test -n "${initrd}"; then setenv mender_initrd /${initrd}; fi;
  run mender_try;
fi;
for mender_place in / /boot/; do
  setenv mender_kernel ${mender_place}vmlinuz;
  setenv mender_initrd ${mender_place}initrd.img;
  run mender_try;
done;
for mender_place in / /boot/; do
  setenv mender_kernel ${mender_place}vmlinuz.old;
  setenv mender_initrd ${mender_place}initrd.img.old;
  run mender_try;
done;
echo "No kernel of partition ${mender_slot} starts."'

# Which copy is believed: the newer of two good ones.
setenv mender_at ${mender_copy1}
setenv mender_file @FILE_1@
run mender_read
setenv mender_good1 ${mender_good}
setenv mender_at ${mender_copy2}
setenv mender_file @FILE_2@
run mender_read
setenv mender_good2 ${mender_good}
setexpr mender_byte ${mender_copy1} + 4
setexpr.b mender_serial1 *${mender_byte}
setexpr mender_byte ${mender_copy2} + 4
setexpr.b mender_serial2 *${mender_byte}
setenv mender_newest 0
if test ${mender_good1} = yes; then setenv mender_newest 1; fi
if test ${mender_good2} = yes; then
  setenv mender_newest 2
  if test ${mender_good1} = yes; then
    setexpr mender_age ${mender_serial2} + 100
    setexpr mender_age ${mender_age} - ${mender_serial1}
    setexpr mender_age ${mender_age} % 100
    setenv mender_newest 1
    if itest ${mender_age} -gt 0; then
      if itest ${mender_age} -lt 80; then setenv mender_newest 2; fi
    fi
  fi
fi

if test ${mender_newest} = 1; then
  setenv mender_serial ${mender_serial1}
  setenv mender_at ${mender_copy1}
  run mender_import
elif test ${mender_newest} = 2; then
  setenv mender_serial ${mender_serial2}
  setenv mender_at ${mender_copy2}
  run mender_import
else
  echo "Both copies of the boot environment are damaged; starting partition @ROOT_A_NUMBER@."
  for mender_name in ${mender_names}; do setenv ${mender_name}; done
  setenv mender_boot_part @ROOT_A_NUMBER@
  setenv upgrade_available 0
  setenv bootcount 0
  setenv mender_newest 2
  setenv mender_serial ff
  run mender_store
  run mender_store
fi

setenv mender_first ${mender_boot_part}
setenv mender_other @ROOT_B_NUMBER@
if test ${mender_first} = @ROOT_B_NUMBER@; then setenv mender_other @ROOT_A_NUMBER@; fi
if test ${upgrade_available} = 1; then
  setenv mender_trial ${mender_first}
  if test ${bootcount} = 0; then
    setenv bootcount 1
    run mender_store
    if test ${mender_saved} = no; then
      echo "The trial of partition ${mender_first} cannot be noted: starting partition ${mender_other}."
      setenv mender_first ${mender_other}
      setenv mender_other ${mender_trial}
    fi
  else
    echo "Partition ${mender_first} did not prove itself: going back to partition ${mender_other}."
    setenv mender_first ${mender_other}
    setenv mender_other ${mender_trial}
    setenv mender_boot_part ${mender_first}
    setenv upgrade_available 0
    setenv bootcount 0
    run mender_store
  fi
fi

setenv mender_last no
setenv mender_slot ${mender_first}
run mender_start
setenv mender_last yes
setenv mender_slot ${mender_other}
run mender_start

echo "Neither root filesystem has a kernel that starts. Trying again in 30 seconds."
sleep 30
reset
