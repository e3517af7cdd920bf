"""netsetup on a box in NetworkManager's hands: its two wires, what is at their other ends, and a stranger with root."""

import contextlib
import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from world.dhcp import DhcpServer
from world.manager import DISTS, ManagedHost, managed
from world.network import NGINX_ADDRESS, Box, Layout, Network
from world.program import Program, WorldError, running, wait_until
from world.robot import program

# netsetup's own, see netsetup/core/src/{routing,profile}.rs.
TABLE = "21328"
PROTOCOL = "83"
PROFILES = uuid.UUID("5b1c1d0e-3a53-4c52-8d9e-53504f540001")
POLKIT_RULE = "/usr/share/polkit-1/rules.d/50-netsetup.rules"
SETTINGS_FILE = "/etc/spotstream/spotstream.toml"
INGEST_NAME = "live.example.net"
# Shorter than this nothing is repaired, longer nothing may be broken.
REPAIR_SECONDS = 2.0

SETTINGS = f"""
[stream]
url = "rtmp://{INGEST_NAME}:1935/app"
key = "planted-stream-key"

[robot]
username = "operator"
password = "planted-robot-password"

[network]
robot_interface = "eth0"
uplink_interface = "wlan0"
"""

Status = dict[str, Any]


class Netsetup(Program):
    """A running `netsetup run`."""

    def __init__(self, appliance: "Appliance", env: dict[str, str] | None = None, user: str = "netsetup"):
        """Start it as its unit does, or with the same capabilities as somebody else."""
        words = appliance.host.as_netsetup([program("netsetup"), "run"])
        words = [word.replace("--reuid=netsetup", f"--reuid={user}") for word in words]
        super().__init__(words, log=appliance.folder / "netsetup.log", env=env)

    def repairs(self) -> list[str]:
        """The lines about what somebody else had undone."""
        return [line for line in self.text().splitlines() if "putting right" in line]

    def wakeups(self) -> int:
        """How often its threads have begun to wait so far (proc_pid_status(5))."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/status")
        lines = [line for task in tasks for line in task.read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


class Appliance:
    """The box; `appliance` makes one, with the robot and a campus network at the ends of its wires."""

    def __init__(self, folder: Path, network: Network, host: ManagedHost, campus: DhcpServer):
        """Take the parts together."""
        self.folder = folder
        self.network = network
        self.host = host
        self.campus = campus
        self.box: Box = network.boxes[0]
        self.program = program("netsetup")
        self.netsetup: Netsetup | None = None

    def configure(self, more: str = "", settings: str = SETTINGS) -> None:
        """Write the settings file as the appliance has it: for root, and for reading by the group of the settings."""
        self.host.run("mkdir", "-p", str(Path(SETTINGS_FILE).parent))
        written = subprocess.run(
            [*self.host.enter, "tee", SETTINGS_FILE], input=settings + more, text=True, capture_output=True, check=False
        )
        if written.returncode:
            raise WorldError(f"the settings: {written.stderr}")
        self.host.run("chown", "root:spotstream-settings", SETTINGS_FILE)
        self.host.run("chmod", "0640", SETTINGS_FILE)

    def start(self, env: dict[str, str] | None = None, user: str = "netsetup") -> Netsetup:
        """Start the service."""
        self.netsetup = Netsetup(self, env, user)
        return self.netsetup

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the service, if it runs; gives its exit code."""
        return self.netsetup.stop(how) if self.netsetup is not None else 0

    def command(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command of netsetup as its user, whatever comes of it."""
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        line = self.host.as_netsetup(["env", *given, program("netsetup"), *words])
        done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ {' '.join([*given, 'netsetup', *words])}\n{done.stdout}{done.stderr}= {done.returncode}\n")
        return done

    def apply(self) -> str:
        """`netsetup apply`, which must go well; what it prints."""
        done = self.command("apply")
        if done.returncode:
            raise WorldError(f"netsetup apply ({done.returncode}): {done.stdout}{done.stderr}")
        return done.stdout

    def show(self) -> Status:
        """What it says of itself; empty as long as it says nothing."""
        done = self.command("show", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def wait_for(self, true: Callable[[Status], bool], seconds: float, what: str) -> Status:
        """Wait until the status is so; gives it."""
        last: list[Status] = [{}]

        def seen() -> bool:
            last[0] = self.show()
            return bool(last[0]) and true(last[0])

        try:
            if self.netsetup is None:
                wait_until(seen, seconds, what)
            else:
                self.netsetup.wait_until(seen, seconds, what)
        except WorldError as error:
            raise WorldError(f"{error}\n{json.dumps(last[0])}") from None
        return last[0]

    def wait_until_ready(self, seconds: float = 20) -> Status:
        """Wait until both sides are ready."""
        return self.wait_for(lambda status: status["robot"]["ready"] and status["uplink"]["ready"], seconds, "ready")

    def ip(self, *words: str) -> Any:
        """What `ip -json` says on the box: a second opinion of the kernel."""
        return json.loads(self.host.run("ip", "-json", *words) or "[]")

    def way(self, destination: str, *more: str) -> dict[str, Any]:
        """Where the kernel would send a packet; empty when nowhere."""
        done = self.host.try_run("ip", "-json", "route", "get", destination, *more)
        return json.loads(done.stdout)[0] if done.returncode == 0 else {}

    def addresses(self, interface: str) -> list[str]:
        """The IPv4 addresses of an interface."""
        (shown,) = self.ip("-4", "address", "show", "dev", interface) or ({},)
        return [entry["local"] for entry in shown.get("addr_info", [])]

    def checkpoints(self) -> str:
        """What NetworkManager could still undo; nothing is "ao 0"."""
        words = ["get-property", "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"]
        return self.host.run("busctl", *words, "org.freedesktop.NetworkManager", "Checkpoints").strip()

    def profiles(self) -> list[str]:
        """The names of all profiles but that of loopback."""
        names = self.host.nmcli("-t", "-f", "NAME", "connection").splitlines()
        return sorted(name for name in names if name != "lo")

    def state(self) -> dict[str, Any]:
        """Everything that netsetup is to keep as it is: rules, routes, profiles, firewall, checkpoints."""
        fields = "NAME,UUID,TYPE,AUTOCONNECT,AUTOCONNECT-PRIORITY,READONLY,ACTIVE,DEVICE,STATE,FILENAME"
        shown = self.host.nmcli("-t", "-f", fields, "connection").splitlines()
        return {
            **self.state_of_kernel(),
            "profiles": sorted(line for line in shown if not line.startswith("lo:")),
            "checkpoints": self.checkpoints(),
        }

    def state_of_kernel(self) -> dict[str, Any]:
        """The part of it that outlives NetworkManager."""
        return {
            "rules": _sorted(self.ip("-4", "rule")),
            "routes": _sorted(self.ip("-4", "route", "show", "table", "all")),
            "firewall": self.host.run("nft", "-s", "list", "ruleset"),
        }

    def works(self) -> dict[str, Any]:
        """The state, without who made a route and with what metric: netsetup mends what NetworkManager does not."""
        state = self.state()
        keys = ("type", "dst", "dev", "gateway", "table", "prefsrc")
        routes = [{key: route[key] for key in keys if key in route} for route in state["routes"]]
        forwarding = self.host.run("sysctl", "-n", *(f"net.ipv4.conf.{name}.forwarding" for name in ("eth0", "wlan0")))
        return {**state, "routes": _sorted(routes), "forwarding": forwarding}

    def wait_for_state(self, wanted: dict[str, Any], seconds: float) -> None:
        """Wait until everything is as it was, given what `state` said, or what `works` said."""
        look = self.works if "forwarding" in wanted else self.state

        def same() -> bool:
            with contextlib.suppress(WorldError):
                return look() == wanted
            return False

        try:
            wait_until(same, seconds, "everything is as it was")
        except WorldError as error:
            raise WorldError(f"{error}\n{difference(wanted, look())}") from None

    def forget(self) -> None:
        """Take away everything that netsetup has made, so that the next apply is a first one."""
        for name in self.profiles():
            self.host.nmcli("connection", "delete", "id", name)
        for path in self.checkpoints().split()[2:]:
            words = ["org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"]
            self.host.run("busctl", "call", *words, words[0], "CheckpointDestroy", "o", path.strip('"'))
        while self.host.try_run("ip", "rule", "del", "protocol", PROTOCOL).returncode == 0:
            pass
        self.host.try_run("ip", "route", "flush", "table", TABLE)
        self.host.run("nft", "flush", "ruleset")


@contextlib.contextmanager
def appliance(
    folder: Path,
    layout: Layout = Layout.PAYLOAD,
    subnet: str = "198.51.100.0/24",
    servers: Sequence[str] = (),
    dists: Sequence[Path] = DISTS,
) -> Iterator[Appliance]:
    """A box with NetworkManager, robot and campus network; netsetup is not started yet."""
    network = Network(layout)
    campus = DhcpServer(folder / "campus", subnet, servers=servers)
    campus.names = {INGEST_NAME: NGINX_ADDRESS}
    with contextlib.ExitStack() as stack:
        campus.start()
        stack.callback(campus.stop)
        host = stack.enter_context(managed(folder, network.boxes[0], dists))
        box = Appliance(folder, network, host, campus)
        stack.callback(_end, box)
        box.configure()
        yield box


def profile_uuid(name: str) -> str:
    """The UUID that netsetup gives to its profile of this name."""
    return str(uuid.uuid5(PROFILES, name))


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """What of two states is not the same, for people."""
    lines = []
    for part, before in wanted.items():
        now = found.get(part)
        if before == now:
            continue
        if isinstance(before, list) and isinstance(now, list):
            lines += [f"{part}: missing {entry}" for entry in before if entry not in now]
            lines += [f"{part}: too many {entry}" for entry in now if entry not in before]
        else:
            lines.append(f"{part}: wanted {before}, found {now}")
    return "\n".join(lines)


def _sorted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))


def _end(box: Appliance) -> None:
    if box.netsetup is not None:
        with running(box.netsetup):
            pass
