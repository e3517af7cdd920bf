# spotstream: picks the slot to start, on every board. docs/boot.md tells what it does and why.
# It runs in the vendor's U-Boot 2020.04 of a Jetson Nano as well: no setexpr, itest, saveenv, fatwrite, USB or EFI.

# The Nano's preboot hook runs this before anything has named a device: there the card is mmc 1.
if test -z "${devtype}"; then setenv devtype mmc; fi
if test -z "${devnum}"; then setenv devnum 1; fi

setenv spot_board
setenv spot_dtb
setenv spot_uboot "${ver}"
if test -z "${spot_uboot}"; then setenv spot_uboot unknown; fi

if test "${board}" = "p3450-0000" -o "${board}" = "p3541-0000"; then
	setenv spot_board nano
	setenv spot_kernel 0x84000000
	setenv spot_fdt 0x83000000
	setenv spot_initrd 0x92000000
	setenv spot_state 0x82000000
	setenv spot_console "console=tty0 console=ttyS0,115200"
	setenv spot_dtb tegra210-p3450-0000.dtb
	if test "${board}" = "p3541-0000"; then setenv spot_dtb tegra210-p3541-0000.dtb; fi
	# Some 2 GB boards carry the firmware of the 4 GB board, so the memory controller's size in MiB has the last word.
	mw.l ${spot_state} 0x800
	if cmp.l 0x70019050 ${spot_state} 1; then setenv spot_dtb tegra210-p3541-0000.dtb; fi
	mw.l ${spot_state} 0x1000
	if cmp.l 0x70019050 ${spot_state} 1; then setenv spot_dtb tegra210-p3450-0000.dtb; fi
	setenv fdt_high 0xffffffffffffffff
	setenv initrd_high 0xffffffffffffffff
fi

if test "${board}" = "rpi"; then
	setenv spot_board pi
	setenv spot_kernel 0x00200000
	setenv spot_fdt 0x07800000
	setenv spot_initrd 0x08000000
	setenv spot_state 0x07000000
	setenv spot_console "console=tty0 console=ttyS1,115200"
	# The firmware's device tree may lie where the kernel or the initrd goes.
	fdt addr ${fdt_addr}
	fdt move ${fdt_addr} ${spot_fdt}
fi

if test "${board}" = "qemu-arm"; then
	setenv spot_board virt
	setenv spot_kernel 0x40400000
	setenv spot_fdt ${fdt_addr}
	setenv spot_initrd 0x48000000
	setenv spot_state 0x47000000
	setenv spot_console "console=ttyAMA0"
fi

if test -z "${spot_board}"; then
	echo "spotstream: this card is for a Raspberry Pi 4B or a Jetson Nano, and this board calls itself ${board}"
	sleep 10
	reset
fi
echo "spotstream: board ${spot_board} (${board}), card ${devtype} ${devnum}"

# What the environment of this U-Boot may hold under these names is not ours.
setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
setenv boot_slot
setenv boot_stage
setenv last_slot
setenv last_stage
setenv machine_id

setenv spot_known no
setenv spot_start
${devtype} dev ${devnum}
if part start ${devtype} ${devnum} 4 spot_start; then
	if ${devtype} read ${spot_state} ${spot_start} 0x20; then
		if env import -c ${spot_state} 0x4000 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT boot_slot boot_stage last_slot last_stage machine_id; then
			setenv spot_known yes
		fi
	fi
fi
if test "${spot_known}" = "no"; then
	echo "spotstream: the boot state cannot be read, so the defaults are used"
	setenv BOOT_ORDER A
	if test -e ${devtype} ${devnum}:3 /Image; then setenv BOOT_ORDER "A B"; fi
fi

setenv spot_first A
setenv spot_second
if test "${BOOT_ORDER}" = "A B"; then setenv spot_second B; fi
if test "${BOOT_ORDER}" = "B A"; then setenv spot_first B; setenv spot_second A; fi
if test "${BOOT_ORDER}" = "B"; then setenv spot_first B; fi
if test "${BOOT_A_LEFT}" != 0 -a "${BOOT_A_LEFT}" != 1 -a "${BOOT_A_LEFT}" != 2; then setenv BOOT_A_LEFT 3; fi
if test "${BOOT_B_LEFT}" != 0 -a "${BOOT_B_LEFT}" != 1 -a "${BOOT_B_LEFT}" != 2; then setenv BOOT_B_LEFT 3; fi

setenv spot_write 'env export -c -s 0x4000 ${spot_state} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT boot_slot boot_stage last_slot last_stage machine_id; ${devtype} write ${spot_state} ${spot_start} 0x20'

for spot_pass in 1 2; do
	setenv spot_slot "${spot_first}"
	if test "${spot_pass}" = 2; then setenv spot_slot "${spot_second}"; fi
	setenv spot_left 0
	if test "${spot_slot}" = A; then setenv spot_part 2; setenv spot_left "${BOOT_A_LEFT}"; fi
	if test "${spot_slot}" = B; then setenv spot_part 3; setenv spot_left "${BOOT_B_LEFT}"; fi
	if test "${spot_left}" != 0; then
		setenv spot_after 2
		if test "${spot_left}" = 2; then setenv spot_after 1; fi
		if test "${spot_left}" = 1; then setenv spot_after 0; fi
		if test "${spot_slot}" = A; then setenv BOOT_A_LEFT ${spot_after}; fi
		if test "${spot_slot}" = B; then setenv BOOT_B_LEFT ${spot_after}; fi
		setenv last_slot ${boot_slot}
		setenv last_stage ${boot_stage}
		setenv boot_slot ${spot_slot}
		setenv boot_stage selector
		if run spot_write; then
			echo "spotstream: slot ${spot_slot}, tries left after this one: ${spot_after}"
		else
			echo "spotstream: slot ${spot_slot}, and the try cannot be counted: the card does not take the boot state"
		fi

		setenv bootargs "rauc.slot=${spot_slot} spotstream.slot=${spot_slot} spotstream.boot=${devtype} spotstream.board=${board} spotstream.uboot=\"${spot_uboot}\" panic=10 fsck.repair=yes loglevel=4 ${spot_console}"

		setenv spot_loaded no
		if load ${devtype} ${devnum}:${spot_part} ${spot_kernel} /Image; then
			if load ${devtype} ${devnum}:${spot_part} ${spot_initrd} /initrd; then
				setenv spot_size ${filesize}
				setenv spot_loaded yes
				if test -n "${spot_dtb}"; then
					echo "spotstream: device tree ${spot_dtb}"
					if load ${devtype} ${devnum}:${spot_part} ${spot_fdt} /dtb/${spot_dtb}; then
						setenv spot_loaded yes
					else
						setenv spot_loaded no
					fi
				fi
			fi
		fi
		if test "${spot_loaded}" = "yes"; then
			echo "spotstream: kernel ${spot_kernel}, initrd ${spot_initrd}:${spot_size}, device tree ${spot_fdt}"
			booti ${spot_kernel} ${spot_initrd}:${spot_size} ${spot_fdt}
		fi
		echo "spotstream: slot ${spot_slot} cannot be started from this card, so it has no try left"
		if test "${spot_slot}" = A; then setenv BOOT_A_LEFT 0; fi
		if test "${spot_slot}" = B; then setenv BOOT_B_LEFT 0; fi
		run spot_write
	fi
done

echo "spotstream: no slot has a try left, so each gets three again; starting over"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
run spot_write
reset
