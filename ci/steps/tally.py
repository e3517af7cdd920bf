"""Counts of checks, read from what the test programs write for programs."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Tally:
    """How many checks passed, and the names of those that did not."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return f"{self.passed} passed, {len(self.failed)} failed"


def of_command(name: str, code: int) -> Tally:
    """A command that checks one thing: a linter, a formatter."""
    return Tally(1) if code == 0 else Tally(0, [name])


def of_pytest(name: str, code: int, junit: Path) -> Tally:
    """What pytest wrote as JUnit. A skipped test was not run: it counts as failed."""
    tally = Tally()
    if junit.exists():
        for case in ElementTree.parse(junit).iter("testcase"):
            bad = [case.find(kind) for kind in ("failure", "error", "skipped")]
            if any(element is not None for element in bad):
                tally.failed.append(f"{case.get('classname')}::{case.get('name')}")
            else:
                tally.passed += 1
    return _with_exit_code(tally, name, code)


def of_cargo_test(code: int, events: Path) -> Tally:
    """The JSON lines of libtest, from all test programs of one `cargo test`. An ignored test counts as failed."""
    tally = Tally()
    unfinished = 0
    for line in events.read_text(errors="replace").splitlines():
        if not line.startswith("{"):
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        match event.get("type"), event.get("event"):
            case "suite", "started":
                unfinished += 1
            case "suite", _:
                unfinished -= 1
            case "test", "ok":
                tally.passed += 1
            case "test", ("failed" | "ignored" | "timeout") as how:
                tally.failed.append(f"{event.get('name')} ({how})")
    if unfinished:
        tally.failed.append(f"{unfinished} test program(s) ended without a result")
    return _with_exit_code(tally, "cargo test", code)


def _with_exit_code(tally: Tally, name: str, code: int) -> Tally:
    """A program that failed, or that ran nothing, without naming a failed test is a failure of its own."""
    if code and not tally.failed:
        tally.failed.append(f"{name} (exit code {code})")
    if not code and not tally.passed:
        tally.failed.append(f"{name} (no test was run)")
    return tally
