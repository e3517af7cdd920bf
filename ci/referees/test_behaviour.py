"""What spotstreamd does when the world is not as it should be, and what it never does."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import recording
from world.daemon import LOGIN_BY_PAYLOAD, Bus, Daemon, settings
from world.ingest import Nginx
from world.network import CAMERA_ADDRESS, Layout, Network
from world.program import Program, running, wait_until
from world.robot import PASSWORD, Robot

KEY = "planted-stream-key"
# Small, so that many of these fit in a minute of two cores.
PICTURE = ("--video", "640x360", "--fps", "30", "--bitrate", "1500000")
NOBODY = 65534


@dataclass
class World:
    """A robot, a box, a server; everything ends with the test."""

    folder: Path
    network: Network
    robot: Robot
    nginx: Nginx
    server: Program
    bus: Bus
    start: Callable[[Program], Program]

    @property
    def recording(self) -> Path:
        return self.nginx.recording(KEY)

    def daemon(self, key: str = KEY, **more: str) -> Daemon:
        """Start a daemon on the box; a second one finds the first one's state."""
        text = settings(self.nginx.url, key, **more)
        return self.start(Daemon(self.folder / "box", self.network.boxes[0], self.bus, text))

    def camera_values(self) -> dict:
        """What the camera is set to."""
        state = self.robot.ask("state")
        return {"params": state["params"], "screen": state["screen"]}


@pytest.fixture
def layout() -> Layout:
    return Layout.PAYLOAD


@pytest.fixture
def world(folder: Path, layout: Layout) -> Iterator[World]:
    with ExitStack() as stack:

        def start(program: Program) -> Program:
            return stack.enter_context(running(program))

        network = Network(layout)
        nginx = Nginx(folder / "nginx", only_key=KEY)
        server = start(nginx.start())
        robot = start(Robot(folder, *PICTURE, layout=layout))
        robot.wait_until_ready()
        bus = start(Bus(folder, network.boxes[0]))
        yield World(folder, network, robot, nginx, server, bus, start)


def test_a_refused_key_is_a_fault_with_its_reason_and_no_loop(world: World):
    daemon = world.daemon(key="planted-wrong-key")
    daemon.wait_for("Fault")
    status = daemon.status()
    assert status["reason_kind"] == "key-refused"
    assert "key" in status["reason"]
    tries = world.server.text().count("connect: app=")
    # Longer than the longest pause between two tries.
    time.sleep(8)
    assert world.server.text().count("connect: app=") == tries
    assert daemon.stop() == 0


def test_a_server_that_dies_and_returns_is_published_to_again(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    world.server.stop(signal.SIGKILL)
    daemon.wait_until(lambda: daemon.status().get("state") != "Live", 15, "it notices")
    world.recording.unlink()
    world.server = world.start(world.nginx.start())
    daemon.wait_for("Live")
    wait_until(lambda: world.recording.exists() and world.recording.stat().st_size > 500_000, 20, "media arrives")
    assert daemon.stop() == 0
    assert recording.decode_errors(world.recording) == ""


def test_a_robot_that_restarts_is_found_again(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    world.robot.stop(signal.SIGKILL)
    (world.robot.state / "ready").unlink()
    daemon.wait_until(lambda: daemon.status().get("state") != "Live", 30, "it notices")
    world.robot = world.start(Robot(world.folder, *PICTURE))
    world.robot.wait_until_ready()
    daemon.wait_for("Live", 60)
    assert daemon.stop() == 0


def test_a_changed_camera_certificate_is_a_fault_until_a_person_accepts_it(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    world.robot.ask("change_camera_certificate")
    world.robot.ask("drop_sessions")
    daemon.wait_for("Fault")
    status = daemon.status()
    assert status["reason_kind"] == "certificate-changed"
    assert "certificate" in status["reason"]
    daemon.control("pin", "accept", "camera")
    daemon.wait_for("Live")
    assert daemon.stop() == 0


def test_a_payload_waits_for_the_administrator_and_keeps_its_name(world: World):
    daemon = world.daemon(login=LOGIN_BY_PAYLOAD)
    daemon.wait_for("WaitingForAuthorization")
    guid = daemon.status()["payload_guid"]
    world.robot.ask("authorize_payload", guid=guid)
    daemon.wait_for("Live")
    assert daemon.stop() == 0
    secrets = [path for path in daemon.state.rglob("*") if path.is_file() and guid in path.read_text(errors="replace")]
    assert secrets and all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    again = world.daemon(login=LOGIN_BY_PAYLOAD)
    again.wait_for("Live")
    assert again.status()["payload_guid"] == guid
    assert again.stop() == 0


def test_the_camera_gets_its_old_values_back(world: World):
    before = world.camera_values()
    daemon = world.daemon(camera='target_bitrate_kbps = 2000\nscreen = "c2"')
    daemon.wait_for("Live")
    assert world.camera_values() == {
        "params": before["params"] | {"targetbitrate": 2_000_000, "idrinterval": 60},
        "screen": "c2",
    }
    assert daemon.stop(signal.SIGTERM) == 0
    assert world.camera_values() == before


def test_the_camera_gets_its_old_values_back_after_a_power_cut(world: World):
    before = world.camera_values()
    daemon = world.daemon(camera="target_bitrate_kbps = 2000")
    daemon.wait_for("Live")
    daemon.stop(signal.SIGKILL)
    ours = world.camera_values()
    assert ours != before
    again = world.daemon(camera="target_bitrate_kbps = 2500")
    again.wait_for("Live")
    assert again.stop() == 0
    assert world.camera_values() == before


def test_a_wrong_password_is_sent_once_and_again_when_a_person_wants_it(world: World):
    daemon = world.daemon(login='username = "operator"\npassword = "planted-wrong-password"')
    daemon.wait_for("Fault")
    assert daemon.status()["reason_kind"] == "invalid-login"

    def logins() -> int:
        return sum(call["path"].endswith("/GetAuthToken") for call in world.robot.ask("rpcs")["rpcs"])

    assert logins() == 1
    daemon.control("start")
    wait_until(lambda: logins() == 2, 10, "it logs in again")
    daemon.wait_for("Fault")
    assert daemon.stop() == 0


def test_it_stops_and_starts_when_it_is_told(world: World):
    before = world.camera_values()
    daemon = world.daemon(stream="autostart = false")
    daemon.wait_for("Idle")
    daemon.control("start")
    daemon.wait_for("Live")
    daemon.control("stop")
    daemon.wait_for("Idle")
    wait_until(lambda: world.camera_values() == before, 10, "the camera has its values back")
    assert daemon.try_control("camera", "set", "--target-bitrate", "2M").returncode == 1
    assert world.camera_values() == before, "a stopped daemon borrows nothing"
    daemon.control("start")
    daemon.wait_for("Live")
    daemon.control("camera", "set", "--target-bitrate", "2M")
    assert world.camera_values()["params"] != before["params"]
    assert daemon.stop() == 0
    assert world.camera_values() == before


def test_anyone_may_read_and_only_the_group_may_steer(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")

    def as_nobody(word: str) -> subprocess.CompletedProcess[str]:
        words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        words += [str(Path(os.environ["PATH_TO_PROGRAMS"]) / "spotstreamctl"), word, "--json"]
        return subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, **daemon.env})

    assert json.loads(as_nobody("status").stdout)["state"] == "Live"
    refused = as_nobody("stop")
    assert refused.returncode == 4, refused
    assert daemon.status()["state"] == "Live"
    assert daemon.stop() == 0


def test_lost_packets_never_reach_the_server_as_broken_pictures(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    world.robot.ask("drop_every", n=47)
    wait_until(lambda: dropped(world.robot) > 20, 30, "packets are lost")
    world.robot.ask("drop_every", n=0)
    sent = len(world.robot.sent(world.robot.sessions()[-1]))
    wait_until(lambda: len(world.robot.sent(world.robot.sessions()[-1])) > sent + 150, 20, "five seconds without loss")
    assert daemon.status()["state"] == "Live"
    assert daemon.stop() == 0
    assert recording.decode_errors(world.recording) == ""
    # Published units are whole, and after the loss everything comes through again.
    published = [packet.nals()[-1] for packet in recording.packets(world.recording, "video")]
    units = world.robot.sent(world.robot.sessions()[-1])
    whole = {unit.nals[-1] for unit in units if unit.dropped == 0}
    assert set(published) <= whole
    assert {unit.nals[-1] for unit in units[sent + 60 : sent + 120]} <= set(published)


def test_only_the_robot_side_address_is_bound(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    box = world.network.boxes[0]
    words = ["ip", "netns", "exec", box.host, "ss", "-Hanup"]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = [line.split()[3] for line in lines if f"pid={daemon.pid}," in line]
    assert ours
    # A wildcard would offer the uplink's address to the robot; mDNS would open port 5353 on every link.
    assert {place.rsplit(":", 1)[0].split("%")[0] for place in ours} == {box.robot_side}
    assert not any(place.endswith(":5353") for place in ours)
    assert daemon.stop() == 0


def test_no_secret_is_ever_said(world: World):
    daemon = world.daemon(login=LOGIN_BY_PAYLOAD)
    daemon.wait_for("WaitingForAuthorization")
    guid = daemon.status()["payload_guid"]
    world.robot.ask("authorize_payload", guid=guid)
    daemon.wait_for("Live")
    world.robot.ask("expire_tokens")
    words = ["ip", "netns", "exec", daemon.box.host, "busctl", f"--address={daemon.env['DBUS_SYSTEM_BUS_ADDRESS']}"]
    words += ["get-property", "org.spotstream.Daemon1", "/org/spotstream/Daemon1", "org.spotstream.Daemon1"]
    state = subprocess.run([*words, "State"], check=True, capture_output=True, text=True).stdout
    assert "Live" in state
    said = daemon.control("status", "--json") + daemon.control("check-config", str(daemon.settings), "--json")
    assert daemon.stop() == 0

    kept = [path.read_text(errors="replace") for path in daemon.state.rglob("*") if path.is_file()]
    kept_secret = next(
        word for text in kept if guid in text for word in text.split() if len(word) > 20 and guid not in word
    )
    said += daemon.text()
    assert "TRACE" in said, "the log is not at its most talkative"
    for secret in (KEY, PASSWORD, kept_secret):
        assert secret not in said


def test_it_calls_nothing_that_moves_or_powers_anything(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    assert daemon.stop() == 0
    called = {call["path"].removeprefix("/bosdyn.api.") for call in world.robot.ask("rpcs")["rpcs"]}
    services = {path.split("/")[0] for path in called}
    assert "spot_cam.StreamQualityService" in services
    assert services <= {
        "AuthService",
        "DirectoryService",
        "PayloadService",
        "PayloadRegistrationService",
        "RobotIdService",
        "TimeSyncService",
        "spot_cam.CompositorService",
        "spot_cam.StreamQualityService",
        "spot_cam.VersionService",
    }


def test_a_healthy_run_logs_no_error(world: World):
    daemon = world.daemon()
    daemon.wait_for("Live")
    assert daemon.stop() == 0
    assert [line for line in daemon.text().splitlines() if " ERROR " in line or "panicked" in line] == []


@pytest.mark.parametrize("layout", [Layout.REAR])
def test_the_rear_port_works_with_the_camera_behind_a_forward(world: World):
    reply = subprocess.run(["ip", "netns", "exec", "box1", "ping", "-c1", "-W1", CAMERA_ADDRESS], check=False)
    assert reply.returncode != 0, "the box must not reach the camera by itself"
    daemon = world.daemon()
    daemon.wait_for("Live", 60)
    assert daemon.stop() == 0


def dropped(robot: Robot) -> int:
    """Packets withheld so far in the newest session."""
    return sum(unit.dropped for unit in robot.sent(robot.sessions()[-1]))
