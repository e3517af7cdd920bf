"""The steps that cargo does."""

from steps import prepare, tally
from steps.console import RESULTS, run
from steps.tally import Tally


def fmt() -> Tally:
    """Formatting, by rustfmt."""
    return tally.of_command("cargo fmt", run("fmt", ["cargo", "fmt", "--all", "--check"]))


def clippy() -> Tally:
    """Lints; a warning is an error."""
    with prepare.target():
        code = run("clippy", ["cargo", "clippy", *prepare.WORKSPACE, "--", "-D", "warnings"])
    return tally.of_command("cargo clippy", code)


def unit() -> Tally:
    """Unit and property tests."""
    events = RESULTS / "unit.jsonl"
    # libtest writes JSON on the nightly channel alone, or when this is set. It is set for the test programs only: some
    # build scripts ask for it, and would be run again with all that depends on them.
    runner = 'target."cfg(all())".runner=["env","RUSTC_BOOTSTRAP=1"]'
    tests = ["cargo", "test", "--offline", "--config", runner, *prepare.WORKSPACE, "--no-fail-fast"]
    tests += ["--", "-Zunstable-options", "--format", "json"]
    # Loopback is all that they get.
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with prepare.target():
        prepare.build_and_copy()
        env = {"SPOTSTREAM_REFEREE_PYTHON": str(prepare.python())}
        code = run("unit", [*alone, *tests], env=env, stdout=events)
    return tally.of_cargo_test(code, events)
