"""What a start of the image costs its guest, beside a minimal Debian with the same kernel; in an empty network."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from world import helpers, minimal
from world.booted import BOOT_SECONDS, booted
from world.card import Card
from world.field import KEY, settings
from world.guest import Guest, end
from world.program import WorldError, wait_until
from world.wlan import WPA2

HERTZ = 100
# Of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
IDLE = (3, 4)
ON_AIR_BYTES = 20_000


def measure(folder: Path) -> dict[str, object]:
    """Both, one after the other."""
    boots = {}
    with booted(folder / "image", settings(WPA2)) as box:
        box.guest.wait_for_shell(BOOT_SECONDS)
        boots["image, to multi-user"] = _at(box.guest, _multi_user(box.guest))
        recording = box.field.nginx.recording(KEY)
        on_air = lambda: recording.exists() and recording.stat().st_size > ON_AIR_BYTES  # noqa: E731
        boots["image, to live"] = _at(box.guest, lambda: wait_until(on_air, BOOT_SECONDS, "it is live"))
    with _minimal(folder / "minimal") as machine:
        boots["minimal Debian, to multi-user"] = _at(machine, _multi_user(machine, "degraded"))
    ratio = boots["image, to multi-user"]["busy"] / boots["minimal Debian, to multi-user"]["busy"]
    return {"boots": boots, "ratio": ratio}


def _multi_user(machine: Guest, *fine: str) -> Callable[[], object]:
    def reached() -> None:
        answer, _ = machine.try_run("systemctl is-system-running --wait", BOOT_SECONDS)
        if answer not in ("running", *fine):
            raise WorldError(f"the system is {answer}\n{machine.run('systemctl --failed --no-legend --plain')}")

    return reached


def _at(machine: Guest, reached: Callable[[], object]) -> dict[str, float]:
    """The figures of the guest when something is reached."""
    reached()
    cores = [line.split() for line in machine.run("cat /proc/stat").splitlines() if line.startswith("cpu")]
    total = [int(word) for word in cores[0][1:9]]
    idle = sum(total[index] for index in IDLE)
    return {
        "total": float(machine.run("cat /proc/uptime").split()[0]),
        "busy": (sum(total) - idle) / HERTZ,
        "waiting": idle / HERTZ / (len(cores) - 1),
    }


@contextlib.contextmanager
def _minimal(folder: Path):
    folder.mkdir(parents=True)
    kernel, initrd, root = minimal.make(folder)
    disk = Card.flashed(root, folder / "disk.qcow2", "").layer
    units = ("tmp.mount", "s.service")
    words = ["-initrd", str(initrd), *helpers.credentials(folder / "credentials", {}, units)]
    machine = Guest(folder, disk, words, kernel)
    try:
        machine.on()
        machine.take_shell(BOOT_SECONDS)
        yield machine
    finally:
        end(machine)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
