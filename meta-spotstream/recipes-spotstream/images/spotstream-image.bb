SUMMARY = "The spotstream appliance, as a card for one board"
DESCRIPTION = "Boots into the stream: the packages of image/packages, with what image/root lays over them, as image/genimage.cfg \
partitions them"
LICENSE = "Apache-2.0 | MIT"

require conf/distro/include/spotstream-version.inc
PV = "${SPOTSTREAM_VERSION}"

IMAGE_FEATURES = "read-only-rootfs"
IMAGE_LINGUAS = ""
IMAGE_FSTYPES = "card"

# One line a line of image/packages; packages.txt in this layer says which is which.
IMAGE_INSTALL = "\
    base-files \
    base-passwd \
    bash \
    busybox \
    ca-certificates \
    coreutils \
    cryptsetup \
    dbus-broker \
    dosfstools \
    e2fsprogs \
    iproute2 \
    iw \
    kernel-base \
    kernel-modules \
    kmod \
    libnss-resolve \
    libubootenv-bin \
    netbase \
    networkmanager-daemon \
    networkmanager-wifi \
    networkmanager-wwan \
    nftables \
    openssh-keygen \
    openssh-sftp-server \
    openssh-sshd \
    pam-plugin-deny \
    pam-plugin-permit \
    polkit \
    rauc \
    rauc-service \
    spotstream \
    spotstream-conf \
    systemd \
    tzdata-core \
    udev \
    usb-modeswitch \
    util-linux \
    wireless-regdb-static \
    wpa-supplicant \
    zram-generator \
    ${SPOTSTREAM_FIRMWARE} \
    ${SPOTSTREAM_EXTRA_INSTALL} \
"

# The sticks of docs/decisions/0006-kernel.md, and the boards' own chips.
SPOTSTREAM_FIRMWARE = "\
    linux-firmware-ath9k \
    linux-firmware-carl9170 \
    linux-firmware-mediatek \
    linux-firmware-mt7601u \
    linux-firmware-mt76x2 \
    linux-firmware-ralink \
    linux-firmware-rtl-nic \
    linux-firmware-rtl8188 \
    linux-firmware-rtl8192cu \
    linux-firmware-rtl8192su \
    linux-firmware-rtl8723 \
    linux-firmware-rtl8812 \
    linux-firmware-rtl8814 \
    linux-firmware-rtl8821 \
    linux-firmware-rtl8822 \
    linux-firmware-rtl8851 \
    linux-firmware-rtl8852 \
"
SPOTSTREAM_FIRMWARE:append:jetson-nano-mainline = " linux-firmware-nvidia-tegra"
SPOTSTREAM_FIRMWARE:append:raspberrypi4 = " linux-firmware-rpidistro-bcm43455"
# packagegroup-spotstream-transcode, say.
SPOTSTREAM_EXTRA_INSTALL ?= ""

inherit core-image features_check spotstream_card

REQUIRED_DISTRO_FEATURES = "pam polkit rauc systemd"

# The appliance verifies its root and has no package manager.
BAD_RECOMMENDATIONS = "\
    busybox-syslog \
    busybox-udhcpc \
    rauc-mark-good \
    udev-hwdb \
"
