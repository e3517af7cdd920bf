"""What do_compile of meta-spotstream's recipes will do, as far as cargo goes: the host's machine code, unoptimized."""

from pathlib import Path

from yocto import offline

# Each recipe and the programs that it installs.
PROGRAMS = {
    "spotstream": {"netsetup", "spotstream-appliance", "spotstreamctl", "spotstreamd"},
    "spotstream-card-native": {"image"},
}


def test_the_programs_build_from_nothing_but_what_the_recipe_fetches(tmp_path: Path):
    sources = offline.Sources.unpack(tmp_path)
    assert len(offline.flags()) == len(PROGRAMS)
    for flags in offline.flags():
        sources.cargo("build", *flags)
    built = {path.name for path in (tmp_path / "target/debug").iterdir() if path.is_file() and not path.suffix}
    assert built >= set.union(*PROGRAMS.values())
