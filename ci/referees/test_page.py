"""The status page as a person meets it: Chromium as a phone, the real daemon, the socket that systemd passes."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from world.daemon import Bus, Daemon, settings
from world.ingest import Nginx
from world.network import Network
from world.program import Program, running
from world.robot import PASSWORD as ROBOT_PASSWORD
from world.robot import Robot

KEY = "planted-stream-key"
PASSWORD = "planted page & password"
PICTURE = ("--video", "640x360", "--fps", "30", "--bitrate", "1500000")
URL = "http://127.0.0.1/"
# What the image installs for its services; here everybody is root.
POLICY = """
<policy user="root">
  <allow own="org.spotstream.Appliance1"/><allow send_destination="org.spotstream.Appliance1"/>
  <allow own="org.spotstream.Network1"/><allow send_destination="org.spotstream.Network1"/>
</policy>
"""
# Elements that have no end tag (HTML, 13.1.2).
VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass
class World:
    """A daemon on the air that has been reached through its page."""

    folder: Path
    daemon: Daemon
    bus: Bus

    def on_the_box(self, *words: str | Path, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """A program on the daemon's host, whatever comes of it."""
        command = ["ip", "netns", "exec", self.daemon.box.host, *map(str, words)]
        env = {**os.environ, "HOME": str(self.folder), "PYTHONUTF8": "1"}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=seconds)

    def get(self, path: str, host: str = "spotstream.local") -> str:
        """What the page answers to a client that keeps nothing."""
        script = (
            "import sys, urllib.request as r\n"
            "request = r.Request(sys.argv[1], headers={'Host': sys.argv[2]})\n"
            "print(r.urlopen(request, timeout=20).read().decode())"
        )
        done = self.on_the_box("python3", "-c", script, URL + path, host)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:

        def start(program: Program) -> Program:
            return stack.enter_context(running(program))

        network = Network()
        box = network.boxes[0]
        nginx = Nginx(folder / "nginx", only_key=KEY)
        start(nginx.start())
        start(Robot(folder, *PICTURE)).wait_until_ready()
        bus = start(Bus(folder, box, POLICY))
        text = settings(nginx.url, KEY) + f'\n[status]\npassword = "{PASSWORD}"\n'
        daemon = start(Daemon(folder / "box", box, bus, text, page=80))
        daemon.wait_until(lambda: "Listening on" in daemon.text(), 10, "systemd listens for it")
        yield World(folder, daemon, bus)


def start_the_image_s_services(world: World) -> Program:
    """On the daemon's bus, with Debian's own Python."""
    box = world.daemon.box
    script = Path("/src/ci/world/image_service.py")
    env = {"DBUS_SYSTEM_BUS_ADDRESS": world.bus.address}
    service = Program(["/usr/bin/python3", script, box.robot_side, box.uplink], log=world.folder / "image.log", env=env)

    def answers() -> bool:
        return world.daemon.try_control("report").returncode == 0

    service.wait_until(answers, 10, "it is on the bus")
    return service


def test_a_person_with_a_phone_steers_the_stream(world: World):
    assert world.daemon.status() == {}, "systemd starts it for its first visitor"
    with running(start_the_image_s_services(world)):
        assert "spotstream" in world.get("")
        world.daemon.wait_for("Live")
        script = Path(__file__).with_name("page.mjs")
        done = world.on_the_box("node", script, URL, PASSWORD, world.folder, seconds=240)
        assert done.returncode == 0, done.stderr + world.daemon.end_of_log()
        seen = json.loads(done.stdout)
        (world.folder / "seen.json").write_text(json.dumps(seen, indent=1))
        assert world.daemon.control("doctor").splitlines()[0] == "ok      card: reads 41 MB/s, no errors"
        assert json.loads(world.daemon.control("doctor", "--json"))["checks"][1]["verdict"] == "problem"
        assert world.daemon.control("report") == seen["report"] == "spotstream 0.1.0+world\nstate: Live\n"
    assert seen["complaints"] == []
    for name, size in seen["sizes"].items():
        assert size["overflow"] <= 0, name
        assert size["smallestText"] >= 16, name
        assert size["lowestTarget"] >= 44, name
        # WCAG 2.2, 1.4.6: enhanced contrast.
        assert size["leastContrast"] >= 7, name
    stopped, started, camera, screen, doctor, plain = seen["notices"]
    assert (stopped, started, plain) == ("It stops.", "It starts.", "It stops.")
    assert (camera, screen) == ("The camera does so.", "The camera shows it.")
    assert doctor.startswith("Doctor has looked at everything")
    assert "2\u202f500 kb/s" in seen["camera"]
    assert "c2" in seen["screen"]
    assert "Use a supply of 5 V and 3 A with a short cable." in seen["doctor"]
    assert seen["typed"] == "3333"
    for known in (world.daemon.box.robot_side, world.daemon.box.uplink, 'Lab <b>"& friends'):
        assert known in seen["network"]
    assert world.daemon.stop() == 0
    said = json.dumps(seen, ensure_ascii=False) + world.daemon.text()
    assert [line for line in said.splitlines() if " ERROR " in line or "panicked" in line] == []
    for secret in (KEY, ROBOT_PASSWORD, PASSWORD):
        assert secret not in said


def test_the_page_is_sound_html_and_its_service_may_be_absent(world: World):
    page = world.get("")
    world.daemon.wait_for("Live")
    sound = Soundness()
    sound.feed(page)
    sound.close()
    assert sound.open == []
    assert sound.complaints == []
    assert "no doctor and no report" in page
    told = json.loads(world.get("status.json"))
    assert told["appliance"] is None
    assert told["state"] == "Live"
    refused = world.daemon.try_control("doctor")
    assert refused.returncode == 3
    assert refused.stderr.startswith("the appliance service, which comes with spotstream's image, does not run")
    assert world.daemon.try_control("report").returncode == 3
    assert world.daemon.stop() == 0


class Soundness(HTMLParser):
    """Complains about tags that do not close, names that are given twice, and fields without a label."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.complaints: list[str] = []
        self.names: set[str] = set()
        self.labelled: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if len(values) != len(attrs):
            self.complaints.append(f"{tag} has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)
        name = values.get("id")
        if name in self.names:
            self.complaints.append(f"{name} is there twice")
        if name:
            self.names.add(name)
        if tag == "label":
            self.labelled.add(values.get("for") or "")
        if tag in {"input", "select"} and values.get("type") != "hidden" and name not in self.labelled:
            self.complaints.append(f"{name} has no label")
        if any(attribute.startswith("on") or attribute == "style" for attribute in values):
            self.complaints.append(f"{tag} has what the page's own policy forbids")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.complaints.append(f"</{tag}> closes nothing")
