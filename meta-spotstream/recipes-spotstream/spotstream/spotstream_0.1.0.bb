# nooelint: oelint.var.mandatoryvar.HOMEPAGE - it has no page but this repository
SUMMARY = "The camera of a Boston Dynamics Spot on Twitch"
DESCRIPTION = "spotstreamd streams without decoding, netsetup keeps the robot's network and the internet apart, \
spotstream-appliance looks after the box"
SECTION = "multimedia"

require spotstream-source.inc

inherit systemd useradd

CARGO_BUILD_FLAGS:append = " --bins --package spotstreamd --package netsetup --package appliance"

DIST_TREES = "daemon/dist netsetup/dist image/appliance/dist"
PROGRAMS = "spotstreamd spotstreamctl netsetup spotstream-appliance"

do_install() {
    for program in ${PROGRAMS}; do
        install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/$program ${D}${bindir}/$program
    done
    for tree in ${DIST_TREES}; do
        (cd ${S}/$tree && find . -type f -exec install -D -m 0644 '{}' ${D}/'{}' \;)
    done
}

SYSTEMD_SERVICE:${PN} = "\
    netsetup.service \
    spotstream-grow.service \
    spotstream-healthy.service \
    spotstream-import.service \
    spotstream-import@.service \
    spotstream-stage.service \
    spotstream-watch.service \
    spotstreamd.service \
    spotstreamd.socket \
"
# spotstream-image enables by image/root's preset, as the Debian-built image does.
SYSTEMD_AUTO_ENABLE:${PN} = "preset"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system spotstream-settings"
USERADD_PARAM:${PN} = "\
    --system --no-create-home --home-dir ${localstatedir}/lib/spotstream --shell ${base_sbindir}/nologin \
    --user-group --groups spotstream-settings --comment 'Spot CAM streaming' spotstream; \
    --system --no-create-home --home-dir / --shell ${base_sbindir}/nologin \
    --user-group --groups spotstream-settings --comment 'Split routing of spotstream' netsetup \
"

FILES:${PN} += "\
    ${datadir}/dbus-1 \
    ${datadir}/polkit-1 \
    ${nonarch_libdir} \
"

# What the programs call: image/appliance/src/tool.rs, netsetup's firewall.
RDEPENDS:${PN} += "\
    ca-certificates \
    dosfstools \
    libubootenv-bin \
    netbase \
    networkmanager-daemon \
    networkmanager-wifi \
    nftables \
    util-linux-partx \
    util-linux-sfdisk \
"
