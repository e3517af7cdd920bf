"""The closing line of ci/test counts what ran, and never takes silence for success."""

import json
from pathlib import Path

from steps import tally

STARTED = {"type": "suite", "event": "started", "test_count": 2}
ENDED = {"type": "suite", "event": "ok", "passed": 2, "failed": 0}


def cargo(tmp_path: Path, code: int, *events: dict) -> tally.Tally:
    file = tmp_path / "events"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return tally.of_cargo_test(code, file)


def a_test(name: str, event: str) -> dict:
    return {"type": "test", "event": event, "name": name}


def pytest(tmp_path: Path, code: int, cases: str) -> tally.Tally:
    file = tmp_path / "junit.xml"
    file.write_text(f'<testsuites><testsuite name="pytest">{cases}</testsuite></testsuites>')
    return tally.of_pytest("referees", code, file)


def test_passed_and_failed_tests_of_all_programs_are_added(tmp_path: Path):
    events = [STARTED, a_test("one", "ok"), a_test("two", "failed"), ENDED, STARTED, a_test("three", "ok"), ENDED]
    assert cargo(tmp_path, 101, *events) == tally.Tally(2, ["two (failed)"])


def test_an_ignored_test_is_a_failure(tmp_path: Path):
    assert cargo(tmp_path, 0, STARTED, a_test("one", "ok"), a_test("two", "ignored"), ENDED).failed == ["two (ignored)"]


def test_a_program_that_dies_is_a_failure(tmp_path: Path):
    assert cargo(tmp_path, 101, STARTED, a_test("one", "ok")).failed == ["1 test program(s) ended without a result"]


def test_a_workspace_that_does_not_build_is_a_failure(tmp_path: Path):
    assert cargo(tmp_path, 101).failed == ["cargo test (exit code 101)"]


def test_no_test_at_all_is_a_failure(tmp_path: Path):
    assert cargo(tmp_path, 0).failed == ["cargo test (no test was run)"]
    assert pytest(tmp_path, 0, "").failed == ["referees (no test was run)"]


def test_a_skipped_test_is_a_failure(tmp_path: Path):
    cases = '<testcase classname="a" name="b"/><testcase classname="a" name="c"><skipped/></testcase>'
    assert pytest(tmp_path, 0, cases) == tally.Tally(1, ["a::c"])


def test_a_fixture_that_fails_is_a_failure(tmp_path: Path):
    cases = '<testcase classname="a" name="b"><error message="setup"/></testcase>'
    assert pytest(tmp_path, 1, cases) == tally.Tally(0, ["a::b"])


def test_a_report_that_was_never_written_is_a_failure(tmp_path: Path):
    assert tally.of_pytest("referees", 2, tmp_path / "none.xml").failed == ["referees (exit code 2)"]


def test_the_line_is_the_sum():
    assert str(tally.Tally(3, ["x"]) + tally.Tally(4)) == "7 passed, 1 failed"
