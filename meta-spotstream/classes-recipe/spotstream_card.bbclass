# The image type "card": from the root that the packages make to what is written to a card, by the builder of the
# Debian-built image (crate `image`). So layout, boot script, boot state, initrd and verity are those of image/.

IMAGE_TYPES += "card"

SPOTSTREAM_PARTS = "${WORKDIR}/spotstream-parts"
SPOTSTREAM_SCRATCH = "${WORKDIR}/spotstream-card"
# Kernel, device trees and boot loader of the machine, as the builder looks for them.
SPOTSTREAM_DEVICE_TREES ?= "${@' '.join(tree for tree in (d.getVar('KERNEL_DEVICETREE') or '').split() if tree.endswith('.dtb'))}"
SPOTSTREAM_DEVICE_TREES:raspberrypi4 = "broadcom/bcm2711-rpi-4-b.dtb"
SPOTSTREAM_CARD_FILES ?= ""
SPOTSTREAM_CARD_FILES:raspberrypi4 = "${BOOTFILES_DIR_NAME}/fixup4.dat ${BOOTFILES_DIR_NAME}/start4.elf u-boot.bin"
SPOTSTREAM_EPOCH ?= "${@d.getVar('SOURCE_DATE_EPOCH') or '0'}"

do_image_card[depends] += "\
    coreutils-native:do_populate_sysroot \
    cpio-native:do_populate_sysroot \
    cryptsetup-native:do_populate_sysroot \
    dosfstools-native:do_populate_sysroot \
    e2fsprogs-native:do_populate_sysroot \
    erofs-utils-native:do_populate_sysroot \
    genimage-native:do_populate_sysroot \
    kmod-native:do_populate_sysroot \
    mtools-native:do_populate_sysroot \
    spotstream-card-native:do_populate_sysroot \
    systemd-systemctl-native:do_populate_sysroot \
    u-boot-mkenvimage-native:do_populate_sysroot \
    u-boot-mkimage-native:do_populate_sysroot \
    util-linux-native:do_populate_sysroot \
    virtual/kernel:do_deploy \
    xz-native:do_populate_sysroot \
    zstd-native:do_populate_sysroot \
    ${SPOTSTREAM_CARD_DEPENDS} \
"
SPOTSTREAM_CARD_DEPENDS ?= ""
SPOTSTREAM_CARD_DEPENDS:raspberrypi4 = "rpi-bootfiles:do_deploy virtual/bootloader:do_deploy"

IMAGE_CMD:card() {
    rm -rf ${SPOTSTREAM_PARTS} ${SPOTSTREAM_SCRATCH}
    install -d ${SPOTSTREAM_PARTS}/dtb ${SPOTSTREAM_SCRATCH}
    install -m 0644 ${DEPLOY_DIR_IMAGE}/${KERNEL_IMAGETYPE} ${SPOTSTREAM_PARTS}/Image
    for tree in ${SPOTSTREAM_DEVICE_TREES}; do
        install -m 0644 ${DEPLOY_DIR_IMAGE}/$(basename $tree) ${SPOTSTREAM_PARTS}/dtb/$(basename $tree)
    done
    for file in ${SPOTSTREAM_CARD_FILES}; do
        install -m 0644 ${DEPLOY_DIR_IMAGE}/$file ${SPOTSTREAM_PARTS}/$(basename $file)
    done
    cp -a ${IMAGE_ROOTFS} ${SPOTSTREAM_SCRATCH}/root
    mv ${SPOTSTREAM_SCRATCH}/root${datadir}/spotstream-overlay ${SPOTSTREAM_SCRATCH}/overlay
    spotstream-card card --tree ${SPOTSTREAM_TREE} --root ${SPOTSTREAM_SCRATCH}/root \
        --overlay ${SPOTSTREAM_SCRATCH}/overlay/root --rauc ${SPOTSTREAM_SCRATCH}/overlay/rauc \
        --parts ${SPOTSTREAM_PARTS} --scratch ${SPOTSTREAM_SCRATCH}/work --out ${SPOTSTREAM_SCRATCH}/out \
        --image-version ${SPOTSTREAM_VERSION} --epoch ${SPOTSTREAM_EPOCH}
    install -m 0644 ${SPOTSTREAM_SCRATCH}/out/spotstream.img ${IMGDEPLOYDIR}/${IMAGE_NAME}.card
    # What an update brings: spotstream-bundle.
    for file in slot.vfat root.erofs; do
        install -m 0644 ${SPOTSTREAM_SCRATCH}/out/$file ${IMGDEPLOYDIR}/${IMAGE_LINK_NAME}.$file
    done
}
do_image_card[file-checksums] += "\
    ${SPOTSTREAM_TREE}/daemon/dist/usr/share/spotstream/spotstream.toml:True \
    ${SPOTSTREAM_TREE}/image/boot:True \
    ${SPOTSTREAM_TREE}/image/genimage.cfg:True \
    ${SPOTSTREAM_TREE}/image/initrd:True \
    ${SPOTSTREAM_TREE}/image/prune:True \
"
