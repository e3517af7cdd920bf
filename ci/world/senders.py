"""senders.py FILE: sends the probes of FILE in turn until it is told to end, then says how many the kernel took.

Run on a box as a user without any capability: what the kernel lets a program do that knows nothing of two networks.
"""

import errno
import fcntl
import json
import signal
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path

from world.capture import Bind, Probe, Side, from_json

# All probes are sent so often.
ROUND_SECONDS = 0.05
# linux/sockios.h, bits/socket.h
SIOCGIFADDR = 0x8915
INTERFACES = {Side.ROBOT: "eth0", Side.INTERNET: "wlan0"}
ECHO_REQUEST = 8
# What a connection attempt says at once when all is well.
ON_THE_WAY = (0, errno.EINPROGRESS)


class Sender:
    """One probe, with the connection that it has open."""

    def __init__(self, probe: Probe):
        """Nothing is sent yet."""
        self.probe = probe
        self.open: socket.socket | None = None
        self.taken: Counter[str] = Counter()

    def send(self) -> None:
        """Send once, or move the connection on by one step."""
        try:
            if self.probe.protocol == "tcp":
                self._connection()
            else:
                self._datagram()
            self.taken["taken"] += 1
        except OSError as error:
            self.taken[errno.errorcode.get(error.errno or 0, str(error))] += 1

    def _datagram(self) -> None:
        kind = socket.IPPROTO_ICMP if self.probe.protocol == "icmp" else socket.IPPROTO_UDP
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, kind) as out:
            self._bind(out, 0)
            # The kernel fills in checksum and identifier (icmp(7)).
            header = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 0, 1) if self.probe.protocol == "icmp" else b""
            out.sendto(header + self.probe.payload, (self.probe.destination, self.probe.port))

    def _connection(self) -> None:
        if self.open is not None:
            with self.open as out:
                self.open = None
                # Where the handshake is through, the mark goes as payload, too; then a reset, so that the port is free.
                out.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                out.send(self.probe.payload)
            return
        out = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            out.setblocking(False)
            out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bind(out, self.probe.own_port)
            code = out.connect_ex((self.probe.destination, self.probe.port))
            if code not in ON_THE_WAY:
                raise OSError(code, "connect")
        except OSError:
            out.close()
            raise
        self.open = out

    def _bind(self, out: socket.socket, port: int) -> None:
        interface = INTERFACES[self.probe.side]
        if self.probe.bind is Bind.INTERFACE:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if self.probe.bind is Bind.ADDRESS:
            request = fcntl.ioctl(out, SIOCGIFADDR, struct.pack("16s24x", interface.encode()))
            out.bind((socket.inet_ntoa(request[20:24]), port))
        elif port:
            out.bind(("", port))


def main(file: Path) -> None:
    """Send until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    senders = [Sender(probe) for probe in from_json(file.read_text())]
    print("sending", flush=True)
    try:
        while True:
            start = time.monotonic()
            for sender in senders:
                sender.send()
            time.sleep(max(0.0, start + ROUND_SECONDS - time.monotonic()))
    finally:
        for sender in senders:
            print(json.dumps({sender.probe.name: sender.taken}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
