"""meta-spotstream without Yocto's layers: nothing is stale, and what its recipe fetches is enough to build from."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from yocto import bitbake, generated, offline
from yocto.packages import NONE, Equivalents

SOURCE = Path("/src")
LAYER = SOURCE / "meta-spotstream"
RECIPES = LAYER / "recipes-spotstream"
CRATES = RECIPES / "spotstream/spotstream-crates.inc"


@pytest.mark.parametrize("name", generated.files())
def test_a_generated_file_is_not_stale(name: str):
    assert (LAYER / name).read_text() == generated.files()[name], "run ci/yocto-generate"


def test_recipes_are_named_for_the_version_of_the_programs():
    version = tomllib.loads((SOURCE / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    found = {path.stem.rpartition("_")[2] for path in RECIPES.rglob("*_*.bb")}
    assert found == {version}


def test_the_recipe_fetches_what_cargo_lock_names():
    lock = tomllib.loads((SOURCE / "Cargo.lock").read_text())
    locked = {
        (package["name"], package["version"], package["checksum"]) for package in lock["package"] if "source" in package
    }
    text = CRATES.read_text()
    uris = re.findall(r"^    crate://\$\{SPOTSTREAM_CRATES_HOST\}/([^/]+)/(\S+) \\$", text, re.MULTILINE)
    sums = dict(re.findall(r'^SRC_URI\[(\S+)\.sha256sum\] = "([0-9a-f]{64})"$', text, re.MULTILINE))
    fetched = [(name, version, sums[f"{name}-{version}"]) for name, version in uris]
    assert len(fetched) == len(sums) == len(locked) > 100
    assert set(fetched) == locked


def test_no_registry_is_named_in_the_layer():
    (source,) = {
        package["source"]
        for package in tomllib.loads((SOURCE / "Cargo.lock").read_text())["package"]
        if "source" in package
    }
    host = source.rpartition("/")[2].removesuffix("-index")
    named = {path.name for path in LAYER.rglob("*") if path.is_file() and host in path.read_text(errors="replace")}
    assert named == set()


def test_every_package_of_the_debian_built_image_has_its_recipe_or_a_reason():
    locked = {
        line.split()[0]
        for line in (SOURCE / "image/packages.lock").read_text().splitlines()
        if line[:1] not in ("", "#")
    }
    table = Equivalents.read()
    assert table.recipe.keys() == locked
    # What is asked for by name is not reasoned away.
    wanted = {line for line in (SOURCE / "image/packages").read_text().split("\n") if line and line[0] != "#"}
    without = {package for package in wanted & locked if table.recipe[package] == NONE}
    assert without == {"dash", "linux-image-arm64", "login"}


def test_a_line_of_the_table_that_cannot_be_read_is_an_error(tmp_path: Path):
    for text in ("bash\n", "bash bash\nbash bash\n", "bash -\n", "bash a b\n"):
        table = tmp_path / "packages.txt"
        table.write_text(text)
        with pytest.raises(ValueError, match=r"packages\.txt, line"):
            Equivalents.read(table)


def test_kernel_options_that_the_image_needs_built_in_are_built_in():
    fragment = dict(
        line.split("=", 1)
        for line in (LAYER / generated.KERNEL_FRAGMENT).read_text().splitlines()
        if line.startswith("CONFIG_")
    )
    options = [line for line in (SOURCE / "image/kernel-options").read_text().splitlines() if line[:1] not in ("", "#")]
    assert fragment.keys() == {option.partition("=")[0] for option in options}
    assert all(fragment[name] == value for name, _, value in (option.partition("=") for option in options) if value)
    assert {value for value in fragment.values() if not value.isdigit()} == {"y", "m"}


def test_kas_pins_each_repository_to_a_commit():
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (LAYER / "kas").glob("*.yml")}
    machines = {name: file for name, file in files.items() if name != "base"}
    assert machines.keys() == set(bitbake.MACHINES)
    for name, file in machines.items():
        assert file["machine"] == name
        assert file["header"]["includes"] == ["meta-spotstream/kas/base.yml"]
    for file in files.values():
        for name, repository in (file.get("repos") or {}).items():
            if name != "spotstream":
                assert re.fullmatch(r"[0-9a-f]{40}", repository["commit"]), name


def test_oelint_has_no_errors_and_no_warnings(tmp_path: Path):
    files = sorted(str(path) for ending in ("bb", "bbappend", "bbclass", "conf") for path in LAYER.rglob(f"*.{ending}"))
    assert len(files) > 10
    words = ["--release", "wrynose", "--quiet", "--hide", "info", f"--constantmods=+{LAYER}/oelint.json"]
    # The one rule that asks the network.
    words += ["--suppress", "oelint.vars.homepageping"]
    done = subprocess.run(
        [Path(sys.executable).with_name("oelint-adv"), *words, *files],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.stderr + done.stdout == ""
    assert done.returncode == 0


def test_what_the_recipe_fetches_is_all_that_cargo_asks_for(tmp_path: Path):
    """That the programs build from it is in test_yocto_build.py, which takes its time."""
    resolved = json.loads(offline.Sources.unpack(tmp_path).cargo("metadata", "--format-version", "1"))
    strangers = {
        package["name"] for package in resolved["packages"] if not package["manifest_path"].startswith(str(tmp_path))
    }
    assert strangers == set()
    assert len(resolved["packages"]) > 300
