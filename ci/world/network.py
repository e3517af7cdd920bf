"""Hosts and wires: the robot's network in either of its layouts, and an internet of documentation prefixes."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROBOT = "robot"
INTERNET = "internet"
PAYLOAD_BRIDGE = "payload"
UPLINK_BRIDGE = "uplink"
CAMERA_ADDRESS = "192.168.50.6"
UPLINK_GATEWAY = "198.51.100.1"
# Where servers of the internet live; RFC 5737 keeps these prefixes for documentation.
NGINX_ADDRESS = "203.0.113.10"
FFMPEG_ADDRESS = "203.0.113.20"
NODE_ADDRESS = "203.0.113.30"
NODE_NAME = "ingest.example.net"


class Layout(Enum):
    """How the box is tied to the robot: its payload port, or its rear port with the camera behind a forward."""

    PAYLOAD = ("192.168.50.3", "192.168.50.{}")
    REAR = ("10.0.0.3", "10.0.0.{}")

    @property
    def robot_address(self) -> str:
        """The robot, as the box sees it."""
        return self.value[0]

    def box_address(self, number: int) -> str:
        """The robot-side address of box `number`, from 1 on."""
        return self.value[1].format(20 + number)


@dataclass(frozen=True)
class Wire:
    """The wire from an interface of a host to a bridge; the bridge's end is in the namespace of the wires."""

    host: str
    interface: str
    bridge: str

    @property
    def end(self) -> str:
        """The bridge's end."""
        return f"{self.host}-{self.interface}"

    @property
    def mac(self) -> str:
        """The hardware address of the host's interface: the same one after it was taken away and put back."""
        digits = hashlib.sha256(self.end.encode()).hexdigest()
        return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])

    def make(self) -> None:
        """Make the interface, down and without an address, and tie it to the bridge."""
        end = ("link", "add", self.end, "type", "veth")
        _ip(*end, "peer", "name", self.interface, "address", self.mac, "netns", self.host)
        _ip("link", "set", self.end, "master", self.bridge, "up")
        # No IPv6: the robot has none, and its address check would hold the link back.
        _in(self.host, "link", "set", self.interface, "addrgenmode", "none")

    def take_away(self) -> None:
        """Take the interface out of its host, as a USB stick."""
        _ip("link", "del", self.end)

    def pull(self) -> None:
        """Pull the cable: no carrier."""
        _ip("link", "set", self.end, "down")

    def plug(self) -> None:
        """Plug the cable in again."""
        _ip("link", "set", self.end, "up")


@dataclass(frozen=True)
class Box:
    """A host that runs the daemon: `eth0` to the robot, `wlan0` to the internet."""

    host: str
    robot_side: str
    uplink: str

    @property
    def cable(self) -> Wire:
        """The wire to the robot."""
        return Wire(self.host, "eth0", PAYLOAD_BRIDGE)

    @property
    def dongle(self) -> Wire:
        """The wire to the internet."""
        return Wire(self.host, "wlan0", UPLINK_BRIDGE)


class Network:
    """The hosts. The namespace that this runs in holds the two bridges between them."""

    def __init__(self, layout: Layout = Layout.PAYLOAD, boxes: int = 1):
        """Make all hosts and wires, or remake them where an earlier test left some."""
        self.layout = layout
        # Wires first: the kernel takes a namespace apart, and its wires, some time after its name is gone.
        for wire in json.loads(_ip("-json", "link", "show", "type", "veth") or "[]"):
            _ip("link", "del", wire["ifname"])
        for old in _names(_ip("netns")):
            _ip("netns", "del", old)
        for bridge in (PAYLOAD_BRIDGE, UPLINK_BRIDGE):
            subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        self._robot()
        self._internet()
        self.boxes = [self._box(number) for number in range(1, boxes + 1)]

    def _robot(self) -> None:
        _host(ROBOT)
        _wire(ROBOT, "eth0", PAYLOAD_BRIDGE, self.layout.robot_address)
        self._camera()

    def replug(self, layout: Layout) -> None:
        """Plug the boxes into the robot's other port; the cables are out meanwhile."""
        for box in self.boxes:
            box.cable.pull()
        self.layout = layout
        _in(ROBOT, "address", "flush", "dev", "eth0")
        nft(ROBOT, "flush ruleset")
        _in(ROBOT, "address", "add", f"{layout.robot_address}/24", "dev", "eth0")
        self._camera()
        for box in self.boxes:
            box.cable.plug()

    def _camera(self) -> None:
        if self.layout is Layout.PAYLOAD:
            _in(ROBOT, "address", "add", f"{CAMERA_ADDRESS}/24", "dev", "eth0")
            return
        # The camera is behind the robot: only what the robot forwards reaches it, and it answers in the robot's name.
        # On `lo` the WebRTC stack would send its packets to `lo`. Of this scope nobody finds it on `eth0` by ARP.
        _in(ROBOT, "address", "add", f"{CAMERA_ADDRESS}/32", "dev", "eth0", "scope", "host")
        arp = ["ip", "netns", "exec", ROBOT, "sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=3"]
        subprocess.run(arp, check=True)
        nft(
            ROBOT,
            f"""
            table ip forward {{
              chain in {{
                type nat hook prerouting priority dstnat
                ip daddr {self.layout.robot_address} tcp dport 31102 dnat to {CAMERA_ADDRESS}
                ip daddr {self.layout.robot_address} udp dport 31000-32000 dnat to {CAMERA_ADDRESS}
              }}
              chain out {{
                type nat hook postrouting priority srcnat
                oifname eth0 ip saddr {CAMERA_ADDRESS} snat to {self.layout.robot_address}
              }}
            }}
            """,
        )

    def _internet(self) -> None:
        _host(INTERNET)
        _wire(INTERNET, "eth0", UPLINK_BRIDGE, UPLINK_GATEWAY)
        for address in (NGINX_ADDRESS, FFMPEG_ADDRESS, NODE_ADDRESS):
            _in(INTERNET, "address", "add", f"{address}/32", "dev", "lo")

    def _box(self, number: int) -> Box:
        host = f"box{number}"
        box = Box(host, self.layout.box_address(number), f"198.51.100.{20 + number}")
        names = Path("/etc/netns") / host
        names.mkdir(exist_ok=True)
        (names / "hosts").write_text(f"127.0.0.1 localhost\n{NODE_ADDRESS} {NODE_NAME}\n")
        _host(host)
        _wire(host, "eth0", PAYLOAD_BRIDGE, box.robot_side)
        _wire(host, "wlan0", UPLINK_BRIDGE, box.uplink)
        _in(host, "route", "add", "default", "via", UPLINK_GATEWAY)
        return box


def listens(host: str, address: str, port: int) -> bool:
    """Whether a program on `host` listens on TCP `port`; does not use up a listener that takes one client."""
    command = ["ip", "netns", "exec", host, "ss", "-Hltn", f"sport = :{port}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    places = [line.split()[3].rsplit(":", 1)[0] for line in out.splitlines()]
    return any(place in (address, "0.0.0.0", "*", "[::]") for place in places)


def nft(host: str, ruleset: str) -> None:
    """Load an nftables ruleset on `host`."""
    subprocess.run(["ip", "netns", "exec", host, "nft", "-f", "-"], input=ruleset, check=True, text=True)


def _host(name: str) -> None:
    _ip("netns", "add", name)
    _in(name, "link", "set", "lo", "up")


def _wire(host: str, interface: str, bridge: str, address: str) -> None:
    """Tie `interface` of `host` to `bridge`; every prefix of the test world is a /24."""
    Wire(host, interface, bridge).make()
    _in(host, "address", "add", f"{address}/24", "dev", interface)
    _in(host, "link", "set", interface, "up")


def _in(host: str, *words: str) -> str:
    return _ip("-netns", host, *words)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _names(listing: str) -> list[str]:
    return [line.split()[0] for line in listing.splitlines()]
