"""A minute from the simulated robot into three servers, two of them over RTMP and one over RTMPS.

One robot with one encoder, three boxes with a daemon each, all at once; every test then looks at what was recorded.
"""

import contextlib
import functools
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import frame_code
import recording
from world.authority import Authority
from world.daemon import Bus, Daemon, settings
from world.ingest import Ffmpeg, Nginx, NodeMediaServer
from world.network import Network
from world.program import Program, running
from world.robot import Robot, Sent

SECONDS = 60
FPS = 30
SERVERS = ("nginx", "ffmpeg", "node-media-server")
KEY = "planted-stream-key"


@dataclass
class Run:
    """What one daemon was sent, and what its server recorded, from the moment when all three were live."""

    sent: list[Sent]
    recording: Path
    log: str
    # Camera frames that every daemon was live for, from the first to the last.
    window: range

    @functools.cached_property
    def stamps(self) -> list[tuple[float, frame_code.Stamp]]:
        """When each picture is shown, in seconds of the recording, and what it says about itself."""
        return [(seconds, frame_code.read(luma)) for seconds, luma in recording.pictures(self.recording)]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, node_modules: Path
) -> Iterator[dict[str, Run]]:
    """The minute itself."""
    folder = tmp_path_factory.mktemp("first-light")
    network = Network(boxes=len(SERVERS))
    nginx = Nginx(folder / "nginx")
    ffmpeg = Ffmpeg(folder / "ffmpeg", KEY)
    node = NodeMediaServer(folder / "node", authority, node_modules)
    urls = {"nginx": nginx.url, "ffmpeg": ffmpeg.url, "node-media-server": node.url}
    with contextlib.ExitStack() as stack:

        def start(program: Program) -> Program:
            return stack.enter_context(running(program))

        start(nginx.start())
        listener = start(ffmpeg.start())
        start(node.start())
        robot = start(Robot(folder))
        robot.wait_until_ready()

        daemons, sessions = {}, {}
        for box, (name, url) in zip(network.boxes, urls.items(), strict=True):
            home = folder / box.host
            trust = f'extra_ca = "{authority.root}"'
            daemon = Daemon(home, box, start(Bus(home, box)), settings(url, KEY, stream=trust))
            daemons[name] = start(daemon)
            known = set(robot.sessions())
            daemon.wait_for("Live", 60)
            # The last one: what failed to connect before it sent nothing, or was given up.
            sessions[name] = max(set(robot.sessions()) - known)
        first = last_frame(robot, sessions.values())
        time.sleep(SECONDS)
        last = last_frame(robot, sessions.values())
        for daemon in daemons.values():
            assert daemon.stop() == 0
        listener.wait(10)

        recordings = (nginx.recording(KEY), ffmpeg.recording, node.recording(KEY))
        yield {
            name: Run(robot.sent(sessions[name]), path, daemons[name].text(), range(first, last))
            for name, path in zip(SERVERS, recordings, strict=True)
        }


@pytest.fixture(params=SERVERS)
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    """One of the three."""
    return runs[request.param]


def test_the_server_has_h264_and_aac(run: Run):
    assert recording.codecs(run.recording) == {"video": "h264", "audio": "aac"}


def test_all_of_it_decodes_without_an_error(run: Run):
    assert recording.decode_errors(run.recording) == ""


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_decoding_times_rise_strictly(run: Run, kind: str):
    times = [packet.dts for packet in recording.packets(run.recording, kind)]
    assert len(times) > SECONDS * FPS
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


def test_an_idr_comes_every_two_seconds(run: Run):
    # A box that joins asks the one camera for an IDR: the rhythm is everybody's once the last has joined.
    unit_of = {unit.nals[-1]: unit for unit in run.sent}
    idrs = [
        packet.dts
        for packet in recording.packets(run.recording, "video")
        if packet.is_idr() and unit_of[packet.nals()[-1]].frame in run.window
    ]
    distances = [float(later - earlier) for earlier, later in itertools.pairwise(idrs)]
    assert len(distances) >= SECONDS / 2 - 2
    assert all(1.9 <= distance <= 2.1 for distance in distances), distances


def test_every_nal_of_the_picture_arrives_bit_for_bit(run: Run):
    published = [nal for packet in recording.packets(run.recording, "video") for nal in pictures_nals(packet.nals())]
    first = next(nal for nal in published if recording.nal_type(nal) == recording.IDR)
    start = next(number for number, unit in enumerate(run.sent) if first in unit.nals)
    assert all(unit.dropped == 0 for unit in run.sent)
    sent = [nal for unit in run.sent[start:] for nal in pictures_nals(unit.nals)]
    assert published == sent[: len(published)]
    # What is missing at the end was under way when the daemon was told to stop.
    assert units_of(run.sent[start:], len(published))[-1].frame >= run.window.stop


def test_every_frame_number_is_in_the_picture_once(run: Run):
    numbers = [stamp.frame for _, stamp in run.stamps]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert set(run.window) <= set(numbers)


def test_sound_and_picture_are_within_40_ms(run: Run):
    flashes = [now for (_, before), (now, stamp) in itertools.pairwise(run.stamps) if stamp.mark and not before.mark]
    tones = recording.tone_starts(run.recording)
    offsets = [min((tone - flash for tone in tones), key=abs) for flash in flashes[2:-2]]
    assert len(offsets) >= SECONDS - 5
    assert max(map(abs, offsets)) <= 0.040, offsets


def test_the_log_has_no_secret(run: Run):
    assert "planted-" not in run.log


def last_frame(robot: Robot, sessions) -> int:
    """The newest frame that was sent in all of `sessions`."""
    return min(robot.sent(session)[-1].frame for session in sessions)


def pictures_nals(nals: list[bytes]) -> list[bytes]:
    """Those that must arrive as they were sent."""
    return [nal for nal in nals if recording.nal_type(nal) in recording.PICTURE_NALS]


def units_of(sent: list[Sent], nals: int) -> list[Sent]:
    """The first access units that hold `nals` NALs of the picture together."""
    total = itertools.accumulate(len(pictures_nals(unit.nals)) for unit in sent)
    return [unit for unit, count in zip(sent, total, strict=True) if count <= nals]
