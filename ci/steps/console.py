"""What a person sees while the steps run: one line when a command starts, one when it ends, a sign of life between."""

import os
import subprocess
import threading
import time
from pathlib import Path

RESULTS = Path("/results")
SIGN_OF_LIFE_SECONDS = 30

_started = time.monotonic()
_write = threading.Lock()


def say(text: str) -> None:
    """Print one line with the minutes and seconds since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _started), 60)
    with _write:
        print(f"[{minutes:02}:{seconds:02}] {text}", flush=True)


def on_host(path: Path) -> str:
    """The name that `path` below /results has on the host."""
    return str(Path(os.environ["RESULTS_ON_HOST"]) / path.relative_to(RESULTS))


def run(name: str, command: list[str], *, env: dict[str, str] | None = None, stdout: Path | None = None) -> int:
    """Run `command` with its output in /results/NAME.log and give its exit code.

    `stdout` takes the standard output alone, for commands whose output is read by a program.
    A failure prints the end of the log.
    """
    log = RESULTS / f"{name}.log"
    say(f"{name} ...")
    before = time.monotonic()
    with log.open("wb") as to_log, (stdout or log).open("ab" if stdout is None else "wb") as to_stdout:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=to_stdout,
            stderr=to_log,
            env={**os.environ, **(env or {})},
        )
        try:
            while True:
                try:
                    code = process.wait(SIGN_OF_LIFE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{name} ... {last_line(log)}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    took = time.monotonic() - before
    say(f"{name}: {'ok' if code == 0 else f'exit code {code}'} ({took:.0f} s)")
    if code:
        show_end_of(log)
    return code


def last_line(log: Path) -> str:
    """The last line of `log` that says something, cut to the width of a console."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "")


def show_end_of(log: Path, lines: int = 60) -> None:
    """Print the last lines of `log` and where all of it is."""
    text = log.read_text(errors="replace").splitlines()[-lines:]
    with _write:
        print("\n".join("    " + line for line in text))
        print(f"    (all of it: {on_host(log)})", flush=True)
