"""The test world itself: what the other tests stand on."""

import subprocess
from pathlib import Path

import pytest

import recording
from world.authority import Authority
from world.ingest import Ffmpeg, Nginx, NodeMediaServer
from world.network import CAMERA_ADDRESS, NGINX_ADDRESS, Layout, Network
from world.program import Program, running

FLV = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-c:a", "aac", "-f", "flv"]


@pytest.mark.parametrize("layout", Layout)
def test_a_box_reaches_robot_and_internet_and_nothing_else(layout):
    network = Network(layout)
    (box,) = network.boxes
    assert reaches(box.host, layout.robot_address)
    assert reaches(box.host, NGINX_ADDRESS)
    assert reaches(box.host, CAMERA_ADDRESS) == (layout is Layout.PAYLOAD)
    # The namespace of the wires has no address and no route: a packet cannot leave by it.
    assert subprocess.run(["ip", "-4", "route", "show", "table", "all"], check=True, capture_output=True).stdout == b""


def test_the_servers_record_what_a_publisher_sends(folder: Path, authority: Authority, node_modules: Path):
    (box,) = Network().boxes
    nginx = Nginx(folder / "nginx")
    ffmpeg = Ffmpeg(folder / "ffmpeg", "key")
    node = NodeMediaServer(folder / "node", authority, node_modules)
    with running(nginx.start()), running(ffmpeg.start()) as listener, running(node.start()):
        trust = ["-tls_verify", "1", "-ca_file", authority.root]
        for url, more in ((nginx.url, []), (ffmpeg.url, []), (node.url, trust)):
            source = ["-f", "lavfi", "-i", "testsrc=d=3:r=30", "-f", "lavfi", "-i", "sine=d=3"]
            words = ["ffmpeg", "-nostdin", "-v", "error", "-re", *source, *FLV, *more, f"{url}/key"]
            with running(Program(words, log=folder / "publisher.log", host=box.host)) as publisher:
                assert publisher.wait(20) == 0, publisher.text()
        assert listener.wait(10) == 0, listener.text()
    for path in (nginx.recording("key"), ffmpeg.recording, node.recording("key")):
        assert recording.codecs(path) == {"video": "h264", "audio": "aac"}
        assert recording.decode_errors(path) == ""
        assert len(recording.packets(path, "video")) == 90
        assert [packet.is_idr() for packet in recording.packets(path, "video")].count(True) == 2


def reaches(host: str, address: str) -> bool:
    """Whether an echo comes back."""
    words = ["ip", "netns", "exec", host, "ping", "-c", "1", "-W", "1", address]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
