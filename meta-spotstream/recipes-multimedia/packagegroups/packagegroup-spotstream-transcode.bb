SUMMARY = "Transcoding in hardware, where a camera sends what cannot be passed on"
DESCRIPTION = "GStreamer with the stateful V4L2 codecs (v4l2h264dec, v4l2h264enc) that the downstream kernel of a \
Raspberry Pi 4 has. spotstreamd passes H.264 on as it is and does not use it: for a program of your own."

inherit packagegroup

RDEPENDS:${PN} = "\
    gstreamer1.0 \
    gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good-video4linux2 \
"
