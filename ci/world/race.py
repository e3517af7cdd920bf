"""spotstreamd and GStreamer side by side on one camera; run in an empty network namespace by steps.bench."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from world.daemon import Bus, Daemon, settings
from world.network import CAMERA_ADDRESS, FFMPEG_ADDRESS, INTERNET, NODE_ADDRESS, Box, Layout, Network, listens
from world.program import Program, running, wait_until
from world.robot import USER, Robot, Sent, program

SECONDS = 60
BITRATE = 6_000_000
SETTLE_SECONDS = 5
# A frame that takes longer counts as lost.
PATIENCE_NS = 5_000_000_000
REFEREES = Path("/src/ci/referees")


def race(folder: Path, python: str) -> dict[str, dict[str, float]]:
    """What each of the two needed for a minute."""
    network = Network(boxes=2)
    ours, theirs = network.boxes
    tape = folder / "tape"
    picture = ["--bitrate", str(BITRATE), "--idr-interval", "60", "--video", "1280x720", "--fps", "30"]
    subprocess.run([program("spot-sim"), "encode", "--out", tape, "--seconds", "20", *picture], check=True)
    with contextlib.ExitStack() as stack:

        def start(one: Program) -> Program:
            return stack.enter_context(running(one))

        def sink(address: str, name: str) -> Path:
            arrivals = folder / f"{name}.jsonl"
            words = [python, REFEREES / "arrivals.py", f"rtmp://{address}:1935/app/key", arrivals]
            server = start(Program(words, log=folder / f"{name}-sink.log", host=INTERNET))
            server.wait_until(lambda: listens(INTERNET, address, 1935), 10, "it listens")
            return arrivals

        robot = start(Robot(folder, "--mode", f"replay={tape}", *picture))
        robot.wait_until_ready()
        arrivals = {"spotstreamd": sink(FFMPEG_ADDRESS, "spotstreamd"), "GStreamer": sink(NODE_ADDRESS, "gstreamer")}
        camera = f"target_bitrate_kbps = {BITRATE // 1000}"
        text = settings(f"rtmp://{FFMPEG_ADDRESS}:1935/app", "key", camera=camera)
        daemon = start(Daemon(folder / "box1", ours, start(Bus(folder / "box1", ours)), text, "info"))
        daemon.wait_for("Live", 60)
        relay = start(
            Program(
                [
                    "/usr/bin/python3",
                    "-m",
                    "world.gstreamer_relay",
                    CAMERA_ADDRESS,
                    f"rtmp://{NODE_ADDRESS}:1935/app/key",
                ],
                log=folder / "gstreamer.log",
                host=theirs.host,
                env={"TOKEN": token(python, robot, theirs, folder)},
            )
        )
        for path in arrivals.values():
            wait_until(lambda path=path: path.exists() and path.stat().st_size > 0, 30, f"{path.stem} sends")
        time.sleep(SETTLE_SECONDS)

        racers = {"spotstreamd": daemon, "GStreamer": relay}
        before = {name: cpu_seconds(racer.pid) for name, racer in racers.items()}
        start_ns = time.monotonic_ns()
        time.sleep(SECONDS)
        end_ns = time.monotonic_ns()
        after = {name: cpu_seconds(racer.pid) for name, racer in racers.items()}
        peak = {name: peak_rss_mib(racer.pid) for name, racer in racers.items()}
        time.sleep(PATIENCE_NS / 1e9)
        return {
            name: {
                "cpu_seconds": (after[name] - before[name]) * 60e9 / (end_ns - start_ns),
                "peak_rss_mib": peak[name],
                **delays(robot.sent(session), arrivals[name], start_ns, end_ns),
            }
            for name, session in zip(racers, robot.sessions(), strict=True)
        }


def token(python: str, robot: Robot, box: Box, folder: Path) -> str:
    """A login as the official SDK does it, from the box."""
    script = [REFEREES / "robot_token.py", Layout.PAYLOAD.robot_address, robot.ca, USER, folder / "robot-password"]
    words = ["ip", "netns", "exec", box.host, python, *map(str, script)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float:
    """The high-water mark of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def delays(sent: list[Sent], arrivals: Path, start_ns: int, end_ns: int) -> dict[str, float]:
    """From the last packet of a frame leaving the camera to the frame being whole at the server, in ms."""
    arrived = {}
    for row in map(json.loads, arrivals.read_text().splitlines()):
        arrived.setdefault(row["nal"], []).append(row["ns"])
    delays_ms = []
    lost = 0
    for unit in sent:
        if not start_ns <= unit.sent_ns < end_ns:
            continue
        # The tape is played in a loop: a frame's arrival is the first after it was sent, and far less than a loop away.
        times = arrived.get(hashlib.sha256(unit.nals[-1]).hexdigest(), [])
        after = [ns - unit.sent_ns for ns in times if 0 <= ns - unit.sent_ns < PATIENCE_NS]
        if after:
            delays_ms.append(after[0] / 1e6)
        else:
            lost += 1
    delays_ms.sort()
    return {
        "frames": len(delays_ms),
        "lost": lost,
        "p50_ms": delays_ms[len(delays_ms) // 2],
        "p99_ms": delays_ms[len(delays_ms) * 99 // 100],
    }


if __name__ == "__main__":
    print(json.dumps(race(Path(sys.argv[1]), sys.argv[2])))
