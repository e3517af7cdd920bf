FILESEXTRAPATHS:prepend:distro-spotstream := "${THISDIR}/files:"

SRC_URI:append:distro-spotstream = " file://spotstream-initrd.cfg"
