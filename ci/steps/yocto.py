"""meta-spotstream: alone, and with the real layers where they are."""

from steps import prepare, referees
from steps.console import run, say
from steps.tally import Tally
from yocto import bitbake


def alone() -> Tally:
    """Nothing is stale, oelint-adv is content, and cargo resolves with what the recipe fetches."""
    return _pytest("yocto", "test_yocto.py")


def layers() -> Tally:
    """With the layers that ci/yocto-check or SPOTSTREAM_LAYERS names, or that are in ~/.cache/spotstream/layers."""
    if not (bitbake.LAYERS / "bitbake").is_dir():
        say("yocto-layers: not run, as there are no layers: see ci/yocto-check")
        return Tally()
    return _pytest("yocto-layers", "test_yocto_layers.py", "test_yocto_build.py")


def _pytest(name: str, *files: str) -> Tally:
    # The tests have no network, and take the crates from where cargo has put them.
    if run("crates", ["cargo", "fetch", "--locked"]):
        raise prepare.Failed("the crates of Cargo.lock could not be fetched")
    return referees.pytest(name, files)
