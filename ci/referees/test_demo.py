"""The demo as a person meets it: its page in a browser shows the robot's picture, and the picture moves."""

import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy

import frame_code
from world.program import Program, running

PORT = 8080


def test_the_page_shows_a_moving_picture(folder: Path):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with running(Program([sys.executable, "-m", "steps.demo", "--port", str(PORT)], log=folder / "demo.log")) as demo:
        demo.wait_until(lambda: "spotstreamd: Live" in demo.text(), 60, "it is live")
        shots = [folder / "first.png", folder / "second.png"]
        script = Path(__file__).with_name("screenshots.mjs")
        words = ["node", script, f"http://127.0.0.1:{PORT}/", *shots]
        with running(Program(words, log=folder / "browser.log", env={"HOME": str(folder)})) as browser:
            assert browser.wait(120) == 0, browser.text()
        assert "spotstreamd: Live" in browser.text()
        first, second = (frame_code.read(luma(shot)).frame for shot in shots)
        assert second - first >= 25
        assert demo.stop(signal.SIGINT, 20) == 0


def luma(picture: Path) -> numpy.ndarray:
    """The brightness of a PNG."""
    with av.open(str(picture)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray")
