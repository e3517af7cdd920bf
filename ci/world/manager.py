"""Debian's NetworkManager with its own D-Bus and polkit, on one host, as the appliance has them."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from world.network import Box
from world.program import Program, WorldError, running

DISTS = (Path("/src/daemon/dist"), Path("/src/netsetup/dist"))
PRIVATE = Path(__file__).parent / "private"
BUS = "/run/dbus/system_bus_socket"
WIRES = ("eth0", "wlan0")
# What the unit gives to netsetup.
CAPABILITIES = "-all,+net_admin,+net_raw"


class ManagedHost:
    """A host whose network is NetworkManager's business; `managed` makes one."""

    def __init__(self, folder: Path, box: Box, dists: Sequence[Path] = DISTS):
        """Take away what the network had set up, and make the host private: nobody runs on it yet."""
        self.folder = folder
        self.box = box
        self.bus: Program | None = None
        self.polkit: Program | None = None
        self.manager: Program | None = None
        for interface in WIRES:
            for words in (("address", "flush", "dev", interface), ("link", "set", interface, "down")):
                subprocess.run(["ip", "-netns", box.host, *words], check=True)
        self.holder = Program([PRIVATE, box.host, *dists], log=folder / "private.log")

    @property
    def enter(self) -> list[str]:
        """What a command begins with that runs on this host as root."""
        return ["nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--root", "--wd"]

    def as_user(self, user: str, command: Sequence[str | Path]) -> list[str]:
        """`command` as a user without any capability."""
        return self._drop(user, "-all", command)

    def as_netsetup(self, command: Sequence[str | Path]) -> list[str]:
        """`command` as the unit of netsetup runs it: its user, two capabilities, and no way to more."""
        return self._drop("netsetup", CAPABILITIES, command)

    def _drop(self, user: str, capabilities: str, command: Sequence[str | Path]) -> list[str]:
        sets = [f"--{name}={capabilities}" for name in ("inh-caps", "ambient-caps", "bounding-set")]
        words = ["setpriv", f"--reuid={user}", "--regid", self.group_of(user), "--init-groups", *sets, "--no-new-privs"]
        return [*self.enter, *words, *(str(word) for word in command)]

    def group_of(self, user: str) -> str:
        """The number of a user's own group."""
        return self.run("id", "-g", user).strip()

    def start_bus(self) -> None:
        """Start dbus-daemon with the stock configuration and all installed policies."""
        words = ["dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--config-file=/run/dbus/system.conf"]
        self.bus = Program([*self.enter, *words], log=self.folder / "dbus.log")
        self.bus.wait_until(lambda: self.try_run("test", "-S", BUS).returncode == 0, 10, "it listens")

    def start_polkit(self) -> None:
        """Start polkitd with the installed rules, as its user."""
        words = ["/usr/lib/polkit-1/polkitd", "--no-debug", "--log-level=notice"]
        self.polkit = Program(self.as_user("polkitd", words), log=self.folder / "polkitd.log")
        self.polkit.wait_until(lambda: self.has_owner("org.freedesktop.PolicyKit1"), 10, "it is on the bus")

    def start_manager(self, seconds: float = 10) -> float:
        """Start NetworkManager and wait until it has found both wires; gives the seconds that took."""
        words = ["NetworkManager", "--debug", "--log-level=INFO"]
        self.manager = Program([*self.enter, *words], log=self.folder / "NetworkManager.log")
        return self.manager.wait_until(self.has_started, seconds, "it has started")

    def stop_manager(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End NetworkManager; what it has set up in the kernel stays, as on the appliance."""
        if self.manager is not None:
            self.manager.stop(how)

    def has_owner(self, name: str) -> bool:
        """Whether somebody has that name on the bus."""
        words = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner"]
        return self.try_run("busctl", *words, "s", name).stdout.strip() == "b true"

    def has_started(self) -> bool:
        """Whether NetworkManager has found both wires; what it does with them by then is another matter."""
        shown = self.try_run("nmcli", "-t", "-f", "DEVICE,STATE", "device").stdout.splitlines()
        states = dict(line.split(":", 1) for line in shown)
        return all(states.get(name, "unmanaged") != "unmanaged" for name in WIRES)

    def nmcli(self, *words: str) -> str:
        """What `nmcli` prints for root: a second opinion."""
        return self.run("nmcli", *words)

    def run(self, *words: str) -> str:
        """What a command prints on this host, as root; its complaint is an error."""
        done = self.try_run(*words)
        if done.returncode:
            raise WorldError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def try_run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command on this host as root, whatever comes of it."""
        return subprocess.run([*self.enter, *words], check=False, capture_output=True, text=True, timeout=30)


@contextlib.contextmanager
def managed(folder: Path, box: Box, dists: Sequence[Path] = DISTS) -> Iterator[ManagedHost]:
    """A host with bus, polkit and NetworkManager; everything on it is ended with the `with`."""
    host = ManagedHost(folder, box, dists)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(host.holder))
        # Also what was started again meanwhile.
        stack.callback(_end, host)
        host.holder.wait_until(lambda: "ready" in host.holder.text(), 20, "the host is private")
        host.start_bus()
        host.start_polkit()
        host.start_manager()
        yield host


def _end(host: ManagedHost) -> None:
    for program in (host.manager, host.polkit, host.bus):
        if program is not None and program.running():
            program.stop(signal.SIGKILL)
