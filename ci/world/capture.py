"""What went over a wire: packets with a mark in them, which no coincidence of addresses can hide."""

import contextlib
import json
import secrets
import signal
import struct
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from world.program import Program, running

# In front of a mark, so that a search for one string finds all of them.
MAGIC = b"\xf5spotstream-mark\xfa"
ETHERNET_TYPE_IPV4 = 0x0800
PROTOCOL_TCP = 6


class Side(StrEnum):
    """The wire that a packet belongs on."""

    ROBOT = "robot"
    INTERNET = "internet"


class Bind(StrEnum):
    """What a sender's socket is bound to, so far as that is not the destination's business."""

    NOTHING = "nothing"
    INTERFACE = "interface"
    ADDRESS = "address"


@dataclass(frozen=True)
class Probe:
    """One kind of packet that is sent again and again, and its marks: 16 bytes of payload, and for TCP its own port."""

    side: Side
    protocol: str
    bind: Bind
    destination: str
    port: int = 9
    number: int = 0
    mark: str = ""

    @property
    def name(self) -> str:
        """For people."""
        to = self.destination if self.protocol == "icmp" else f"{self.destination}:{self.port}"
        return f"{self.protocol} to {to}, bound to {self.bind}, for the {self.side}"

    @property
    def own_port(self) -> int:
        """Where it is sent from: a TCP handshake carries no payload, but a port."""
        return 20000 + self.number

    @property
    def payload(self) -> bytes:
        """What it carries."""
        return MAGIC + bytes.fromhex(self.mark)


@dataclass(frozen=True)
class Sighting:
    """A packet of a probe on a wire, and when: seconds since 1970."""

    seconds: float
    probe: Probe


def marked(probes: Iterable[Probe]) -> list[Probe]:
    """The probes with marks of their own, which nobody else can have."""
    return [
        Probe(**{**asdict(probe), "number": number, "mark": secrets.token_bytes(16).hex()})
        for number, probe in enumerate(probes)
    ]


class Capture(Program):
    """tcpdump on a bridge: all that passes between its wires, whoever comes and goes there."""

    def __init__(self, folder: Path, bridge: str):
        """Start it."""
        self.file = folder / f"{bridge}.pcap"
        # As root, which owns the folder; a big buffer, because a packet that was not seen could be a leak.
        words = ["tcpdump", "-i", bridge, "-w", self.file, "-U", "-n", "-Z", "root", "-B", "65536", "ip"]
        super().__init__(words, log=folder / f"{bridge}.tcpdump")
        self.wait_until(lambda: "listening on" in self.text(), 10, "it listens")

    def seen(self, probes: Iterable[Probe]) -> list[Sighting]:
        """Every packet of these probes that passed; only after `end`."""
        by_mark = {probe.mark: probe for probe in probes}
        by_port = {probe.own_port: probe for probe in by_mark.values() if probe.protocol == "tcp"}
        found = []
        for seconds, frame in frames(self.file):
            at = frame.find(MAGIC)
            probe = by_mark.get(frame[at + len(MAGIC) :][:16].hex()) if at >= 0 else by_port.get(own(frame, by_port))
            if probe is not None:
                found.append(Sighting(seconds, probe))
        return found

    def end(self) -> None:
        """Stop, and make sure that nothing was missed."""
        self.stop(signal.SIGINT)
        assert "\n0 packets dropped by kernel" in self.text(), self.text()


@contextlib.contextmanager
def capturing(folder: Path, bridge: str) -> Iterator[Capture]:
    """A capture for the length of a `with`."""
    with running(Capture(folder, bridge)) as capture:
        yield capture


def frames(file: Path) -> Iterator[tuple[float, bytes]]:
    """The frames of a pcap file (draft-ietf-opsawg-pcap, sections 4 and 5) that was written on this machine.

    Each comes with its time in seconds since 1970.
    """
    data = file.read_bytes()
    at = 24
    while at + 16 <= len(data):
        seconds, microseconds, length, _ = struct.unpack_from("=IIII", data, at)
        yield seconds + microseconds / 1e6, data[at + 16 : at + 16 + length]
        at += 16 + length


def own(frame: bytes, ports: Container[int]) -> int:
    """Which of these ports a TCP segment comes from or goes to; 0 where it is none of them."""
    if len(frame) < 34 or struct.unpack_from("!H", frame, 12)[0] != ETHERNET_TYPE_IPV4 or frame[23] != PROTOCOL_TCP:
        return 0
    header = 14 + 4 * (frame[14] & 15)
    if len(frame) < header + 4:
        return 0
    return next((port for port in struct.unpack_from("!HH", frame, header) if port in ports), 0)


def as_json(probes: Iterable[Probe]) -> str:
    """For `world.senders`."""
    return json.dumps([asdict(probe) for probe in probes])


def from_json(text: str) -> list[Probe]:
    """What `as_json` wrote."""
    return [
        Probe(**{**fields, "side": Side(fields["side"]), "bind": Bind(fields["bind"])}) for fields in json.loads(text)
    ]
