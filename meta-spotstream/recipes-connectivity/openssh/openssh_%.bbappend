# The unit has the name that the preset, the drop-in and the programs know, which is Debian's. Its host key is made by
# the drop-in, on the data partition.
do_install:append:distro-spotstream() {
    sed -e '/sshdgenkeys/d' ${D}${systemd_system_unitdir}/sshd.service > ${D}${systemd_system_unitdir}/ssh.service
    rm ${D}${systemd_system_unitdir}/sshd.service ${D}${systemd_system_unitdir}/sshdgenkeys.service
}

SYSTEMD_SERVICE:${PN}-sshd:distro-spotstream = "ssh.service"
