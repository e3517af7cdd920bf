require recipes-kernel/linux/spotstream-kernel.inc
FILESEXTRAPATHS:prepend:distro-spotstream := "${THISDIR}/files:"

SRC_URI:append:distro-spotstream = " file://raspberrypi.cfg"
