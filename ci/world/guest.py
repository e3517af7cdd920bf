"""The image file itself, booted by U-Boot in an emulated machine that is plugged into the test world."""

import contextlib
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labgrid import Environment
from labgrid.driver import QEMUDriver, ShellDriver
from pexpect import TIMEOUT

from world import helpers
from world.network import PAYLOAD_BRIDGE, UPLINK_BRIDGE
from world.program import WorldError, wait_until

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
MACS = {"robot": "02:5e:00:00:00:01", "uplink": helpers.UPLINK_MAC}
# Frames as a cable brings them, whole and with their checksums: a simulated radio sends on what it is given.
PLAIN = "mrg_rxbuf=off,csum=off,gso=off," + ",".join(
    f"guest_{name}=off" for name in ("csum", "tso4", "tso6", "ecn", "ufo", "uso4", "uso6")
)
BRIDGES = {"robot": PAYLOAD_BRIDGE, "uplink": UPLINK_BRIDGE}
KERNEL_WORDS = "ro console=ttyAMA0 panic=10 loglevel=4 systemd.volatile=state"
MEMORY = "1024M"
# The guest's time is the number of its instructions, one a nanosecond; only an idle guest's passes by itself.
COUNTED = ("-icount", "shift=0")
# Whoever comes to a shell on the second serial port sees this.
PROMPT = "guest# "
READY = "helpers: ready"
# What the console shows on the way, and what that means.
MILESTONES = (
    (r"U-Boot 20\d\d", "U-Boot runs"),
    (r"spotstream: slot A", "the boot script has picked slot A"),
    (r"Starting kernel", "the kernel starts"),
    (READY, "userspace runs, and the access point is on air"),
)
GATE = "helpers: waiting at the gate"


class Guest:
    """One emulated machine; `guest` makes one and takes it away again."""

    def __init__(self, folder: Path, disk: Path, words: Sequence[str], kernel: Path | None = None):
        """Prepare it; `disk` is the card (qcow2), `words` are more of QEMU's command line.

        With a `kernel` that one is started, and no boot loader.
        """
        self.folder = folder
        self.console_log = folder / "console.log"
        self.console_log.unlink(missing_ok=True)
        extra = [
            "-smp",
            "2",
            "-accel",
            "tcg,thread=single" if COUNTED[0] in words else "tcg,thread=multi",
            "-chardev",
            f"file,id=console,path={self.console_log},append=on",
        ]
        # The first serial port is the appliance's console; labgrid's, the second one, has the helpers' shell.
        extra += ["-serial", "chardev:console", "-nic", "none", *words]
        environment = folder / "labgrid.yaml"
        environment.write_text(json.dumps(self._environment(disk, extra, kernel)))
        self.target = Environment(str(environment)).get_target("guest")
        self.qemu: QEMUDriver = self.target.get_driver("QEMUDriver", activate=False)
        self.log = (folder / "shell.log").open("a")
        self.begin = 0

    def _environment(self, disk: Path, extra: Sequence[str], kernel: Path | None) -> dict[str, Any]:
        qemu = {
            "qemu_bin": "qemu",
            "machine": "virt",
            "cpu": "cortex-a72",
            "memory": MEMORY,
            "disk": "card",
            "disk_opts": "id=card,cache=unsafe,discard=unmap",
            "extra_args": shlex.join(extra),
            **({"kernel": "kernel", "boot_args": KERNEL_WORDS} if kernel else {"bios": "u-boot"}),
        }
        # No login: the helpers' shell is there without one.
        shell = {"prompt": PROMPT, "login_prompt": "login: $", "username": "root", "login_timeout": 60}
        return {
            "targets": {"guest": {"drivers": {"QEMUDriver": qemu, "ShellDriver": shell}}},
            "tools": {"qemu": "/usr/bin/qemu-system-aarch64"},
            "images": {"card": str(disk), "u-boot": str(UBOOT), "kernel": str(kernel)},
        }

    def on(self) -> None:
        """Give it power."""
        self.begin = len(self.console())
        self.target.activate(self.qemu)
        self.qemu.on()

    def off(self) -> None:
        """Cut the power: nothing is told to end."""
        self.target.deactivate(self._shell())
        self.qemu.off()

    def _shell(self) -> ShellDriver:
        return self.target.get_driver("ShellDriver", activate=False)

    def console(self) -> str:
        """All that the console has shown so far."""
        return self.console_log.read_text(errors="replace") if self.console_log.exists() else ""

    def wait_for_console(
        self, pattern: str, seconds: float, what: str, meanwhile: Callable[[], object] | None = None
    ) -> re.Match[str]:
        """Wait until the console shows `pattern` since power was given; `meanwhile` is called now and then."""
        found: list[re.Match[str]] = []

        def seen() -> bool:
            if meanwhile is not None:
                meanwhile()
            if self.qemu._child is not None and self.qemu._child.poll() is not None:
                raise WorldError(f"QEMU has ended before {what}\n{self.end_of_console()}")
            match = re.compile(pattern).search(self.console(), self.begin)
            found.extend([match] if match else [])
            return match is not None

        try:
            wait_until(seen, seconds, what)
        except WorldError as error:
            raise WorldError(f"{error}\n{self.end_of_console()}") from None
        return found[0]

    def end_of_console(self, lines: int = 25) -> str:
        """The last lines of the console."""
        return "\n".join(self.console().splitlines()[-lines:])

    def wait_for_shell(self, seconds: float = 300, sign: str = READY) -> None:
        """Wait until the helpers are there, and take the shell."""
        self.wait_for_console(sign, seconds, "the helpers are there")
        self.target.activate(self._shell())

    def take_shell(self, seconds: int) -> None:
        """Take the shell, whatever else is there."""
        self._shell().login_timeout = seconds
        self.target.activate(self._shell())

    @property
    def shell(self) -> ShellDriver:
        """The helpers' shell."""
        return self.target.get_driver("ShellDriver")

    def try_run(self, command: str, seconds: float = 60) -> tuple[str, int]:
        """What a command of the guest's shell prints, and its exit code."""
        try:
            lines, _, code = self.shell.run(command, timeout=seconds)
        except TIMEOUT:
            starts = len(re.findall(MILESTONES[0][0], self.console()[self.begin :]))
            why = "the machine has started again" if starts > 1 else f"no answer within {seconds:g} s"
            # Whatever still runs is not to be in the way of the next command.
            self.shell.console.sendcontrol("c")
            raise WorldError(f"{command}: {why}\n{self.end_of_console()}") from None
        text = "\n".join(lines)
        self.log.write(f"$ {command}\n{text}\n= {code}\n")
        self.log.flush()
        return text, code

    def run(self, command: str, seconds: float = 60) -> str:
        """What a command prints that must go well."""
        text, code = self.try_run(command, seconds)
        if code:
            raise WorldError(f"{command} ({code}): {text}")
        return text

    def json(self, command: str, seconds: float = 60) -> Any:
        """What a command prints as JSON; nothing when that is nothing."""
        return json.loads(self.run(command, seconds) or "null")

    def write(self, path: str, text: str) -> None:
        """Write a small file in the guest."""
        self.run(f"printf %s {shlex.quote(text)} > {path}")

    def wait_until(self, true: Callable[[], bool], seconds: float, what: str) -> float:
        """As the function of that name; says what the console showed where it did not happen."""
        try:
            return wait_until(true, seconds, what)
        except WorldError as error:
            raise WorldError(f"{error}\n{self.end_of_console()}") from None

    def monitor(self, command: str) -> str:
        """A command of QEMU's human monitor; any answer but silence is a complaint."""
        return self.qemu.monitor_command("human-monitor-command", {"command-line": command})

    def save(self, name: str) -> None:
        """Take a snapshot of everything."""
        if said := self.monitor(f"savevm {name}"):
            raise WorldError(f"savevm: {said}")

    def load(self, name: str) -> None:
        """Go back to a snapshot."""
        if said := self.monitor(f"loadvm {name}"):
            raise WorldError(f"loadvm: {said}")

    def open_gate(self) -> None:
        """Let a start go on that waits at the gate."""
        self.run("echo open > /run/t.gate")

    def change_wlan(self, hostapd: str) -> None:
        """Another access point in place of the last one; none when empty."""
        self.write("/run/t.wlan", hostapd)
        self.run("/run/t/bin/ap stop; /run/t/bin/ap start")

    def pull_dongle(self) -> None:
        """Take the stick out: its radio is gone from the appliance."""
        self.run("/run/t/bin/dongle pull")

    def plug_dongle(self) -> None:
        """Put the stick back."""
        self.run("/run/t/bin/dongle plug")

    def link(self, side: str, up: bool) -> None:
        """Pull or plug the cable of one side."""
        self.qemu.monitor_command("set_link", {"name": side, "up": up})


@contextlib.contextmanager
def guest(folder: Path, disk: Path, wlan: str, *, gate: bool = False, words: Sequence[str] = ()) -> Iterator[Guest]:
    """A machine with `disk` in its slot, between the two bridges of the network; `wlan` is for hostapd.

    With `gate` it stops before it reads its settings, until `open_gate`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        more = [word for side in ("robot", "uplink") for word in stack.enter_context(_tap(side))]
        more += helpers.credentials(folder / "credentials", {"wlan": wlan, "gate": "closed" if gate else "open"})
        more += ["-drive", f"if=none,id=helpers,format=raw,readonly=on,file={helpers.disk(helpers.HELPERS)}"]
        more += ["-device", f"virtio-blk-pci,drive=helpers,serial={helpers.SERIAL},addr=0x10"]
        machine = Guest(folder, disk, [*more, *words])
        stack.callback(end, machine)
        machine.on()
        yield machine


@contextlib.contextmanager
def _tap(side: str) -> Iterator[list[str]]:
    """A wire from a bridge into the machine; gives the words for QEMU."""
    name = f"guest-{side}"
    for words in (("tuntap", "add", name, "mode", "tap"), ("link", "set", name, "master", BRIDGES[side], "up")):
        subprocess.run(["ip", *words], check=True)
    netdev = f"tap,id={side},ifname={name},script=no,downscript=no"
    try:
        yield ["-netdev", netdev, "-device", f"virtio-net-pci,netdev={side},mac={MACS[side]},romfile=,{PLAIN}"]
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def end(machine: Guest) -> None:
    """End it whatever state it is in."""
    child = machine.qemu._child
    if child is not None and child.poll() is None:
        child.kill()
        child.wait()
    machine.qemu._child = None
    machine.qemu.status = 0
    machine.target.cleanup()
    machine.log.close()
