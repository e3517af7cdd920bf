"""How much of a picture the emulated appliance carries: started once, with a camera that sends more and more."""

import json
import sys
import time
from pathlib import Path

from world.booted import BOOT_SECONDS, Booted, booted
from world.bootrace import read
from world.field import settings
from world.program import running
from world.robot import Robot
from world.wlan import WPA2

BITRATE = 2_000_000
PICTURES = (("640x360", 10), ("640x360", 30), ("1280x720", 30))
# What is looked at, once the stream has been on air for a while.
SETTLED_SECONDS = 8
SECONDS = 20
LOST = ("frames_dropped", "frames_withheld", "packets_lost")


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Pictures a second that are sent on, pictures and packets that are lost, and how busy the two processors are."""
    with booted(folder, settings(WPA2, kbps=BITRATE // 1000)) as box:
        box.guest.wait_for_shell(BOOT_SECONDS)
        box.wait_for_state("Live")
        return {f"{size}, {rate}/s": _carried(box, size, rate) for size, rate in PICTURES}


def _carried(box: Booted, size: str, rate: int) -> dict[str, float]:
    box.field.robot.stop()
    box.guest.wait_until(lambda: box.status().get("state") != "Live", BOOT_SECONDS, "the old camera is gone")
    camera = Robot(box.folder, "--video", size, "--fps", str(rate), "--bitrate", str(BITRATE))
    with running(camera):
        box.field.robot = camera
        camera.wait_until_ready()
        box.wait_for_state("Live")
        on_air = lambda: box.status()["statistics"].get("live_seconds", 0) > SETTLED_SECONDS  # noqa: E731
        box.guest.wait_until(on_air, BOOT_SECONDS, "it is on air")
        before = _now(box)
        # A length of time is what is measured here.
        time.sleep(SECONDS)
        change = {name: value - before[name] for name, value in _now(box).items()}
    return {
        "sent": change["frames_sent"] / change["total"],
        "lost": sum(change[name] for name in LOST),
        "busy": change["busy"] / change["total"] / 2,
    }


def _now(box: Booted) -> dict[str, float]:
    told = box.status()["statistics"]
    return {name: told[name] for name in ("frames_sent", *LOST)} | read(box.guest.run("cat /proc/uptime /proc/stat"))


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
