"""No packet for the robot on the uplink and none for the internet on the robot's cable, whatever happens to either.

The packets are marked, because the addresses of both sides may be the same.
"""

import contextlib
import ipaddress
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from world.appliance import REPAIR_SECONDS, TABLE, Appliance, appliance
from world.capture import Bind, Capture, Probe, Side, Sighting, as_json, capturing, marked
from world.network import CAMERA_ADDRESS, NGINX_ADDRESS, PAYLOAD_BRIDGE, ROBOT, UPLINK_BRIDGE, Layout
from world.program import Program, running, wait_until

SENDERS = Path(__file__).parent.parent / "world" / "senders.py"
RENEW_SECONDS = 3
QUIET_SECONDS = 1.5
# See netsetup/core/src/repair.rs.
REPAIRS = 6
# The pause between two looks, see netsetup/core/src/engine.rs.
LOOK_GAP_SECONDS = 0.05


@dataclass(frozen=True)
class Campus:
    """The network that the uplink gets into, and the port of the robot that the cable is in."""

    subnet: str
    servers: Sequence[str]
    other_subnet: str
    layout: Layout = Layout.PAYLOAD


CAMPUSES = {
    "plain": Campus("198.51.100.0/24", ("198.51.100.1",), "198.18.7.0/24"),
    "the-robots-own-subnet": Campus("192.168.50.0/24", ("192.168.50.1",), "198.51.100.0/24"),
    "the-robots-own-addresses": Campus("192.168.50.0/24", ("192.168.50.3", CAMERA_ADDRESS), "192.168.0.0/16"),
    "ten-slash-eight": Campus("10.0.0.0/8", ("10.0.0.1", "10.0.0.3"), "10.64.0.0/10", Layout.REAR),
}


def probes_for(campus: Campus) -> list[Probe]:
    """All kinds of packets that are sent all the time, marked."""
    robots = [campus.layout.robot_address, *([CAMERA_ADDRESS] if campus.layout is Layout.PAYLOAD else [])]
    elsewhere = [layout.robot_address for layout in Layout if layout is not campus.layout]
    robot = [Probe(Side.ROBOT, kind, Bind.NOTHING, to) for kind in ("udp", "tcp", "icmp") for to in robots + elsewhere]
    bound = (Bind.INTERFACE, Bind.ADDRESS)
    robot += [Probe(Side.ROBOT, kind, bind, to) for kind in ("udp", "tcp") for bind in bound for to in robots]
    kinds = ("udp", "tcp", "icmp")
    internet = [Probe(Side.INTERNET, kind, bind, NGINX_ADDRESS) for kind in kinds for bind in Bind]
    # What a program asks that wants the campus host of that address, not the robot.
    campus_hosts = dict.fromkeys([*campus.servers, *robots])
    internet += [Probe(Side.INTERNET, kind, Bind.INTERFACE, to) for kind in kinds for to in campus_hosts]
    dns = [(kind, bind, to) for kind in ("udp", "tcp") for bind in Bind for to in campus.servers]
    internet += [Probe(Side.INTERNET, kind, bind, to, port=53) for kind, bind, to in dns]
    return marked(robot + internet)


def has_a_way(probe: Probe, campus: Campus) -> bool:
    """Whether somebody has the address that it goes to: else nothing is sent but questions who has it."""
    if probe.side is Side.ROBOT:
        return probe.destination in (campus.layout.robot_address, CAMERA_ADDRESS)
    on_the_campus = ipaddress.ip_address(probe.destination) in ipaddress.ip_network(campus.subnet)
    return not on_the_campus or probe.destination in campus.servers


@dataclass
class Run:
    """A box with both wires watched and all senders at work."""

    box: Appliance
    campus: Campus
    probes: list[Probe]
    wires: dict[Side, Capture]
    # What was done, and when: seconds since 1970.
    script: list[tuple[float, str]]

    def note(self, what: str) -> None:
        """From now on this is done."""
        self.script.append((time.time(), what))

    def leaks(self) -> Counter[str]:
        """Packets on the wrong wire, by what was being done."""
        return Counter(
            f"while {self.during(sighting)}: {sighting.probe.name}, on the wire to the {side}"
            for side, capture in self.wires.items()
            for sighting in capture.seen(self.probes)
            if sighting.probe.side is not side
        )

    def during(self, sighting: Sighting) -> str:
        """What was being done when this was seen."""
        return next((what for begun, what in reversed(self.script) if begun <= sighting.seconds), "starting")


@contextlib.contextmanager
def sending(box: Appliance, folder: Path, probes: Iterable[Probe]) -> Iterator[Program]:
    """All probes, by a user without any right."""
    box.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    file = folder / "probes.json"
    file.write_text(as_json(probes))
    command = box.host.as_user("nobody", ["python3", SENDERS, file])
    with running(Program(command, log=folder / "senders.log")) as senders:
        senders.wait_until(lambda: "sending" in senders.text(), 10, "they send")
        yield senders
        assert senders.running(), senders.end_of_log()
        senders.stop()


@pytest.fixture(params=CAMPUSES)
def run(request: pytest.FixtureRequest, folder: Path) -> Iterator[Run]:
    campus = CAMPUSES[request.param]
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(appliance(folder, campus.layout, campus.subnet, campus.servers))
        box.campus.stop()
        box.campus.start(renew_seconds=RENEW_SECONDS)
        bridges = {Side.ROBOT: PAYLOAD_BRIDGE, Side.INTERNET: UPLINK_BRIDGE}
        wires = {side: stack.enter_context(capturing(folder, bridge)) for side, bridge in bridges.items()}
        probes = probes_for(campus)
        # Whatever a program sends before there is any way is not to go astray either, but the rules come first.
        box.start()
        box.wait_until_ready()
        stack.enter_context(sending(box, folder, probes))
        yield Run(box, campus, probes, wires, [])


def test_nothing_ever_goes_out_by_the_wrong_side(run: Run):
    box = run.box
    run.note("resting")
    time.sleep(QUIET_SECONDS)
    check_ways(run)
    for what, fault in FAULTS.items():
        run.note(what)
        fault(box, run.campus)
    run.note("resting again")
    time.sleep(QUIET_SECONDS)
    check_ways(run)

    # A capture that cannot see a leak proves nothing: without the rules there are leaks.
    run.note("leaking")
    box.stop()
    box.host.nmcli("connection", "delete", "id", "spotstream robot")
    without_rules(box)
    (outsider,) = (probe for probe in run.probes if probe.destination == NGINX_ADDRESS and is_plain(probe))
    send_on_the_robots_wire(run, outsider)
    time.sleep(QUIET_SECONDS)
    for capture in run.wires.values():
        capture.end()

    leaks = run.leaks()
    on_purpose = [leak for leak in leaks if leak.startswith("while leaking: ")]
    assert {leak.rsplit(" ", 1)[1] for leak in on_purpose} == {"robot", "internet"}, on_purpose
    found = {leak: count for leak, count in leaks.items() if leak not in on_purpose}
    assert not found, "\n".join(f"{count:4} {leak}" for leak, count in sorted(found.items()))
    # Nor does silence prove anything: while nothing was wrong, each probe that has a way took it.
    arrived = {
        sighting.probe
        for side, capture in run.wires.items()
        for sighting in capture.seen(run.probes)
        if sighting.probe.side is side and run.during(sighting).startswith("resting")
    }
    lost = [probe.name for probe in run.probes if probe not in arrived and has_a_way(probe, run.campus)]
    assert lost == []


def test_a_storm_of_changes_is_not_a_storm_of_looks(folder: Path):
    with appliance(folder) as box:
        box.host.run("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
        for name in ("other0", "other1"):
            box.host.run("ip", "link", "set", name, "up")
        box.start()
        box.wait_until_ready()
        wanted = box.state()["rules"]
        watch = ["busctl", "monitor", "--match=type='method_call',member='GetManagedObjects'"]
        with running(Program([*box.host.enter, *watch], log=folder / "looks.log")) as looks:
            looks.wait_until(lambda: "Monitoring" in looks.text(), 10, "it monitors")
            changes, seconds = storm(box, during=lambda: repaired_in_time(box, wanted))
            # What is still to come of it comes at once.
            time.sleep(1)
        seen = looks.text().count("Member=GetManagedObjects")
        assert changes == 2000
        assert 0 < seen <= seconds / LOOK_GAP_SECONDS + 10, f"{seen} looks in {seconds:.1f} s"


def storm(box: Appliance, during: Callable[[], None]) -> tuple[int, float]:
    """A stranger adds and takes away a route a thousand times in about five seconds; gives changes and seconds."""
    start, changes = time.monotonic(), 0
    command = [*box.host.enter, "ip", "-force", "-batch", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as ip:
        assert ip.stdin is not None
        for part in range(100):
            for number in range(10):
                ip.stdin.write(f"route add 198.19.{part}.{number}/32 dev other0 table 99\n")
                ip.stdin.write(f"route del 198.19.{part}.{number}/32 dev other0 table 99\n")
                changes += 2
            ip.stdin.flush()
            if part == 50:
                during()
            time.sleep(0.05)
        ip.stdin.close()
        assert ip.wait() == 0
    return changes, time.monotonic() - start


def repaired_in_time(box: Appliance, wanted: list) -> None:
    """Also in the middle of it, what matters is repaired."""
    delete_rule(box, wanted, 120)
    wait_until(lambda: box.state()["rules"] == wanted, REPAIR_SECONDS, "the rule is back")


def check_ways(run: Run) -> None:
    """What `ip` says about the ways that packets would take."""
    box, layout = run.box, run.campus.layout
    status = box.show()
    own, uplink = (status[side][key].split("/")[0] for side, key in (("robot", "own_address"), ("uplink", "address")))
    assert (box.addresses("eth0"), box.addresses("wlan0")) == ([own], [uplink])
    hosts = [layout.robot_address, *([CAMERA_ADDRESS] if layout is Layout.PAYLOAD else [])]
    for host in hosts:
        assert taken(box.way(host)) == ("eth0", own), host
        assert taken(box.way(host, "from", own)) == ("eth0", None), host
        assert taken(box.way(host, "oif", "wlan0")) == ("wlan0", uplink), host
        assert taken(box.way(host, "from", uplink)) == ("wlan0", None), host
        for protocol in ("udp", "tcp"):
            assert taken(box.way(host, "ipproto", protocol, "dport", "53")) == ("wlan0", uplink), host
    for host in (NGINX_ADDRESS, *set(run.campus.servers).difference(hosts)):
        assert taken(box.way(host)) == ("wlan0", uplink), host
    for other in Layout:
        if other is not layout:
            assert box.way(other.robot_address) == {}, "the robot of the other port has no way at all"
    rest = [route for route in box.ip("-4", "route", "show", "table", TABLE) if route["dst"] == "default"]
    assert [route.get("type") for route in rest] == ["unreachable"]
    strays = [route for route in box.ip("-4", "route") if route.get("dev") == "eth0"]
    assert strays == [], "the main table is the uplink's alone"


def taken(way: dict) -> tuple[str | None, str | None]:
    """The interface and the source address."""
    return way.get("dev"), way.get("prefsrc")


def flap_uplink(box: Appliance, campus: Campus) -> None:
    for _ in range(3):
        box.box.dongle.pull()
        time.sleep(0.2)
        box.box.dongle.plug()
    box.wait_until_ready()


def flap_cable(box: Appliance, campus: Campus) -> None:
    for _ in range(3):
        box.box.cable.pull()
        time.sleep(0.2)
        box.box.cable.plug()
    box.wait_until_ready()


def pull_uplink(box: Appliance, campus: Campus) -> None:
    box.box.dongle.pull()
    box.wait_for(lambda status: not status["uplink"]["ready"], 10, "the uplink is down")
    time.sleep(1)
    box.box.dongle.plug()
    box.wait_until_ready()


def pull_cable(box: Appliance, campus: Campus) -> None:
    box.box.cable.pull()
    box.wait_for(lambda status: not status["robot"]["ready"], 10, "the cable is out")
    time.sleep(1)
    box.box.cable.plug()
    box.wait_until_ready()


def pull_both(box: Appliance, campus: Campus) -> None:
    box.box.cable.pull()
    box.box.dongle.pull()
    box.wait_for(lambda status: not status["robot"]["ready"] and not status["uplink"]["ready"], 10, "both are out")
    time.sleep(1)
    box.box.dongle.plug()
    box.box.cable.plug()
    box.wait_until_ready()


def take_dongle_away(box: Appliance, campus: Campus) -> None:
    box.box.dongle.take_away()
    box.wait_for(lambda status: not status["uplink"]["ready"], 10, "the dongle is gone")
    box.box.dongle.make()
    box.wait_until_ready()


def renew_into_another_subnet(box: Appliance, campus: Campus) -> None:
    for subnet, servers in ((campus.other_subnet, ()), (campus.subnet, campus.servers)):
        before = box.addresses("wlan0")
        box.campus.move(subnet, servers=servers, renew_seconds=RENEW_SECONDS)
        wait_until(lambda before=before: box.addresses("wlan0") not in ([], before), 20, f"a lease of {subnet}")
        box.wait_until_ready()


def delete_rules(box: Appliance, campus: Campus) -> None:
    wanted = box.state()
    # One at a time: of each pair the other one must do.
    for number, priority in enumerate((100, 102, 103, 104, 106, 107, 110, 111, 120, 121)):
        if number % REPAIRS == 0:
            begin_anew(box)
        delete_rule(box, wanted["rules"], priority)
        box.wait_for_state(wanted, REPAIR_SECONDS)


def begin_anew(box: Appliance) -> None:
    """More repairs in a minute would be a fight; who starts anew has seen none."""
    box.stop()
    box.start()
    box.wait_until_ready()


def delete_rule(box: Appliance, rules: list, priority: int) -> None:
    """One rule of this priority, the first one."""
    rule = next(rule for rule in rules if rule["priority"] == priority)
    words = ["ip", "rule", "del", "priority", str(priority)]
    words += [word for key in ("oif", "ipproto", "dport") if key in rule for word in (key, str(rule[key]))]
    for key, word in (("src", "from"), ("dst", "to")):
        words += [word, rule[key]] if rule.get(key, "all") != "all" else []
    box.host.run(*words)


def delete_routes(box: Appliance, campus: Campus) -> None:
    begin_anew(box)
    wanted = box.works()
    for table in (TABLE, "main"):
        box.host.run("ip", "route", "flush", "table", table)
        box.wait_for_state(wanted, REPAIR_SECONDS)


def delete_addresses(box: Appliance, campus: Campus) -> None:
    box.host.run("ip", "address", "flush", "dev", "eth0")
    box.wait_for(lambda _: bool(box.addresses("eth0")), REPAIR_SECONDS, "an address is back")
    box.wait_until_ready()


def kill_manager(box: Appliance, campus: Campus) -> None:
    box.host.stop_manager(signal.SIGKILL)
    time.sleep(0.5)
    box.host.start_manager()
    box.wait_until_ready()


def kill_netsetup(box: Appliance, campus: Campus) -> None:
    box.stop(signal.SIGKILL)
    time.sleep(0.5)
    box.start()
    box.wait_until_ready()


FAULTS: dict[str, Callable[[Appliance, Campus], None]] = {
    "the uplink flaps": flap_uplink,
    "the cable flaps": flap_cable,
    "the uplink is out": pull_uplink,
    "the cable is out": pull_cable,
    "both are out": pull_both,
    "the dongle is away": take_dongle_away,
    "the lease moves to another subnet": renew_into_another_subnet,
    "rules are deleted": delete_rules,
    "routes are deleted": delete_routes,
    "an address is deleted": delete_addresses,
    "NetworkManager is killed": kill_manager,
    "netsetup is killed": kill_netsetup,
}


def without_rules(box: Appliance) -> None:
    """What a box without netsetup would do."""
    for rule in box.ip("-4", "rule"):
        if rule.get("table") not in ("local", "main", "default"):
            box.host.run("ip", "rule", "del", "priority", str(rule["priority"]))


def is_plain(probe: Probe) -> bool:
    """Whether it is sent as a program does that knows of nothing."""
    return probe.protocol == "udp" and probe.bind is Bind.NOTHING


def send_on_the_robots_wire(run: Run, probe: Probe) -> None:
    """A packet for the internet on the robot's wire, by somebody who is not under test: the robot."""
    script = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    script += "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); "
    script += "s.sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 9))"
    network = run.campus.layout.robot_address.rpartition(".")[0]
    words = ["ip", "netns", "exec", ROBOT, "python3", "-c", script, probe.payload.hex(), f"{network}.255"]
    subprocess.run(words, check=True)
