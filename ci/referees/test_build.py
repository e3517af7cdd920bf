"""The image as a file: what is handed out, what is on the card, what the root is made of. Nothing is started here."""

import hashlib
import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path("/src")
OUT = Path(os.environ["SPOTSTREAM_ARTEFACTS"])
MEBIBYTE = 1 << 20
ENDINGS = {"img", "img.zst", "img.bmap", "packages", "spdx.json", "rpi-imager.json"}
PARTITIONS = {
    "spot-boot": 128,
    "spot-boot-a": 128,
    "spot-boot-b": 128,
    "spot-bootstate": 8,
    "spot-root-a": 512,
    "spot-root-b": 512,
    "spot-data": 256,
}
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
CARD = {
    "start4.elf",
    "fixup4.dat",
    "config.txt",
    "bcm2711-rpi-4-b.dtb",
    "u-boot.bin",
    "uboot.env",
    "boot.scr",
    "u-boot-preboot.scr",
    "spotstream.toml",
    "README.txt",
}
SLOT = {
    "Image",
    "initrd",
    "dtb/bcm2711-rpi-4-b.dtb",
    "dtb/tegra210-p3450-0000.dtb",
    "dtb/tegra210-p3541-0000.dtb",
    "extlinux/extlinux.conf",
}
LIBRARIES = ("usr/lib/aarch64-linux-gnu", "usr/lib")


def artefact(ending: str) -> Path:
    (found,) = (path for path in OUT.iterdir() if path.name.endswith(f"-arm64.{ending}"))
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def said(*command: object, **options) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


@pytest.fixture(scope="session")
def table() -> dict[str, dict]:
    """The partitions by name, as sfdisk reads them."""
    found = json.loads(said("sfdisk", "--json", artefact("img")))["partitiontable"]
    assert found["label"] == "gpt"
    return {partition["name"]: partition for partition in found["partitions"]}


@pytest.fixture(scope="session")
def parts(table: dict[str, dict], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each partition as a file with holes."""
    folder = tmp_path_factory.mktemp("partitions", numbered=False)
    for name, partition in table.items():
        words = [f"skip={partition['start'] * 512}", f"count={partition['size'] * 512}", "bs=1M", "conv=sparse"]
        said("dd", f"if={artefact('img')}", f"of={folder / name}", "iflag=skip_bytes,count_bytes", *words)
    return {name: folder / name for name in table}


@pytest.fixture(scope="session")
def root(parts: dict[str, Path]) -> Path:
    """The root's tree."""
    folder = parts["spot-root-a"].parent / "root"
    said("fsck.erofs", f"--extract={folder}", "--preserve-perms", parts["spot-root-a"])
    return folder


@pytest.fixture(scope="session")
def initrd(parts: dict[str, Path]) -> Path:
    """The initrd's tree."""
    folder = parts["spot-boot-a"].parent / "initrd"
    folder.mkdir()
    said("mcopy", "-i", parts["spot-boot-a"], "::/initrd", folder.with_suffix(".zst"))
    subprocess.run(
        "zstd -dc ../initrd.zst | cpio --extract --make-directories --quiet", shell=True, check=True, cwd=folder
    )
    return folder


def listed(fat: Path) -> set[str]:
    lines = said("mdir", "-/", "-b", "-i", fat, "::").splitlines()
    return {line.removeprefix("::/") for line in lines if line and not line.endswith("/")}


def files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def test_everything_is_there_and_has_its_sum():
    assert {path.name.partition("-arm64.")[2] for path in OUT.iterdir()} - {""} == ENDINGS
    assert len(list(OUT.iterdir())) == len(ENDINGS) + 1
    said("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=OUT)
    assert len((OUT / "SHA256SUMS").read_text().splitlines()) == len(ENDINGS)


def test_the_image_is_small(parts: dict[str, Path], initrd: Path):
    assert artefact("img.zst").stat().st_size <= 160 * MEBIBYTE
    assert parts["spot-root-a"].stat().st_blocks * 512 <= 250 * MEBIBYTE
    assert initrd.with_suffix(".zst").stat().st_size <= 14 * MEBIBYTE


def test_bmaptool_writes_the_packed_image(tmp_path: Path):
    card = tmp_path / "card"
    said("bmaptool", "--quiet", "copy", artefact("img.zst"), card)
    assert sha256(card) == sha256(artefact("img"))


def test_the_partitions_are_those_that_everything_relies_on(table: dict[str, dict]):
    assert {name: partition["size"] * 512 // MEBIBYTE for name, partition in table.items()} == PARTITIONS
    assert all(partition["start"] * 512 % MEBIBYTE == 0 for partition in table.values())
    assert table["spot-boot"]["type"] == ESP
    assert table["spot-boot-a"]["attrs"] == "LegacyBIOSBootable"
    assert [name for name, partition in table.items() if partition.get("attrs")] == ["spot-boot-a"]
    assert max(table, key=lambda name: table[name]["start"]) == "spot-data"


def test_the_first_partition_is_in_an_mbr_as_well(table: dict[str, dict]):
    with artefact("img").open("rb") as file:
        sector = file.read(512)
    assert sector[510:] == b"\x55\xaa"
    entries = [struct.unpack("<4xB3xII", sector[at : at + 16]) for at in range(446, 510, 16)]
    fat = table["spot-boot"]
    assert (0x0C, fat["start"], fat["size"]) in entries
    assert 0xEE in {kind for kind, _, _ in entries}


def test_the_file_systems_are_clean(parts: dict[str, Path]):
    for name in ("spot-boot", "spot-boot-a"):
        said("fsck.vfat", "-n", parts[name])
    said("e2fsck", "-f", "-n", parts["spot-data"])
    said("fsck.erofs", parts["spot-root-a"])


def test_the_boot_partitions_hold_what_the_boot_loaders_read(parts: dict[str, Path]):
    assert listed(parts["spot-boot"]) == CARD
    assert listed(parts["spot-boot-a"]) == SLOT
    assert not any(parts["spot-boot-b"].read_bytes()[:MEBIBYTE])


def test_the_initrd_names_the_root_that_is_on_the_card(parts: dict[str, Path], initrd: Path):
    slot = dict(line.split("=", 1) for line in (initrd / "slot").read_text().splitlines())
    verify = ["veritysetup", "verify", f"--hash-offset={slot['hash_offset']}"]
    said(*verify, parts["spot-root-a"], parts["spot-root-a"], slot["roothash"])
    assert slot["version"] in artefact("img").name


def test_a_changed_byte_of_the_root_is_noticed(parts: dict[str, Path], initrd: Path, tmp_path: Path):
    slot = dict(line.split("=", 1) for line in (initrd / "slot").read_text().splitlines())
    changed = tmp_path / "root"
    said("cp", "--sparse=always", parts["spot-root-a"], changed)
    with changed.open("r+b") as file:
        file.seek(int(slot["hash_offset"]) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    verify = ["veritysetup", "verify", f"--hash-offset={slot['hash_offset']}", changed, changed, slot["roothash"]]
    assert subprocess.run(verify, check=False, capture_output=True).returncode != 0


def test_the_lock_names_packages_and_no_host():
    lines = (SOURCE / "image/packages.lock").read_text().splitlines()
    for line in lines:
        assert line.startswith("# ") or re.fullmatch(r"[a-z0-9.+-]+ [^\s/]+ (arm64|all) [0-9a-f]{64} \d+", line), line
    assert not re.search(r"://|\.(org|com|net|example)\b", "\n".join(lines))
    locked = {line.split()[0] for line in lines if not line.startswith("#")}
    wanted = {line for line in (SOURCE / "image/packages").read_text().splitlines() if line and line[0] != "#"}
    assert wanted <= locked


def test_every_line_of_the_lists_has_an_effect():
    assert (OUT.parent / "notes").read_text() == ""


def test_the_manifest_for_raspberry_pi_imager_is_right():
    (entry,) = json.loads(artefact("rpi-imager.json").read_text())["os_list"]
    assert entry["extract_size"] == artefact("img").stat().st_size
    assert entry["extract_sha256"] == sha256(artefact("img"))
    assert entry["image_download_size"] == artefact("img.zst").stat().st_size
    assert entry["image_download_sha256"] == sha256(artefact("img.zst"))
    assert entry["url"].endswith(artefact("img.zst").name)
    assert entry["devices"] == ["pi4-64bit"]
    assert entry["init_format"] == "none"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["release_date"])
    assert {"name", "description", "icon"} <= set(entry)


def test_the_bill_of_materials_is_complete_and_well_formed():
    document = json.loads(artefact("spdx.json").read_text())
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["dataLicense"] == "CC0-1.0"
    assert {"SPDXID", "name", "documentNamespace", "creationInfo"} <= set(document)
    packages = document["packages"]
    identifiers = [package["SPDXID"] for package in packages]
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in identifiers)
    for package in packages:
        assert {"name", "downloadLocation"} <= set(package)
    known = {*identifiers, "SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known
    contained = {relation["relatedSpdxElement"] for relation in document["relationships"]}
    assert contained == set(identifiers)
    sums = {sum["checksumValue"] for package in packages for sum in package.get("checksums", [])}
    lock = [line.split() for line in (SOURCE / "image/packages.lock").read_text().splitlines() if line[0] != "#"]
    assert {words[3] for words in lock} <= sums
    assert {"tokio", "zbus", "rml_rtmp", "spotstreamd", "netsetup"} <= {package["name"] for package in packages}


def test_no_file_of_the_root_gives_rights_away(root: Path):
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            continue
        status = path.lstat()
        assert not status.st_mode & 0o6000, f"{path} is setuid or setgid"
        assert not status.st_mode & 0o0022, f"{path} can be written by others"
        assert (status.st_uid, status.st_gid) == (0, 0), path


def test_the_root_holds_no_secret(root: Path):
    assert (root / "etc/machine-id").read_text() == ""
    for line in (root / "etc/shadow").read_text().splitlines():
        assert line.split(":")[1] in ("!", "*", "!*"), line.split(":")[0]
    assert list((root / "etc/ssh").glob("ssh_host_*")) == []
    secret = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64}|live_\d{6,}_\w{20,}")
    for path in [*files(root / "etc"), *files(root / "usr/share"), *files(root / "usr/lib/spotstream")]:
        assert not secret.search(path.read_bytes()), path


def test_the_data_partition_alone_can_be_written(root: Path):
    for name in ("var", "run", "tmp", "proc", "sys", "dev"):
        assert list((root / name).iterdir()) == [], name


def test_every_program_finds_its_libraries(root: Path):
    programs = [path for path in files(root) if path.open("rb").read(4) == b"\x7fELF" and path.suffix != ".ko"]
    assert len(programs) > 300
    missing = []
    for path, needed, folders in wanted_libraries(programs):
        own = [Path(str(folder).replace("$ORIGIN", f"/{path.parent.relative_to(root)}")) for folder in folders]
        places = [root / str(folder).lstrip("/") for folder in own] + [root / folder for folder in LIBRARIES]
        # Libraries of systemd lie beside each other: the program that loads one has loaded the other.
        places.append(path.parent)
        missing += [f"{path}: {one}" for one in needed if not any((place / one).exists() for place in places)]
    assert missing == []


def wanted_libraries(programs: list[Path]) -> Iterator[tuple[Path, list[str], list[str]]]:
    text = said("aarch64-linux-gnu-readelf", "--dynamic", "--wide", *programs)
    for path, section in zip(programs, re.split(r"^File: .*$", text, flags=re.M)[1:], strict=True):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", section)
        folders = [one for found in re.findall(r"\(RU?N?PATH\).*\[(.*)\]", section) for one in found.split(":")]
        yield path, needed, folders


def test_every_script_finds_its_interpreter(root: Path):
    missing = []
    for path in files(root):
        with path.open("rb") as file:
            first = file.readline(200)
        if first.startswith(b"#!") and path.stat().st_mode & 0o100:
            interpreter = first[2:].split()[0].decode()
            if interpreter == "/usr/bin/env":
                interpreter = f"/usr/bin/{first.split()[-1].decode()}"
            missing += [f"{path}: {interpreter}"] * (not (root / interpreter.lstrip("/")).exists())
    assert missing == []


def units(root: Path) -> Iterator[tuple[Path, dict[str, list[str]]]]:
    for path in [*files(root / "usr/lib/systemd/system"), *files(root / "etc/systemd/system")]:
        lines = path.read_text().replace("\\\n", " ").splitlines()
        pairs = [line.split("=", 1) for line in lines if "=" in line and line[0] not in "#;"]
        settings: dict[str, list[str]] = {}
        for key, value in pairs:
            settings.setdefault(key.strip(), []).append(value.strip())
        yield path, settings


def test_every_unit_finds_its_program_and_its_account(root: Path):
    users = {line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0] for line in (root / "etc/group").read_text().splitlines()}
    missing = []
    for path, settings in units(root):
        for key, values in settings.items():
            for value in values:
                if key.startswith("Exec") and (program := value.lstrip("-@:+!").split()[:1]):
                    if program[0].startswith("/") and not value.startswith("-"):
                        missing += [f"{path.name}: {program[0]}"] * (not (root / program[0].lstrip("/")).exists())
                elif key == "User" and value and "%" not in value and "DynamicUser" not in settings:
                    missing += [f"{path.name}: user {value}"] * (value not in users)
                elif key in ("Group", "SocketGroup") and value and "%" not in value and "DynamicUser" not in settings:
                    missing += [f"{path.name}: group {value}"] * (value not in groups)
    assert missing == []


def test_every_bus_name_that_starts_a_service_finds_its_unit(root: Path):
    missing = []
    for path in files(root / "usr/share/dbus-1/system-services"):
        if "Exec=/bin/false" in path.read_text() and "SystemdService=" not in path.read_text():
            continue
        (unit,) = re.findall(r"^SystemdService=(.*)$", path.read_text(), flags=re.M) or [None]
        places = [root / "usr/lib/systemd/system", root / "etc/systemd/system"]
        if not unit or not any((place / unit).is_symlink() or (place / unit).exists() for place in places):
            missing.append(path.name)
    assert missing == []


def test_links_lead_somewhere(root: Path):
    # What these point into is there only when the appliance runs.
    running = ("/proc/", "/run/", "/var/", "/dev/", "../proc/", "../run/", "../../run/")
    missing = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() and not (target := os.readlink(path)).startswith(running):
            there = root / target.lstrip("/") if target.startswith("/") else path.parent / target
            missing += [f"{path.relative_to(root)} -> {target}"] * (not there.exists() and not there.is_symlink())
    assert missing == []


def test_what_tests_need_is_not_in_the_programs(root: Path):
    for name in ("spotstreamd", "spotstreamctl", "netsetup", "spotstream-appliance"):
        content = (root / "usr/bin" / name).read_bytes()
        for place in (b"/cargo/registry", b"/src/daemon", b"/src/netsetup", b"/src/image", b"index.crates.io"):
            assert place not in content, f"{name} holds {place.decode()}"


@pytest.fixture(scope="session")
def other_card(parts: dict[str, Path], root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card that `image card` makes of the same root, as meta-spotstream has it made of another."""
    folder = tmp_path_factory.mktemp("other")
    given = folder / "parts"
    given.mkdir()
    said("cp", "-a", root, folder / "root")
    said("mcopy", "-s", "-i", parts["spot-boot-a"], "::/Image", "::/dtb", given)
    said("mcopy", "-i", parts["spot-boot"], "::/u-boot.bin", "::/start4.elf", "::/fixup4.dat", given)
    words = ["card", "--tree", SOURCE, "--root", folder / "root", "--overlay", SOURCE / "image/root"]
    words += ["--rauc", SOURCE / "image/rauc", "--parts", given, "--scratch", folder / "work", "--out", folder / "out"]
    said(OUT.parent / "builder", *words, "--image-version", "of-another-root", "--epoch", "1795000000")
    return folder / "out/spotstream.img"


def test_the_card_of_another_root_has_the_same_partitions(other_card: Path):
    ours, other = (
        json.loads(said("sfdisk", "--json", path))["partitiontable"] for path in (artefact("img"), other_card)
    )
    for table in (ours, other):
        del table["device"]
        for partition in table["partitions"]:
            del partition["node"]
    assert other == ours


def test_the_card_of_another_root_starts_in_the_same_way(
    parts: dict[str, Path], other_card: Path, table: dict[str, dict], tmp_path: Path
):
    for name in ("spot-boot", "spot-boot-a"):
        start = table[name]["start"] * 512
        here, there = tmp_path / f"{name}-here", tmp_path / f"{name}-there"
        for fat, folder in ((parts[name], here), (f"{other_card}@@{start}", there)):
            folder.mkdir()
            said("mcopy", "-s", "-m", "-i", fat, "::/", folder)
        same = {path.relative_to(here) for path in files(here)}
        assert {path.relative_to(there) for path in files(there)} == same
        # The initrd names the root that it opens, and U-Boot's scripts are dated.
        for path in same - {Path("initrd"), Path("boot.scr"), Path("u-boot-preboot.scr")}:
            assert sha256(there / path) == sha256(here / path), path
    script = (there.with_name("spot-boot-there") / "boot.scr").read_bytes()
    assert script.endswith((SOURCE / "image/boot/boot.cmd").read_bytes())
    with other_card.open("rb") as disk:
        disk.seek(table["spot-bootstate"]["start"] * 512)
        assert disk.read(0x4000) == parts["spot-bootstate"].read_bytes()[:0x4000]
