"""Programs of the test world: started with a log, waited for by what they show, ended and reaped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# How often the world is looked at where it does not speak up by itself.
LOOK_SECONDS = 0.05


class WorldError(Exception):
    """Something in the test world did not happen; the message says what, and ends with the program's log."""


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until `true()`, at most `seconds`; gives the seconds it took."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise WorldError(f"{what}: not within {seconds:g} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - start


class Program:
    """A running program whose output is in `log`."""

    def __init__(
        self,
        command: list[str | Path],
        *,
        log: Path,
        host: str | None = None,
        env: dict[str, str] | None = None,
    ):
        """Start `command`, on a host of the network when one is named."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.name = log.stem
        words = [str(word) for word in command]
        if host is not None:
            words = ["ip", "netns", "exec", host, *words]
        with log.open("ab") as output:
            # A group of its own: Ctrl-C is for whoever runs the world, who ends its programs in good order.
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The program's own process id: `ip netns exec` turns into the program."""
        return self.process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def text(self) -> str:
        """All it has written."""
        return self.log.read_text(errors="replace")

    def wait_until(self, true: Callable[[], bool], seconds: float, what: str) -> float:
        """As the function of that name, and no longer than the program lives."""

        def true_or_ended() -> bool:
            return true() or not self.running()

        try:
            took = wait_until(true_or_ended, seconds, f"{self.name}: {what}")
        except WorldError as error:
            raise WorldError(f"{error}\n{self.end_of_log()}") from None
        if not self.running() and not true():
            raise WorldError(f"{self.name} ended ({self.process.returncode}) before {what}\n{self.end_of_log()}")
        return took

    def wait(self, seconds: float) -> int:
        """Wait for the end that comes by itself; gives the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise WorldError(f"{self.name} did not end within {seconds:g} s\n{self.end_of_log()}") from None

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 10) -> int:
        """End it and give the exit code. What does not end in time is killed, and that is an error."""
        if self.running():
            os.killpg(self.pid, how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
            raise WorldError(f"{self.name} outlived {how.name} by {seconds:g} s\n{self.end_of_log()}") from None

    def end_of_log(self, lines: int = 30) -> str:
        """The last lines of its output."""
        return "\n".join(self.text().splitlines()[-lines:])


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    """`program` for the length of a `with`; killed at its end where it was not stopped."""
    try:
        yield program
    finally:
        if program.running():
            os.killpg(program.pid, signal.SIGKILL)
            program.process.wait()
