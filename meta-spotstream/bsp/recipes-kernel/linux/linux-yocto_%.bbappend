FILESEXTRAPATHS:prepend:jetson-nano-mainline := "${THISDIR}/files:"

COMPATIBLE_MACHINE:jetson-nano-mainline = "^jetson-nano-mainline$"
KBUILD_DEFCONFIG:jetson-nano-mainline = "defconfig"
KCONFIG_MODE:jetson-nano-mainline = "--alldefconfig"

# Linux has the device tree of the 2 GB board from 6.19 on.
P3541:jetson-nano-mainline = "${@'' if bb.utils.vercmp_string(d.getVar('LINUX_VERSION'), '6.19') >= 0 else 'tegra210-p3541-0000.dts'}"
SRC_URI:append:jetson-nano-mainline = " file://jetson-nano.cfg ${@'file://%s' % d.getVar('P3541') if d.getVar('P3541') else ''}"

do_configure:prepend:jetson-nano-mainline() {
    if [ -n "${P3541}" ]; then
        install -m 0644 ${UNPACKDIR}/${P3541} ${S}/arch/arm64/boot/dts/nvidia/
    fi
}
