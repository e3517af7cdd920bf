# nooelint: oelint.var.mandatoryvar.HOMEPAGE - it has no page but this repository
SUMMARY = "An update of the spotstream appliance"
DESCRIPTION = "A RAUC bundle of the slot that spotstream-image makes: its boot partition and its verified root"
LICENSE = "Apache-2.0 | MIT"

# What goes into it comes from the image.
SRC_URI = ""

inherit bundle features_check

# Those of the image.
REQUIRED_DISTRO_FEATURES = "pam polkit rauc systemd"

RAUC_BUNDLE_COMPATIBLE = "${@spotstream.rauc_compatible(d.getVar('SPOTSTREAM_TREE'))}"
RAUC_BUNDLE_FORMAT = "${@spotstream.bundle_format(d.getVar('SPOTSTREAM_TREE'))}"
RAUC_BUNDLE_VERSION = "${PV}"
RAUC_BUNDLE_DESCRIPTION = "spotstream for ${MACHINE}"

RAUC_BUNDLE_SLOTS = "boot rootfs"
RAUC_SLOT_boot = "spotstream-image"
RAUC_SLOT_boot[file] = "spotstream-image-${MACHINE}${IMAGE_NAME_SUFFIX}.slot.vfat"
RAUC_SLOT_boot[rename] = "boot.vfat"
RAUC_SLOT_rootfs = "spotstream-image"
RAUC_SLOT_rootfs[file] = "spotstream-image-${MACHINE}${IMAGE_NAME_SUFFIX}.root.erofs"
RAUC_SLOT_rootfs[rename] = "root.img"

# Made by image/rauc/make-ca and named in local.conf; do_bundle stops without them.
RAUC_CERT_FILE ?= ""
RAUC_KEY_FILE ?= ""
