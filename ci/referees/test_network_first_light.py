"""First light over networks that netsetup set up: the campus WiFi has the robot's own subnet, and both sides fail."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import recording
from world.appliance import SETTINGS, Appliance, appliance
from world.ingest import Nginx
from world.network import Wire
from world.program import Program, running, wait_until
from world.robot import Robot, program

KEY = "planted-stream-key"
PICTURE = ("--video", "640x360", "--fps", "30", "--bitrate", "1500000")
OUT_SECONDS = 20
# Who is cut off cannot take leave, and the server refuses the next one while it has the last one. As Twitch, it is to
# take a publisher that says nothing for gone; by itself nginx-rtmp never would.
IDLE_SECONDS = 5
PICTURE_BYTES = 5000
IDLE = "drop idle publisher"
BACK_SECONDS = 7
LOOK_SECONDS = 0.01


@dataclass
class World:
    """A box on air."""

    box: Appliance
    nginx: Nginx
    server: Program
    daemon: Program

    @property
    def recording(self) -> Path:
        return self.nginx.recording(KEY)

    def recorded(self) -> tuple[int, int]:
        """The recording and its length: the server writes each frame when it has come."""
        with contextlib.suppress(FileNotFoundError):
            stat = self.recording.stat()
            return stat.st_ino, stat.st_size
        return 0, 0

    def wait_for_a_picture(self, seconds: float) -> float:
        """Wait until the server has something new, and no mere headers; gives the seconds that took."""
        start, before = time.monotonic(), self.recorded()
        while self.recorded() == before or self.recorded()[1] < PICTURE_BYTES:
            if time.monotonic() - start > seconds:
                pytest.fail(f"no picture within {seconds:g} s\n{self.daemon.end_of_log()}\n{self.box.show()}")
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - start


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:

        def start(one: Program) -> Program:
            return stack.enter_context(running(one))

        box = stack.enter_context(appliance(folder, subnet="192.168.50.0/24"))
        nginx = Nginx(folder / "nginx", only_key=KEY, idle_seconds=IDLE_SECONDS)
        server = start(nginx.start())
        robot = start(Robot(folder, *PICTURE))
        robot.wait_until_ready()
        box.configure('\n[log]\nlevel = "debug"\n', SETTINGS)
        box.start()
        state = folder / "state"
        box.host.run("install", "-d", "-o", "spotstream", "-m", "0700", str(state))
        command = box.host.as_user("spotstream", [program("spotstreamd"), "--state-dir", state])
        daemon = start(Program(command, log=folder / "spotstreamd.log"))
        world = World(box, nginx, server, daemon)
        daemon.wait_until(lambda: world.recorded()[1] > 500_000, 60, "it is on air")
        yield world


@pytest.mark.parametrize("side", ["uplink", "cable"])
def test_the_stream_is_back_seven_seconds_after_the_wire(world: World, side: str):
    wire: Wire = world.box.box.dongle if side == "uplink" else world.box.box.cable
    assert world.box.show()["uplink"]["address"].startswith("192.168.50.")
    wire.pull()
    time.sleep(OUT_SECONDS - 5)
    before = world.recorded()
    time.sleep(5)
    assert world.recorded() == before, "nothing can have come"
    # Whatever is recorded from now on is of another session: the daemon has taken leave, or could not.
    ended = IDLE if side == "uplink" else "deleteStream"
    assert ended in world.server.text(), "the server still waits for the last session"
    wire.plug()
    took = world.wait_for_a_picture(BACK_SECONDS)
    print(f"{side}: a picture after {took:.2f} s")
    wait_until(lambda: world.recorded()[1] > 500_000, 20, "the stream goes on")
    world.wait_for_a_picture(1)
    assert world.daemon.stop() == 0
    assert recording.decode_errors(world.recording) == ""
