# nooelint: oelint.var.mandatoryvar.HOMEPAGE - it has no page but this repository
SUMMARY = "Settings of the spotstream appliance"
DESCRIPTION = "What image/root lays over the packages and RAUC's settings, apart from the programs. spotstream-image \
lays it over its root, as packages have files of the same names."
SECTION = "base"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
    file://LICENSE-MIT;md5=09130ef5de23a33f49d898bc1743a467 \
"

# nooelint: oelint.vars.fileextrapaths, oelint.vars.outofcontext - the recipe lies in the tree that it installs
FILESEXTRAPATHS:prepend := "${SPOTSTREAM_TREE}:"
SRC_URI = "\
    file://LICENSE-APACHE \
    file://LICENSE-MIT \
    file://image/rauc/system.conf \
    ${@spotstream.sources(d, 'image/root')} \
"
LINKS = "${@spotstream.links(d, 'image/root')}"
S = "${UNPACKDIR}"

inherit allarch

INHIBIT_DEFAULT_DEPS = "1"

# The certificate authority of whoever makes updates: image/rauc/make-ca. Without one no bundle is taken.
SPOTSTREAM_KEYRING ?= ""
OVERLAY = "${datadir}/spotstream-overlay"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${OVERLAY}/root
    cp -R --no-dereference --preserve=mode,links ${S}/image/root/. ${D}${OVERLAY}/root
    for link in ${LINKS}; do
        case $link in
        # Debian's package has two of these and needs to be told which.
        usr/lib/firmware/regulatory.db*) ;;
        *)
            install -d $(dirname ${D}${OVERLAY}/root/${link%%=*})
            ln -s ${link#*=} ${D}${OVERLAY}/root/${link%%=*}
            ;;
        esac
    done
    install -D -m 0644 ${S}/image/rauc/system.conf ${D}${OVERLAY}/rauc/system.conf
    if [ -n "${SPOTSTREAM_KEYRING}" ]; then
        install -m 0644 ${SPOTSTREAM_KEYRING} ${D}${OVERLAY}/rauc/keyring.pem
    fi
}
do_install[file-checksums] += "${@'%s:True' % d.getVar('SPOTSTREAM_KEYRING') if d.getVar('SPOTSTREAM_KEYRING') else ''}"

FILES:${PN} += "${OVERLAY}"
