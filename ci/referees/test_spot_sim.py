"""The simulated Spot against programs that take it for a real one: the official SDK, and aiortc as a viewer.

The SDK is unmodified. The viewer answers the way the official WebRTC example does. Everything runs in one network
namespace.
"""

import asyncio
import itertools
import subprocess
import threading
import time
import uuid
import warnings

import bosdyn.client
import bosdyn.client.spot_cam
import numpy as np
import pytest
import requests
from bosdyn.api.payload_pb2 import Payload
from bosdyn.api.spot_cam import streamquality_pb2
from bosdyn.client.exceptions import InvalidRequestError, UnauthenticatedError
from bosdyn.client.payload import PayloadClient
from bosdyn.client.spot_cam.compositor import CompositorClient
from bosdyn.client.spot_cam.health import HealthClient
from bosdyn.client.spot_cam.lighting import LightingClient
from bosdyn.client.spot_cam.network import NetworkClient
from bosdyn.client.spot_cam.power import PowerClient
from bosdyn.client.spot_cam.ptz import PtzClient
from bosdyn.client.spot_cam.streamquality import StreamQualityClient
from bosdyn.client.spot_cam.version import VersionClient
from google.protobuf.wrappers_pb2 import Int64Value
from spot_sim import BINARY, CAMERA, PASSWORD, ROBOT, SpotSim, make_payload_net
from viewer import Viewer

import frame_code

warnings.filterwarnings("ignore", message="Unverified HTTPS request")

MEGABIT = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def payload_net():
    make_payload_net()


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    with SpotSim(tmp_path_factory.mktemp("sim")) as sim:
        yield sim


def connect(sim: SpotSim):
    sdk = bosdyn.client.create_standard_sdk("referee", cert_resource_glob=str(sim.ca))
    bosdyn.client.spot_cam.register_all_service_clients(sdk)
    robot = sdk.create_robot(ROBOT)
    robot.update_secure_channel_port(sim.grpc_port)
    return robot


@pytest.fixture(scope="module")
def robot(sim):
    robot = connect(sim)
    robot.authenticate("operator", PASSWORD)
    return robot


@pytest.fixture
def quality(robot):
    """The stream parameters, put back afterwards."""
    client = robot.ensure_client(StreamQualityClient.default_service_name)
    yield client
    client.set_stream_params(target_bitrate=4 * MEGABIT, refresh_interval=30, idr_interval=0)
    set_idr_interval(client, 0)


def set_idr_interval(client, frames: int):
    """The SDK's own helper leaves zeros out."""
    params = streamquality_pb2.StreamParams(idrinterval=Int64Value(value=frames))
    request = streamquality_pb2.SetStreamParamsRequest(params=params)
    client.call(client._stub.SetStreamParams, request, copy_request=False)


# ---------------------------------------------------------------------------------------------------------------- login


def test_a_user_logs_in_and_a_wrong_password_is_refused(sim):
    robot = connect(sim)
    with pytest.raises(bosdyn.client.auth.InvalidLoginError):
        robot.authenticate("operator", "wrong")
    robot.authenticate("operator", PASSWORD)
    assert robot.user_token
    assert robot.get_id().species == "spot"


def test_a_locked_out_user_is_told_so(sim):
    sim.order("lock_out", user="operator", on=True)
    try:
        with pytest.raises(bosdyn.client.auth.TemporarilyLockedOutError):
            connect(sim).authenticate("operator", PASSWORD)
    finally:
        sim.order("lock_out", user="operator", on=False)
    connect(sim).authenticate("operator", PASSWORD)


def test_a_call_without_a_token_is_refused(sim):
    robot = connect(sim)
    with pytest.raises(UnauthenticatedError):
        robot.ensure_client("directory").list()


def test_a_payload_logs_in_once_an_administrator_has_said_yes(sim):
    robot = connect(sim)
    payload = Payload(GUID=str(uuid.uuid4()), name="referee", is_authorized=True)
    login = threading.Thread(
        target=robot.register_payload_and_authenticate, args=(payload, "a long secret", 0.1), daemon=True
    )
    login.start()

    def attempts():
        calls = sim.order("rpcs")["rpcs"]
        return [c for c in calls if c["path"].endswith("/GetPayloadAuthToken") and payload.GUID in c["request"]]

    wait_until(lambda: len(attempts()) >= 2, 10)
    assert login.is_alive(), "a payload that claims to be authorized was let in"
    sim.order("authorize_payload", guid=payload.GUID)
    login.join(10)
    assert robot.user_token
    names = [p.name for p in robot.ensure_client(PayloadClient.default_service_name).list_payloads()]
    assert "referee" in names
    assert any("Spot CAM" in name for name in names)
    assert not any("a long secret" in call["request"] for call in attempts())


def wait_until(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------------------- services


def test_time_is_synchronized(robot):
    robot.time_sync.wait_for_sync(timeout_sec=5)
    assert abs(robot.time_sync.get_robot_clock_skew().ToTimedelta().total_seconds()) < 0.1


def test_the_directory_lists_every_service_of_the_camera(robot):
    kinds = {entry.type for entry in robot.ensure_client("directory").list()}
    camera = ["StreamQuality", "Compositor", "Version", "Network", "Health", "Power", "Lighting", "Ptz", "Audio"]
    assert kinds >= {f"bosdyn.api.spot_cam.{name}Service" for name in camera}


def test_stream_parameters_are_merged_and_read_back(robot, quality):
    before = quality.get_stream_params()
    answer = quality.set_stream_params(target_bitrate=3 * MEGABIT, awb_mode=2)
    after = quality.get_stream_params()
    assert answer == after
    assert after.targetbitrate.value == 3 * MEGABIT
    assert after.awb.awb == 2
    assert after.refreshinterval == before.refreshinterval
    assert after.idrinterval.value == 0
    assert after.HasField("idrinterval"), "zero is a value, not the lack of one"


def test_screens_are_set_and_an_unknown_one_is_refused(robot):
    compositor = robot.ensure_client(CompositorClient.default_service_name)
    names = [screen.name for screen in compositor.list_screens()]
    assert len(names) == 15
    before = compositor.get_screen()
    with pytest.raises(InvalidRequestError):
        compositor.set_screen("nope")
    assert compositor.get_screen() == before
    compositor.set_screen("c2")
    assert compositor.get_screen() == "c2"
    compositor.set_screen(before)


def test_the_other_services_of_the_camera_answer(robot):
    assert robot.ensure_client(VersionClient.default_service_name).get_software_version().major_version == 5
    assert robot.ensure_client(NetworkClient.default_service_name).get_ice_configuration()[0].port == 3478
    assert robot.ensure_client(HealthClient.default_service_name).get_temperature()
    assert robot.ensure_client(PowerClient.default_service_name).get_power_status().ptz.value
    assert len(robot.ensure_client(LightingClient.default_service_name).get_led_brightness()) == 4
    ptz = robot.ensure_client(PtzClient.default_service_name)
    ptz.set_ptz_position(ptz.list_ptz()[0], pan=10.0, tilt=5.0, zoom=2.0)
    assert ptz.get_ptz_position(ptz.list_ptz()[0]).pan.value == 10.0
    assert ptz.get_ptz_position(ptz.list_ptz()[1]).pan.value == 0.0


# ----------------------------------------------------------------------------------------------------------- signalling


def test_signalling_wants_a_token_and_a_sound_answer(sim, robot):
    header = {"Authorization": f"Bearer {robot.user_token}"}

    def get(headers):
        return requests.get(sim.url, headers=headers, verify=False, timeout=10).status_code

    def post(body):
        return requests.post(sim.url, headers=header, data=body, verify=False, timeout=10).status_code

    assert get({}) == 401
    assert get({"Authorization": "Bearer None"}) == 401
    assert post("{") == 400
    assert post('{"id": "999", "sdp": "dj0wDQo="}') == 404
    sim.order("expire_tokens")
    assert get(header) == 401
    robot.authenticate("operator", PASSWORD)


def test_the_offer_is_what_the_official_client_can_take(sim, robot):
    async def offer():
        async with Viewer(sim.url, robot.user_token) as viewer:
            return viewer.offer

    lines = asyncio.run(offer()).splitlines()
    formats = [line for line in lines if line.startswith("a=fmtp:96 ")]
    assert len(formats) == 1
    for parameter in ("packetization-mode=1", "profile-level-id=42e01f", "level-asymmetry-allowed=1"):
        assert parameter in formats[0]
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    assert candidates
    for candidate in candidates:
        _, _, transport, _, address, port, _, kind = candidate.split()[:8]
        assert (transport.lower(), address, kind) == ("udp", CAMERA, "host")
        assert 31000 <= int(port) <= 31100
    for line in ("a=setup:actpass", "a=sendonly", "a=rtcp-mux", "a=end-of-candidates"):
        assert line in lines
    assert any(line.startswith("a=group:BUNDLE ") for line in lines)


# ------------------------------------------------------------------------------------------------------------- pictures


def watch(sim, robot, film):
    """Runs `film(viewer)` with a viewer that is connected and has a picture."""

    async def run():
        async with Viewer(sim.url, robot.user_token) as viewer:
            since = time.monotonic()
            await viewer.pli()
            await viewer.next_idr(since, within=5)
            return await film(viewer)

    return asyncio.run(run())


def stamp_of(picture) -> frame_code.Stamp:
    return frame_code.read(picture.to_ndarray(format="gray"))


def test_pictures_are_decoded_complete_and_say_when_they_were_taken(sim, robot):
    async def film(viewer):
        pictures = [await asyncio.wait_for(viewer.pictures.get(), 5) for _ in range(60)]
        return pictures, time.time() * 1000

    pictures, now = watch(sim, robot, film)
    stamps = [stamp_of(picture) for picture in pictures]
    assert {(p.width, p.height) for p in pictures} == {(1280, 720)}
    frames = [stamp.frame for stamp in stamps]
    assert frames == list(range(frames[0], frames[0] + 60))
    assert 0 <= now % 2**40 - stamps[-1].unix_ms < 1000
    marks = [stamp.mark for stamp in stamps]
    assert marks.count(True) == 12, "the mark is white for 0.2 s of each second"


def test_what_is_recorded_is_what_arrives(sim, robot):
    async def film(viewer):
        await asyncio.sleep(1)
        return viewer

    viewer = watch(sim, robot, film)
    sent = {row["rtp_timestamp"]: row for row in sim.rows(viewer.session)}
    units = viewer.units()[:-1]
    assert len(units) >= 25
    for unit in units:
        assert sim.nals(viewer.session, sent[unit.timestamp]) == unit.nals
    frames = [sent[unit.timestamp]["frame"] for unit in units]
    assert frames == list(range(frames[0], frames[0] + len(units)))
    delays = [unit.done - sent[unit.timestamp]["sent_ns"] / 1e9 for unit in units]
    assert 0 <= min(delays) < 0.05


def test_there_is_no_idr_until_one_is_asked_for(sim, robot):
    async def film(viewer):
        quiet = time.monotonic()
        await asyncio.sleep(3)
        silent = viewer.units(quiet)[1:-1]
        since = time.monotonic()
        await viewer.pli()
        after_pli = await viewer.next_idr(since, within=1)
        since = time.monotonic()
        await viewer.fir()
        after_fir = await viewer.next_idr(since, within=1)
        return silent, after_pli, after_fir

    silent, after_pli, after_fir = watch(sim, robot, film)
    assert len(silent) > 70
    assert not any(unit.is_idr for unit in silent)
    assert sum(7 in unit.kinds for unit in silent) >= 2, "intra refresh repeats the parameter sets"
    for unit in (after_pli, after_fir):
        assert {7, 8, 5} <= set(unit.kinds)
    state = sim.order("state")
    assert state["picture_loss_indications"] >= 1
    assert state["full_intra_requests"] == 1


def test_the_bitrate_obeys_within_a_second(sim, robot, quality):
    async def film(viewer):
        rates = {}
        for target in (6 * MEGABIT, 500_000, 2 * MEGABIT):
            quality.set_stream_params(target_bitrate=target)
            await asyncio.sleep(1)
            rates[target] = await viewer.bitrate(5)
        return rates, viewer

    rates, viewer = watch(sim, robot, film)
    assert not any(12 in unit.kinds for unit in viewer.units()), "filler is no obedience"
    for target, rate in rates.items():
        assert rate == pytest.approx(target, rel=0.1), f"{rates}"


def test_the_idr_interval_obeys_within_a_second(sim, robot, quality):
    async def film(viewer):
        since = time.monotonic()
        quality.set_stream_params(idr_interval=15)
        await viewer.next_idr(since, within=1)
        await asyncio.sleep(2.5)
        units = viewer.units(since)[1:-1]
        return [index for index, unit in enumerate(units) if unit.is_idr]

    places = watch(sim, robot, film)
    assert len(places) >= 4
    assert set(np.diff(places)) == {15}


def test_a_screen_changes_the_picture_and_pano_full_its_size(sim, robot):
    compositor = robot.ensure_client(CompositorClient.default_service_name)
    names = [screen.name for screen in compositor.list_screens()]

    async def film(viewer):
        seen = {}
        for name in ("c2", "pano_full", "mech_full"):
            compositor.set_screen(name)
            async with asyncio.timeout(5):
                while True:
                    picture = await viewer.pictures.get()
                    try:
                        stamp = stamp_of(picture)
                    except frame_code.Unreadable:
                        continue
                    if names[stamp.screen] == name:
                        break
            seen[name] = (picture.width, picture.height), picture.to_ndarray(format="gray").mean()
        return seen

    seen = watch(sim, robot, film)
    assert seen["c2"][0] == seen["mech_full"][0] == (1280, 720)
    assert seen["pano_full"][0] == (1280, 640)


def test_tone_and_mark_start_together(sim, robot):
    async def film(viewer):
        await asyncio.sleep(3.5)
        return viewer

    viewer = watch(sim, robot, film)
    pictures, sounds = (
        [queue.get_nowait() for _ in range(queue.qsize())] for queue in (viewer.pictures, viewer.sounds)
    )
    sent = {row["frame"]: row["rtp_timestamp"] for row in sim.rows(viewer.session)}
    marks = []
    for before, after in itertools.pairwise(pictures):
        if not stamp_of(before).mark and stamp_of(after).mark:
            marks.append(seconds(viewer.reports["video"][-1], 90_000, sent[stamp_of(after).frame]))
    tones = []
    quiet = False
    for sound in sounds:
        samples = np.abs(sound.to_ndarray().reshape(-1)[::2].astype(int))
        loud = samples > 1000
        if quiet and loud.any():
            tones.append(
                seconds(viewer.reports["audio"][-1], 48_000, viewer.first_sound + sound.pts) + loud.argmax() / 48_000
            )
        quiet = not loud.any()
    assert len(marks) >= 2
    for mark in marks[1:]:
        assert min(abs(mark - tone) for tone in tones) < 0.02


def seconds(report: tuple[int, int], rate: int, timestamp: int) -> float:
    """The sender's wall clock at an RTP timestamp, in s."""
    ntp, reference = report
    ticks = (timestamp - reference + 2**31) % 2**32 - 2**31
    return ntp / 2**32 + ticks / rate


def test_two_viewers_watch_at_once_and_one_may_leave(sim, robot):
    async def both():
        async with Viewer(sim.url_through_the_robot, robot.user_token) as first:
            async with Viewer(sim.url, robot.user_token) as second:
                await asyncio.sleep(1)
                assert len(sim.order("state")["sessions"]) >= 2
                assert second.arrivals
            left = time.monotonic()
            await asyncio.sleep(1)
            return len(first.units(left))

    assert asyncio.run(both()) > 20


def test_packets_are_withheld_on_request(sim, robot):
    async def film(viewer):
        sim.order("drop_every", n=10)
        since = time.monotonic()
        await asyncio.sleep(1)
        sim.order("stop_rtp", on=True)
        await asyncio.sleep(0.3)
        silent = time.monotonic()
        await asyncio.sleep(0.5)
        return [a.sequence for a in viewer.arrivals if a.at >= since], [a for a in viewer.arrivals if a.at > silent]

    try:
        sequences, silent = watch(sim, robot, film)
    finally:
        sim.order("drop_every", n=0)
        sim.order("stop_rtp", on=False)
    assert not silent
    gaps = sum((b - a) % 65536 - 1 for a, b in itertools.pairwise(sequences))
    assert gaps == pytest.approx(len(sequences) / 9, abs=3)


# --------------------------------------------------------------------------------------------------------------- replay


def test_a_tape_is_replayed_with_another_sound_and_direction(tmp_path):
    tape = tmp_path / "tape"
    film = ["--video", "640x360", "--bitrate", str(MEGABIT), "--idr-interval", "15"]
    subprocess.run([BINARY, "encode", "--out", str(tape), "--seconds", "2", *film], check=True, timeout=30)
    options = ["--mode", f"replay={tape}", "--direction", "sendrecv", "--audio", "pcmu"]
    with SpotSim(tmp_path / "sim", *options) as sim:
        robot = connect(sim)
        robot.authenticate("operator", PASSWORD)

        async def watch_tape(viewer):
            await asyncio.sleep(3)
            return viewer

        viewer = watch(sim, robot, watch_tape)
        assert "a=sendrecv" in viewer.offer and "PCMU/8000" in viewer.offer
        pictures = [viewer.pictures.get_nowait() for _ in range(viewer.pictures.qsize())]
        # The request for a key frame has wound the tape near the start.
        pictures = pictures[-70:]
        assert len(pictures) == 70
        assert {(p.width, p.height) for p in pictures} == {(640, 360)}
        frames = [stamp_of(picture).frame for picture in pictures]
        steps = set(np.diff(frames))
        assert steps == {1, -59}, "two seconds at 30 fps in a loop"
        assert viewer.sounds.qsize() > 100
