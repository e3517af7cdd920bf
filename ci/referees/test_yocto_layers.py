"""meta-spotstream with the real layers: they are in /layers, and nothing is fetched or built."""

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from yocto import bitbake
from yocto.bitbake import Build, complaints
from yocto.packages import Equivalents

SOURCE = Path("/src")
LAYER = SOURCE / "meta-spotstream"
IN_THE_IMAGE = {"spotstream", "spotstream-conf", "networkmanager", "rauc", "systemd", "dbus-broker", "zram-generator"}
# What the preset enables and is not ours: recipe, package, unit.
ENABLED = {
    "NetworkManager.service": ("networkmanager", "networkmanager-daemon"),
    "wpa_supplicant.service": ("wpa-supplicant", "wpa-supplicant"),
    "dbus-broker.service": ("dbus-broker", "dbus-broker"),
    "ssh.service": ("openssh", "openssh-sshd"),
}
OF_SYSTEMD = {"systemd-resolved.service": "resolved", "systemd-timesyncd.service": "timesyncd"}
OTHER_LAYERS = "/layers/(?!openembedded-core/)"
# What our recipes need of these, in a distribution that is not ours.
OF_OTHER_LAYERS = (
    "dnsmasq",
    "jansson",
    "keyutils",
    "libndp",
    "libnftnl",
    "libnvme",
    "networkmanager",
    "nftables",
    "nspr",
    "nss",
    "rauc",
    "rauc-conf",
    "rauc-native",
)
# The bus's socket comes with whichever bus there is.
OF_THE_BUS = {"dbus.socket"}


@pytest.fixture(scope="session", params=bitbake.MACHINES)
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """A build folder for each machine, whose bitbake stays and has to read its cache but once."""
    build = Build.of(request.param, request.param, 'BB_SERVER_TIMEOUT = "600"')
    yield build
    build.run("stop", "bitbake", "-m")


@pytest.fixture(scope="session")
def parsed(build: Build) -> str:
    """What the parser says; everything after it finds its work done."""
    return build.run("parse", "bitbake", "-p")


@pytest.fixture(scope="session")
def image(build: Build, parsed: str) -> dict[str, str]:
    """The variables of spotstream-image."""
    return build.variables("spotstream-image")


@pytest.fixture(scope="session")
def graph(build: Build, parsed: str) -> set[str]:
    """The recipes that spotstream-image is made of."""
    assert complaints(build.run("graph", "bitbake", "-g", "spotstream-image")) == []
    return set((build.folder / "pn-buildlist").read_text().split())


@pytest.fixture(scope="session")
def signed(build: Build, graph: set[str]) -> Build:
    """A folder in which the signatures of the image's tasks are written."""
    return _sign(build, "first")


def _sign(build: Build, run: str) -> Build:
    """With what the image is made of: a third of all recipes is left to parse, most of them openembedded-core's."""
    recipes = re.findall(r"/([^/_]+)[^/]*\.bb\"", (build.folder / "task-depends.dot").read_text())
    # image.bbclass starts the image's tasks in the build folder, and so has its name in their signatures.
    settings = (bitbake.only(recipes, among=OTHER_LAYERS), 'BB_BASEHASH_IGNORE_VARS:append = " TOPDIR"')
    signed = Build.of(f"{build.machine}-{run}", build.machine, *settings)
    signed.run("signatures", "bitbake", "-S", "lockedsigs", "spotstream-image")
    return signed


def _signatures(signed: Build) -> list[str]:
    """Recipe, task and signature, with colons between."""
    return re.findall(r"^ +(\S+:\w+:[0-9a-f]{64}) ", (signed.folder / "locked-sigs.inc").read_text(), re.MULTILINE)


def test_the_layers_are_those_that_kas_fetches():
    pinned = {}
    for file in (LAYER / "kas").glob("*.yml"):
        for name, repository in (yaml.safe_load(file.read_text()).get("repos") or {}).items():
            if "commit" in repository:
                pinned[name] = repository["commit"]
    assert len(pinned) == 5
    assert {name: bitbake.commit(name) for name in pinned} == pinned


def test_all_is_parsed_without_a_complaint(parsed: str):
    assert complaints(parsed) == []
    assert re.search(r"Parsing of \d+ \.bb files complete .* 0 errors|Loaded [1-9]\d* entries", parsed)


def test_a_dry_run_resolves_the_image_and_its_bundle(build: Build, graph: set[str]):
    """One task of each recipe: a dry run parses the recipe anew for every task, and finds the same each time."""
    said = build.run("dry-run", "bitbake", "-n", "--runonly=fetch", "spotstream-image", "spotstream-bundle")
    assert complaints(said) == []
    assert re.search(r"Attempted \d+ tasks .* all succeeded", said)
    assert len(re.findall(r":do_fetch\)", said)) >= len(graph)


def test_the_image_is_made_of_the_parts_of_the_appliance(graph: set[str]):
    assert graph >= IN_THE_IMAGE


def test_every_recipe_that_stands_for_a_debian_package_is_in_the_image(
    build: Build, graph: set[str], image: dict[str, str]
):
    named = Equivalents.read().recipes(build.machine)
    kernel = image["PREFERRED_PROVIDER_virtual/kernel"]
    assert {kernel if recipe == "virtual/kernel" else recipe for recipe in named} - graph == set()


def test_the_card_is_made_of_the_image_s_own_data(image: dict[str, str], signed: Build):
    assert image["IMAGE_FSTYPES"].split() == ["card"]
    assert f"spotstream-card card --tree {SOURCE} " in image["IMAGE_CMD:card"]
    (signature,) = (line for line in _signatures(signed) if line.startswith("spotstream-image:do_image_card:"))
    (task,) = signed.folder.glob(
        f"tmp/stamps/*/spotstream-image/*.do_image_card.sigdata.{signature.rpartition(':')[2]}"
    )
    sums = dict(
        re.findall(r"\['(?:\./)?([^']+)', '([0-9a-f]{32})'\]", signed.run("card", "bitbake-dumpsig", str(task)))
    )
    for name in ("boot/boot.cmd", "boot/config.txt", "boot/state.txt", "boot/uboot.env", "genimage.cfg", "prune"):
        path = SOURCE / "image" / name
        assert sums[path.name] == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_there_is_no_second_boot_script_or_partition_table():
    strangers = [
        path
        for pattern in ("*.wks*", "*.cmd*", "genimage*", "uboot.env", "config.txt", "*.preset", "system.conf")
        for path in LAYER.rglob(pattern)
    ]
    assert strangers == []


def test_a_bundle_calls_itself_what_the_boxes_take(build: Build, parsed: str):
    bundle = build.variables("spotstream-bundle")
    system = (SOURCE / "image/rauc/system.conf").read_text()
    assert bundle["RAUC_BUNDLE_COMPATIBLE"] in re.findall(r"^compatible=(.*)$", system, re.MULTILINE)
    assert bundle["RAUC_BUNDLE_FORMAT"] in re.findall(r"^bundle-formats=(.*)$", system, re.MULTILINE)
    slots = set(re.findall(r"^\[slot\.(\w+)\.\d\]$", system, re.MULTILINE))
    assert set(bundle["RAUC_BUNDLE_SLOTS"].split()) == slots


def test_the_same_units_are_enabled(build: Build, parsed: str):
    preset = (SOURCE / "image/root/usr/lib/systemd/system-preset/00-spotstream.preset").read_text()
    wanted = set(re.findall(r"^enable (\S+)$", preset, re.MULTILINE))
    ours = {unit for unit in wanted if unit.startswith(("spotstream", "netsetup"))}
    assert wanted - ours == {*ENABLED, *OF_SYSTEMD, *OF_THE_BUS}
    for unit, (recipe, package) in ENABLED.items():
        assert unit in build.variables(recipe)[f"SYSTEMD_SERVICE:{package}"].split(), unit
    assert set(OF_SYSTEMD.values()) <= set(build.variables("systemd")["PACKAGECONFIG"].split())
    conf = build.variables("spotstream-conf")
    assert "file://image/root/usr/lib/systemd/system-preset/00-spotstream.preset" in conf["SRC_URI"].split()


def test_our_units_are_those_of_the_dist_trees(build: Build, parsed: str):
    program = build.variables("spotstream")
    units = {
        path.name
        for tree in ("daemon/dist", "netsetup/dist", "image/appliance/dist")
        for path in (SOURCE / tree / "usr/lib/systemd/system").iterdir()
    }
    assert program["DIST_TREES"].split() == ["daemon/dist", "netsetup/dist", "image/appliance/dist"]
    assert set(program["SYSTEMD_SERVICE:spotstream"].split()) == units


def test_users_have_the_same_numbers(build: Build, parsed: str):
    sysusers = (SOURCE / "image/root/usr/lib/sysusers.d/00-spotstream-image.conf").read_text()
    numbers = dict(re.findall(r"^u!?\s+(\S+)\s+(\d+)", sysusers, re.MULTILINE))
    found = {}
    for recipe, package in {
        "spotstream": "spotstream",
        "openssh": "openssh-sshd",
        "polkit": "polkit",
        "systemd": "systemd",
        "dbus-broker": "dbus-broker",
        "dbus": "dbus-common",
    }.items():
        for command in build.variables(recipe).get(f"USERADD_PARAM:{package}", "").split(";"):
            words = shlex.split(command)
            if "--uid" in words:
                found[words[-1]] = words[words.index("--uid") + 1]
    assert {"spotstream", "netsetup", "sshd", "polkitd", "messagebus"} <= found.keys()
    assert {name: numbers.get(name) for name in found} == found


def test_the_kernel_gets_the_options_that_the_image_needs(build: Build, parsed: str):
    kernel = build.variables("virtual/kernel")
    uris = kernel["SRC_URI"].split()
    assert "file://spotstream.cfg" in uris
    assert ("file://raspberrypi.cfg" in uris) == (build.machine == "raspberrypi4-64")
    assert ("file://tegra210-p3541-0000.dts" in uris) == (build.machine == "jetson-nano-mainline")
    assert "spotstream.cfg" in {path.name for path in _found(kernel, "spotstream.cfg")}


def _found(variables: dict[str, str], name: str) -> list[Path]:
    return [path for folder in variables["FILESPATH"].split(":") if (path := Path(folder) / name).exists()]


def test_signatures_are_the_same_in_a_second_run(build: Build, signed: Build):
    first, second = (_signatures(run) for run in (signed, _sign(build, "second")))
    assert len(first) > 3000
    assert first == second


@pytest.mark.parametrize("ours", bitbake.OURS)
def test_yocto_check_layer_passes(ours: str):
    """With all of openembedded-core, and of the other layers the recipes that ours need."""
    mask = bitbake.only(OF_OTHER_LAYERS, among=OTHER_LAYERS)
    core = ("openembedded-core/meta",)
    build = Build.of(f"check-{Path(ours).name}", "qemuarm64", mask, distro="nodistro", layers=core, ours=())
    needed = [str(bitbake.LAYERS / layer) for layer in bitbake.NEEDED]
    words = ["yocto-check-layer", "--no-auto", "--no-auto-dependency", ours, "--dependency", *needed]
    assert re.search(rf"{Path(ours).name} \.\.\. PASS", build.run("log", *words))
