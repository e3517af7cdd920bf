"""The steps that pytest does, and the linters of scripts."""

import subprocess

from steps import image, prepare, tally
from steps.console import RESULTS, run
from steps.tally import Tally

# These have no way out to build it themselves; the demo finds what was built.
NEED_IMAGE = {"selector", "slots", "kernel", "image", "demo"}


def scripts() -> Tally:
    """Every shell script of the tree through shellcheck."""
    found = subprocess.run(
        ["grep", "-rlIE", "--exclude-dir=.git", "--exclude-dir=target", "^#!/bin/(ba|busybox )?sh", "/src"],
        check=True,
        capture_output=True,
        text=True,
    )
    code = run("shellcheck", ["shellcheck", *sorted(found.stdout.split())])
    return tally.of_command("shellcheck", code)


def python() -> Tally:
    """Every Python file of the tree through ruff, the linter and the formatter."""
    ruff = [str(prepare.python()), "-m", "ruff"]
    options = ["--no-cache", "--config", "/src/ci/ruff.toml"]
    result = Tally()
    for name, words in {"ruff": ["check"], "ruff-format": ["format", "--check"]}.items():
        code = run(name, [*ruff, *words, *options, "/src/ci"])
        result += tally.of_command(name, code)
    return result


def pytest(name: str, files: tuple[str, ...]) -> Tally:
    """Files of ci/referees, in a network namespace that has no way out."""
    junit = RESULTS / f"{name}.xml"
    junit.unlink(missing_ok=True)
    env = {
        "NODE_PATH": str(prepare.node_modules()),
        "PATH_TO_PROGRAMS": str(prepare.BIN),
        "SPOTSTREAM_DESCRIPTORS": str(prepare.DESCRIPTORS),
        "SPOT_SIM": str(prepare.BIN / "spot-sim"),
    }
    if name in NEED_IMAGE:
        env |= image.for_a_guest()
    command = ["unshare", "--net", str(prepare.python()), "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
    command += [f"--junit-xml={junit}", *(str(prepare.REFEREES / file) for file in files)]
    return tally.of_pytest(name, run(name, command, env=env), junit)
