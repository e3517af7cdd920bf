"""The demo as a person meets it: its page in a browser shows the robot's picture, and the picture moves."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy

import frame_code
from world.program import Program, running

PORT = 8080
# An emulated machine, from its boot loader to a picture on the server.
LIVE_SECONDS = 900
# Between two looks of the browser; the camera sends ten a second.
PICTURES = 8


def test_the_page_shows_a_moving_picture(folder: Path):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with running(Program([sys.executable, "-m", "steps.demo", "--port", str(PORT)], log=folder / "demo.log")) as demo:
        demo.wait_until(lambda: "spotstreamd: Live" in demo.text(), LIVE_SECONDS, "it is live")
        shots = [folder / "first.png", folder / "second.png"]
        script = Path(__file__).with_name("screenshots.mjs")
        words = ["node", script, f"http://127.0.0.1:{PORT}/", *shots]
        with running(Program(words, log=folder / "browser.log", env={"HOME": str(folder)})) as browser:
            assert browser.wait(120) == 0, browser.text()
        assert "spotstreamd: Live" in browser.text()
        page = folder / "page.html"
        words = ["curl", "-sS", "--max-time", "60", "-o", page, f"http://127.0.0.1:{PORT + 1}/"]
        with running(Program(words, log=folder / "page.log")) as asked:
            assert asked.wait(90) == 0, asked.text()
        assert "Live" in page.read_text()
        first, second = (frame_code.read(luma(shot)).frame for shot in shots)
        assert second - first >= PICTURES
        assert demo.stop(signal.SIGINT, 120) == 0
        before, after = re.findall(r"SHA-256 ([0-9a-f]{64})", demo.text())
        assert before == after
        sums = Path("/results/image/out/SHA256SUMS").read_text()
        assert before in sums


def luma(picture: Path) -> numpy.ndarray:
    """The brightness of a PNG."""
    with av.open(str(picture)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray")
