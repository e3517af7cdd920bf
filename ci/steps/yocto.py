"""meta-spotstream with the real layers, where they are."""

from steps import referees
from steps.console import say
from steps.tally import Tally
from yocto import bitbake

FILES = ("test_yocto_layers.py",)


def layers() -> Tally:
    """With the layers that ci/yocto-check or SPOTSTREAM_LAYERS names, or that are in ~/.cache/spotstream/layers."""
    if not (bitbake.LAYERS / "bitbake").is_dir():
        say("yocto-layers: not run, as there are no layers: see ci/yocto-check")
        return Tally()
    return referees.pytest("yocto-layers", FILES)
