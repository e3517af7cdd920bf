"""How long both links take from their cables to "ready", and what netsetup costs; run in an empty network namespace."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from world.appliance import Appliance, appliance
from world.ingest import Nginx
from world.network import PAYLOAD_BRIDGE
from world.program import Program, running, wait_until

RUNS = 20
# Two tries of 200 ms each, see netsetup/core/src/finder.rs.
PROBE_SECONDS = 0.4
REST_SECONDS = 5
IDLE_SECONDS = 60
SIGNALS = "type='signal',interface='org.freedesktop.DBus.Properties',path='/org/spotstream/Network1'"
HELLO = (
    "emit",
    "/org/spotstream/Network1",
    "org.freedesktop.DBus.Properties",
    "PropertiesChanged",
    "sa{sv}as",
    "",
    "0",
    "0",
)
READY = ("RobotReady", "UplinkReady")

Interval = tuple[float, float]


def measure(folder: Path) -> dict[str, object]:
    """All figures."""
    with appliance(folder) as box, contextlib.ExitStack() as stack:
        stack.enter_context(running(Nginx(folder / "nginx").start()))
        netsetup = box.start()
        stack.enter_context(running(netsetup))
        box.wait_until_ready()
        words = [*box.host.enter, "busctl", "monitor", "--json=short", f"--match={SIGNALS}"]
        signals = stack.enter_context(running(Program(words, log=folder / "signals.log")))
        # It does not say when it listens.
        signals.wait_until(lambda: bool(box.host.run("busctl", *HELLO) or signals.text()), 10, "it listens")
        words = ["tcpdump", "-i", PAYLOAD_BRIDGE, "-n", "-tt", "-l", "arp"]
        probes = stack.enter_context(running(Program(words, log=folder / "probes.log")))
        probes.wait_until(lambda: "listening on" in probes.text(), 10, "it listens")
        runs = [one_run(box, signals, probes) for _ in range(RUNS)]
        box.wait_for(lambda status: status["internet"] == "yes", 30, "the ingest answers")
        # The last run has ended, and so has what it began.
        time.sleep(REST_SECONDS)
        switches = netsetup.wakeups()
        time.sleep(IDLE_SECONDS)
        return {
            "runs": runs,
            "peak_rss_mib": peak_rss_mib(netsetup.pid),
            "wakeups_per_minute": (netsetup.wakeups() - switches) * 60 / IDLE_SECONDS,
        }


def one_run(box: Appliance, signals: Program, probes: Program) -> dict[str, float]:
    """From both cables to ready; milliseconds."""
    box.box.cable.pull()
    box.box.dongle.pull()
    box.wait_for(lambda s: not s["robot"]["ready"] and not s["uplink"]["ready"], 10, "both are down")
    seen = len(signals.text())
    linked = time.time()
    both = f"link set {box.box.cable.end} up\nlink set {box.box.dongle.end} up\n"
    subprocess.run(["ip", "-batch", "-"], input=both, text=True, check=True)
    ready = wait_for_ready(signals, seen)
    dhcp = activation(box, "wlan0", linked)
    asked = first_probe(probes, linked)
    dad = [activation(box, "eth0", linked), (asked, asked + PROBE_SECONDS)]
    waits = [(max(begin, linked), min(end, ready)) for begin, end in (dhcp, *dad)]
    return {
        "total_ms": (ready - linked) * 1000,
        "dhcp_ms": covered(waits[:1]) * 1000,
        "dad_ms": covered(waits[1:]) * 1000,
        "own_ms": (ready - linked - covered(waits)) * 1000,
    }


def wait_for_ready(signals: Program, seen: int) -> float:
    """When the second side was told to be ready, in seconds since 1970."""
    told: dict[str, float] = {}

    def both() -> bool:
        told.clear()
        for line in signals.text()[seen:].splitlines():
            if not line.startswith("{") or not line.endswith("}"):
                continue
            message = json.loads(line)
            changed = message["payload"]["data"][1]
            for name in READY:
                if name in changed and changed[name]["data"]:
                    told.setdefault(name, message["timestamp-realtime"] / 1e6)
                elif name in changed:
                    told.pop(name, None)
        return len(told) == len(READY)

    signals.wait_until(both, 20, "both sides are ready")
    return max(told.values())


def activation(box: Appliance, interface: str, since: float) -> Interval:
    """When NetworkManager took up an interface, and when it was done with it."""
    assert box.host.manager is not None
    manager = box.host.manager
    begin = re.compile(rf"\[([0-9.]+)\] device \({interface}\): carrier: link connected")
    end = re.compile(rf"\[([0-9.]+)\] device \({interface}\): Activation: successful")

    def times(pattern: re.Pattern[str]) -> Iterator[float]:
        return (at for found in pattern.finditer(manager.text()) if (at := float(found[1])) >= since)

    wait_until(lambda: any(times(end)), 10, f"NetworkManager has set up {interface}")
    return next(times(begin), since), next(times(end))


def first_probe(probes: Program, since: float) -> float:
    """When the robot was first asked for."""

    def times() -> Iterator[float]:
        lines = (line.split() for line in probes.text().splitlines() if "192.168.50.3 tell 0.0.0.0" in line)
        return (at for words in lines if (at := float(words[0])) >= since)

    wait_until(lambda: any(times()), 5, "the robot is asked for")
    return next(times())


def covered(intervals: list[Interval]) -> float:
    """The length of the union."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def peak_rss_mib(pid: int) -> float:
    """The high-water mark of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
