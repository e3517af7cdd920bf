"""What a start of the image costs its guest, beside a minimal Debian with the same kernel; in an empty network.

Instructions are counted, not seconds: with -icount each one takes a nanosecond of the guest's time, so nothing that the
host does beside it changes the figures. Busy time of 10 s is 10^10 instructions.
"""

import contextlib
import json
import re
import sys
from pathlib import Path

from world import helpers, minimal
from world.booted import booted
from world.card import Card
from world.field import KEY, settings
from world.guest import COUNTED, Guest, end
from world.program import WorldError, wait_until
from world.wlan import WPA2

HERTZ = 100
# Of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
IDLE = (3, 4)
ON_AIR_BYTES = 20_000
# A counted start takes the host several times as long as one that is not.
SECONDS = 1500
FIGURES = "/run/m.figures"
NOW = "cat /proc/uptime /proc/stat /sys/fs/cgroup/system.slice/[st].service/cpu.stat"


def measure(folder: Path) -> dict[str, object]:
    """Both, one after the other."""
    boots = {}
    with booted(folder / "image", settings(WPA2), words=COUNTED) as box:
        recording = box.field.nginx.recording(KEY)
        box.guest.wait_for_shell(SECONDS)
        on_air = lambda: recording.exists() and recording.stat().st_size > ON_AIR_BYTES  # noqa: E731
        wait_until(on_air, SECONDS, "it is live")
        boots["image, to live"] = read(box.guest.run(NOW))
        boots["image, to multi-user"] = _at_multi_user(box.guest)
    with _minimal(folder / "minimal") as machine:
        boots["minimal Debian, to multi-user"] = _at_multi_user(machine)
    ratio = boots["image, to multi-user"]["busy"] / boots["minimal Debian, to multi-user"]["busy"]
    return {"boots": boots, "ratio": ratio}


def _at_multi_user(machine: Guest) -> dict[str, float]:
    machine.wait_until(lambda: machine.try_run(f"test -e {FIGURES}")[1] == 0, SECONDS, "multi-user is reached")
    failed = machine.run("systemctl --failed --no-legend --plain")
    if failed:
        raise WorldError(f"failed units: {failed}")
    return read(machine.run(f"cat {FIGURES}"))


def read(figures: str) -> dict[str, float]:
    """Seconds of the guest: in all, busy on all processors without the test's helpers, idle on each processor."""
    cores = [line.split() for line in figures.splitlines() if line.startswith("cpu")]
    total = [int(word) for word in cores[0][1:9]]
    idle = sum(total[index] for index in IDLE)
    helpers_busy = sum(int(usage) for usage in re.findall(r"^usage_usec (\d+)$", figures, re.MULTILINE)) / 1e6
    return {
        "total": float(figures.split()[0]),
        "busy": (sum(total) - idle) / HERTZ - helpers_busy,
        "waiting": idle / HERTZ / (len(cores) - 1),
    }


@contextlib.contextmanager
def _minimal(folder: Path):
    folder.mkdir(parents=True)
    kernel, initrd, root = minimal.make(folder)
    disk = Card.flashed(root, folder / "disk.qcow2", "").layer
    units = ("tmp.mount", "s.service", "m.service")
    words = [*COUNTED, "-initrd", str(initrd), *helpers.credentials(folder / "credentials", {}, units)]
    machine = Guest(folder, disk, words, kernel)
    try:
        machine.on()
        machine.take_shell(SECONDS)
        yield machine
    finally:
        end(machine)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
