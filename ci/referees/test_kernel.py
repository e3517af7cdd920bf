"""The image's kernel: it has what the image needs of it, and the sticks that docs/decisions/0006-kernel.md promises."""

import json
import lzma
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path("/src")
DECISION = SOURCE / "docs/decisions/0006-kernel.md"
OPTIONS = SOURCE / "image/kernel-options"
FRAGMENT = SOURCE / "meta-spotstream/recipes-kernel/linux/files/spotstream.cfg"
MODESWITCH = SOURCE / "image/root/usr/lib/udev/rules.d/41-spotstream-modeswitch.rules"
IDENTIFIER = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{4}\b")


@dataclass(frozen=True)
class Stick:
    """A row of the table."""

    chip: str
    driver: str
    identifiers: list[str]
    firmware: list[str]


def sticks() -> list[Stick]:
    """The rows of the table that are promised for the kernel that was chosen."""
    rows = [line.strip("| ").split(" | ") for line in DECISION.read_text().splitlines() if line.startswith("| ")]
    return [
        Stick(row[0], row[1], IDENTIFIER.findall(row[3]), row[6].split(", ")) for row in rows[1:] if row[5] == "yes"
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image's root."""
    card = os.environ["SPOTSTREAM_IMAGE"]
    asked = subprocess.run(["sfdisk", "--json", card], check=True, capture_output=True, text=True)
    table = json.loads(asked.stdout)["partitiontable"]
    start = next(part["start"] for part in table["partitions"] if part.get("name") == "spot-root-a")
    to = tmp_path_factory.mktemp("image") / "root"
    offset = start * table["sectorsize"]
    subprocess.run(["fsck.erofs", f"--extract={to}", f"--offset={offset}", card], check=True, capture_output=True)
    return to


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, Path]:
    """The kernel's modules by the name that the kernel gives them."""
    found = root.glob("usr/lib/modules/*/kernel/**/*.ko.xz")
    return {path.name.removesuffix(".ko.xz").replace("-", "_"): path for path in found}


def told_by(module: Path, key: str) -> list[str]:
    """What a module says of itself under `key`, as modinfo shows it."""
    text = lzma.decompress(module.read_bytes())
    return [value.decode() for value in re.findall(rb"\0" + key.encode() + rb"=([ -~]*)", b"\0" + text)]


@pytest.mark.parametrize("option", [line for line in OPTIONS.read_text().splitlines() if line[:1] not in ("", "#")])
def test_the_kernel_has(root: Path, option: str):
    [config] = root.glob("usr/lib/modules/*/config")
    name, _, wanted = option.partition("=")
    values = re.findall(rf"^{name}=(.*)$", config.read_text(), re.MULTILINE)
    assert values, f"{name} is not set"
    assert wanted in ("", values[0])


def test_the_fragment_of_the_yocto_layer_has_the_values_of_this_kernel(root: Path):
    [config] = root.glob("usr/lib/modules/*/config")
    values = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", config.read_text(), re.MULTILINE))
    fragment = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", FRAGMENT.read_text(), re.MULTILINE))
    assert fragment == {name: values.get(name) for name in fragment}


@pytest.mark.parametrize("stick", sticks(), ids=lambda stick: stick.driver)
def test_the_stick_has_its_driver_and_its_firmware(root: Path, modules: dict[str, Path], stick: Stick):
    assert stick.driver in modules
    aliases = re.findall(r"usb:v([0-9A-F]{4})p([0-9A-F]{4})", "\n".join(told_by(modules[stick.driver], "alias")))
    known = {f"{vendor}:{product}".lower() for vendor, product in aliases}
    assert known.issuperset(stick.identifiers)
    missing = [name for name in stick.firmware if not (root / "usr/lib/firmware" / name).exists()]
    assert missing == []


def test_the_table_names_the_firmware_that_the_driver_asks_for(modules: dict[str, Path]):
    strangers = []
    for stick in sticks():
        depends = [name.replace("-", "_") for name in ",".join(told_by(modules[stick.driver], "depends")).split(",")]
        parts = [modules[name] for name in [stick.driver, *depends] if name in modules]
        asked = {name for part in parts for name in told_by(part, "firmware")}
        strangers += [name for name in stick.firmware if name not in asked]
    assert strangers == []


def listed(root: Path, index: str) -> set[str]:
    """The modules that an index of the kernel's package lists, by the name that the kernel gives them."""
    text = next(root.glob(f"usr/lib/modules/*/{index}")).read_text()
    return {Path(line).name.removesuffix(".ko").replace("-", "_") for line in text.splitlines()}


def asked_for(softdep: str) -> list[str]:
    """What a soft dependency names: modules, or aliases of some, to be loaded before or after."""
    return [word.replace("-", "_") for word in softdep.split() if word not in ("pre:", "post:")]


def test_every_module_finds_what_it_needs(root: Path, modules: dict[str, Path]):
    names = listed(root, "modules.builtin") | modules.keys()
    lost = {
        f"{name} needs {other}"
        for name, path in modules.items()
        for other in ",".join(told_by(path, "depends")).replace("-", "_").split(",")
        if other and other not in names
    }
    assert lost == set()


def test_no_module_asks_softly_for_one_that_was_pruned(root: Path, modules: dict[str, Path]):
    """Such a module loads, and a part of it does not work. What Debian does not build at all is not missed."""
    pruned = listed(root, "modules.order") - listed(root, "modules.builtin") - modules.keys()
    assert pruned, "something was pruned"
    lost = {
        f"{name} would like {other}"
        for name, path in modules.items()
        for softdep in told_by(path, "softdep")
        for other in asked_for(softdep)
        if other in pruned
    }
    assert lost == set()


def test_what_a_module_asks_for_softly_is_read():
    assert asked_for("pre: gf128mul crypto-aes post: brcmfmac-wcc") == ["gf128mul", "crypto_aes", "brcmfmac_wcc"]


def test_a_stick_that_starts_as_a_disk_is_switched(root: Path):
    rules = MODESWITCH.read_text()
    named = set(re.findall(r'idVendor}=="(\w{4})", ATTR\{idProduct}=="(\w{4})"', rules))
    sentence = DECISION.read_text().partition("start as a CD-ROM")[2].partition("switched by")[0]
    assert {":".join(pair) for pair in named} == set(IDENTIFIER.findall(sentence))
    assert (root / "usr/sbin/usb_modeswitch").exists()
