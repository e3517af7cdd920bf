# nooelint: oelint.var.mandatoryvar.HOMEPAGE - it has no page but this repository
SUMMARY = "Makes the card image of the spotstream appliance"
DESCRIPTION = "The builder of the Debian-built image: prunes, lays over, enables, packs, verifies and partitions as it does there"
SECTION = "devel"

require spotstream-source.inc

CARGO_BUILD_FLAGS:append = " --bins --package image"

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/image ${D}${bindir}/spotstream-card
}

# nooelint: oelint.var.inheritlast.native - it is the last; cargo comes with the file above
inherit_defer native
