SUMMARY = "Swap in compressed memory"
DESCRIPTION = "A generator of systemd units that sets up zram devices as zram-generator.conf says"
HOMEPAGE = "https://github.com/systemd/zram-generator"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3fced11d6df719b47505837a51c16ae5"

DEPENDS = "systemd"

SRC_URI = "crate://${SPOTSTREAM_CRATES_HOST}/${BPN}/${PV}"
SRC_URI[zram-generator-1.2.1.sha256sum] = "5e5a009cbd422d4114190fcb244491d4ba508f5f2d0b3c55719ede5fa18dda1e"
require zram-generator-crates.inc

SPOTSTREAM_CRATES_HOST ?= "${@spotstream.crates_host(d.getVar('SPOTSTREAM_TREE'))}"
# The program of the crate is unpacked beside the crates it needs, as it is one itself.
S = "${UNPACKDIR}/${BP}"

inherit cargo features_check pkgconfig

REQUIRED_DISTRO_FEATURES = "systemd"

export SYSTEMD_UTIL_DIR = "${systemd_unitdir}"

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/zram-generator \
        ${D}${systemd_unitdir}/system-generators/zram-generator
    install -d ${D}${systemd_system_unitdir}
    sed 's,@SYSTEMD_SYSTEM_GENERATOR_DIR@,${systemd_unitdir}/system-generators,' ${S}/units/systemd-zram-setup@.service.in \
        > ${D}${systemd_system_unitdir}/systemd-zram-setup@.service
    chmod 0644 ${D}${systemd_system_unitdir}/systemd-zram-setup@.service
}

FILES:${PN} += "${systemd_unitdir}"

RDEPENDS:${PN} += "util-linux-mkswap util-linux-swaponoff"
RRECOMMENDS:${PN} += "kernel-module-zram"
