"""Cameras that are not like the usual one, and networks of a robot that hang: the server still gets H.264 and AAC."""

import contextlib
import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import frame_code
import recording
from world.daemon import Bus, Daemon, settings
from world.ingest import Nginx
from world.network import ROBOT, Network, nft
from world.program import running, wait_until
from world.robot import Robot

KEY = "key"
# On the wire, behind the camera's memory of what it sent: every 47th large packet, most of which are video.
LOSS = """
table ip loss {
  counter lost { }
  chain out {
    type filter hook output priority 0
    udp sport 31000-31100 udp length > 800 numgen inc mod 47 == 0 counter name lost drop
  }
}
"""
SMALL = ("--video", "640x360", "--bitrate", "1500000")


@dataclass
class Show:
    """A camera that is live on nginx."""

    robot: Robot
    daemon: Daemon
    recording: Path

    def play(self, frames: int) -> None:
        """Until the camera has sent `frames` more."""
        session = self.robot.sessions()[-1]
        before = len(self.robot.sent(session))
        wait_until(lambda: len(self.robot.sent(session)) >= before + frames, 30, f"{frames} frames are sent")

    def end(self) -> None:
        """Stop in good order; nothing that went wrong may go unseen."""
        assert self.daemon.stop() == 0
        assert [line for line in self.daemon.text().splitlines() if " ERROR " in line or "panicked" in line] == []
        assert recording.codecs(self.recording) == {"video": "h264", "audio": "aac"}
        assert recording.decode_errors(self.recording) == ""

    def pictures(self) -> list[tuple[float, frame_code.Stamp]]:
        """When each picture is shown and what it says; each is there once."""
        pictures = [(seconds, frame_code.read(luma)) for seconds, luma in recording.pictures(self.recording)]
        numbers = [stamp.frame for _, stamp in pictures]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return pictures

    def sound_offsets(self) -> list[float]:
        """How long after each flash its tone starts, in seconds."""
        flashes = [
            now for (_, last), (now, stamp) in itertools.pairwise(self.pictures()) if stamp.mark and not last.mark
        ]
        tones = recording.tone_starts(self.recording)
        assert len(tones) >= 3, tones
        # At either end a flash may be recorded without its tone.
        return [min((tone - flash for tone in tones), key=abs) for flash in flashes[1:-1]]


@contextlib.contextmanager
def live(folder: Path, *camera: str, stream: str = "", more: str = "") -> Iterator[Show]:
    """Robot, box and server, until the daemon is live; `stream` and `more` are settings."""
    (box,) = Network().boxes
    nginx = Nginx(folder / "nginx")
    with running(nginx.start()), running(Robot(folder, *camera)) as robot:
        robot.wait_until_ready()
        text = settings(nginx.url, KEY, stream=stream, camera=more)
        with running(Bus(folder, box)) as bus, running(Daemon(folder / "box", box, bus, text, "debug")) as daemon:
            daemon.wait_for("Live", 60)
            yield Show(robot, daemon, nginx.recording(KEY))


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_telephone_sound_arrives_in_step_with_the_picture(folder: Path, codec: str):
    with live(folder, *SMALL, "--audio", codec) as show:
        show.play(210)
        show.end()
        offsets = show.sound_offsets()
        assert len(offsets) >= 3
        assert max(map(abs, offsets)) <= 0.040, offsets


@pytest.mark.parametrize(
    ("codec", "stream"),
    [("none", ""), ("opus", 'audio = "silent"')],
    ids=["no-microphone", "asked-for"],
)
def test_without_sound_a_silent_track_is_as_long_as_the_picture(folder: Path, codec: str, stream: str):
    with live(folder, *SMALL, "--audio", codec, stream=stream) as show:
        show.play(150)
        show.end()
        assert recording.tone_starts(show.recording) == []
        ends = [recording.packets(show.recording, kind)[-1].dts for kind in ("video", "audio")]
        assert abs(ends[0] - ends[1]) < 0.2


def test_a_camera_that_offers_to_receive_as_well_is_taken(folder: Path):
    with live(folder, *SMALL, "--direction", "sendrecv") as show:
        show.play(60)
        show.end()
        assert show.pictures()


def test_1080p_at_15_frames_a_second_has_its_idr_every_two_seconds(folder: Path):
    with live(folder, "--video", "1920x1080", "--fps", "15") as show:

        def interval() -> int:
            return show.robot.ask("state")["params"]["idrinterval"]

        wait_until(lambda: interval() == 30, 20, "the interval is two seconds of 15 frames")
        show.play(105)
        show.end()
        assert {luma.shape for _, luma in recording.pictures(show.recording)} == {(1080, 1920)}
        idrs = [packet.dts for packet in recording.packets(show.recording, "video") if packet.is_idr()]
        distances = [float(later - earlier) for earlier, later in itertools.pairwise(idrs)]
        assert distances[-2:] == pytest.approx([2, 2], abs=0.1), distances


def test_a_screen_of_another_size_is_published_anew(folder: Path):
    with live(folder, *SMALL) as show:
        show.daemon.control("screen", "set", "pano_full")

        def sizes() -> set[tuple[int, int]]:
            """Of what is recorded now: nginx starts its file again for each publisher."""
            with contextlib.suppress(Exception):
                return {luma.shape for _, luma in recording.pictures(show.recording)}
            return set()

        show.daemon.wait_until(lambda: sizes() == {(320, 640)}, 30, "the other size is recorded")
        show.daemon.wait_for("Live")
        show.play(60)
        show.end()
        assert sizes() == {(320, 640)}


def test_a_camera_that_sends_no_picture_is_degraded_until_it_does(folder: Path):
    with live(folder, *SMALL) as show:
        show.robot.ask("stop_rtp", on=True)
        show.daemon.wait_for("Degraded")
        assert show.daemon.status()["reason_kind"] == "no-picture"
        show.robot.ask("stop_rtp", on=False)
        show.daemon.wait_for("Live")
        show.play(90)
        show.end()


def test_a_robot_that_hangs_without_a_word_is_given_up_and_found_again(folder: Path):
    with live(folder, *SMALL) as show:
        known = show.robot.sessions()[-1]
        # Its sockets still take connections, and nobody answers on them.
        show.robot.process.send_signal(signal.SIGSTOP)
        try:
            given_up = ("Connecting", "WaitingForRobot")
            show.daemon.wait_until(lambda: show.daemon.status().get("state") in given_up, 60, "it gives up")
        finally:
            show.robot.process.send_signal(signal.SIGCONT)
        show.daemon.wait_for("Live", 60)
        show.play(90)
        assert show.robot.sessions()[-1] > known
        show.end()


def test_packets_that_are_sent_again_close_every_gap(folder: Path):
    with live(folder, *SMALL, "--retransmission") as show:
        nft(ROBOT, LOSS)
        show.play(150)
        lost = json.loads(nft_list(ROBOT, "lost"))["nftables"][1]["counter"]["packets"]
        nft(ROBOT, "delete table ip loss")
        show.play(30)
        show.end()
        assert lost >= 10
        assert len(show.pictures()) > 180


def nft_list(host: str, counter: str) -> str:
    """A counter of the table `loss`."""
    words = ["ip", "netns", "exec", host, "nft", "-j", "list", "counter", "ip", "loss", counter]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
