"""The one script that picks a slot, run by real U-Boots on small disks with a stand-in for the kernel."""

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
from slot_disk import BOOT, SlotDisk, environment, fat, run, script

from world.machine import Machine, powered, raspi3b, virt

SOURCES = Path(__file__).parent / "selector"

# The packages that the image is made of.
PACKAGES = Path("/results/image/debs")

# What the kernel of the appliance takes in memory: 50.25 MiB.
IMAGE_SIZE = 0x3240000

# U-Boot from power-on to the kernel, on a busy machine.
START_SECONDS = 60


def kernel(to: Path, *defines: str) -> Path:
    """The stand-in for the kernel, built for one board's serial port."""
    words = (
        "-nostdlib",
        "-ffreestanding",
        "-fpie",
        "-no-pie",
        "-static",
        "-mstrict-align",
        "-mgeneral-regs-only",
        "-Os",
    )
    sources = (SOURCES / "head.S", SOURCES / "kernel.c")
    elf = to.with_suffix(".elf")
    defines = (f"-DIMAGE_SIZE={IMAGE_SIZE:#x}", *defines)
    run("aarch64-linux-gnu-gcc", *words, *defines, "-Wl,--build-id=none,-Ttext=0,-e,0", *sources, "-o", elf)
    run("aarch64-linux-gnu-objcopy", "-O", "binary", elf, to)
    return to


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the tests make their disks of."""

    folder: Path
    kernel: Path

    def file(self, name: str, text: str) -> Path:
        """A file with that text."""
        path = self.folder / name
        path.write_text(text)
        return path

    def slot(self, letter: str, order: str, *, without: str = "") -> Path:
        """A slot's boot partition whose kernel does as the `order` says, with one file left out."""
        files = {"Image": self.kernel, "initrd": self.file(f"initrd-{letter}", f"{letter}: {order}\n")}
        for board in ("tegra210-p3450-0000", "tegra210-p3541-0000"):
            source = self.file(f"{board}.dts", f'/dts-v1/; / {{ model = "{board} of {letter}"; chosen {{}}; }};\n')
            tree = self.folder / f"{board}-{letter}.dtb"
            run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", tree, source)
            files[f"dtb/{board}.dtb"] = tree
        files.pop(without, None)
        return fat(self.folder / f"slot-{letter}.fat", 20, files)

    def disk(self, *, a: str | None = "off", b: str | None = None, state: str | None = None) -> SlotDisk:
        """A disk for `virt` whose slots do as said; a slot of None is empty."""
        disk = SlotDisk.make(self.folder / "card.img")
        selector = script(BOOT / "boot.cmd", self.folder / "boot.scr")
        disk.fill("spot-boot", fat(self.folder / "boot.fat", 36, {"boot.scr": selector}))
        for letter, order in (("a", a), ("b", b)):
            if order is not None:
                disk.fill(f"spot-boot-{letter}", self.slot(letter.upper(), order))
        text = (BOOT / "state.txt").read_text() if state is None else state
        disk.fill("spot-bootstate", environment(text, self.folder / "state"))
        return disk

    def start(self, disk: SlotDisk, **words: int) -> contextlib.AbstractContextManager[Machine]:
        """The power of a `virt` machine with that disk."""
        return powered(virt(disk.path, **words), self.folder / "serial.log")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in for the kernel on `virt`."""
    return kernel(tmp_path_factory.mktemp("kernel") / "Image", "-DUART_BASE=0x09000000")


@pytest.fixture
def bench(folder: Path, stand_in: Path) -> Bench:
    """The bench of one test."""
    return Bench(folder, stand_in)


def probe(machine: Machine, nth: int = 1) -> dict[str, str]:
    """What the kernel of the nth start found."""
    machine.wait_for("probe: end", START_SECONDS * nth, times=nth)
    said = machine.text().replace("\r", "").split("probe: kernel=")[nth]
    found = dict(re.findall(r"(kernel|tree|initrd|model|bootargs)=([^\n]*?)(?= tree=| initrd=|\n)", "kernel=" + said))
    found["says"] = re.search(r"initrd says (.*)", said)[1]
    return found


def slots(machine: Machine) -> str:
    """The slots that were started, in order."""
    return "".join(re.findall(r"probe: initrd says ([AB])", machine.text()))


def test_a_healthy_slot_is_started_and_the_try_is_counted(bench: Bench) -> None:
    disk = bench.disk(state="BOOT_ORDER=A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\nboot_slot=A\nboot_stage=healthy\n")
    with bench.start(disk) as machine:
        found = probe(machine)
        machine.wait_for_its_end(10)
    assert found["says"] == "A: off"
    words = found["bootargs"]
    for word in (
        "rauc.slot=A",
        "spotstream.slot=A",
        "spotstream.boot=virtio",
        "panic=10",
        "fsck.repair=yes",
        "console=ttyAMA0",
    ):
        assert word in words.split(), words
    assert re.search(r'spotstream\.uboot="[^"]+"', words), words
    state = disk.state()
    assert state == {
        "BOOT_ORDER": "A",
        "BOOT_A_LEFT": "2",
        "BOOT_B_LEFT": "3",
        "boot_slot": "A",
        "boot_stage": "selector",
        "last_slot": "A",
        "last_stage": "healthy",
    }


def test_a_slot_that_resets_three_times_is_left_for_the_other(bench: Bench) -> None:
    disk = bench.disk(a="reset", b="off", state="BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n")
    with bench.start(disk) as machine:
        machine.wait_for_its_end(4 * START_SECONDS)
        assert slots(machine) == "AAAB"
    state = disk.state()
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == ("0", "2")
    assert (state["boot_slot"], state["last_slot"], state["last_stage"]) == ("B", "A", "selector")


def test_when_no_slot_has_a_try_left_each_gets_three_again(bench: Bench) -> None:
    disk = bench.disk(a="reset", b="reset", state="BOOT_ORDER=A B\nBOOT_A_LEFT=1\nBOOT_B_LEFT=1\n")
    with bench.start(disk) as machine:
        probe(machine, 3)
        machine.cut()
        assert slots(machine) == "ABA"
        assert machine.text().count("no slot has a try left, so each gets three again") == 1
    state = disk.state()
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == ("2", "3")
    assert state["last_slot"] == "B"


def test_the_order_and_the_machine_id_of_the_state_are_used_and_survive(bench: Bench) -> None:
    machine_id = "0123456789abcdef0123456789abcdef"
    disk = bench.disk(b="off", state=f"BOOT_ORDER=B A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=2\nmachine_id={machine_id}\n")
    with bench.start(disk) as machine:
        found = probe(machine)
        machine.wait_for_its_end(10)
    assert found["says"] == "B: off"
    assert "rauc.slot=B" in found["bootargs"].split()
    state = disk.state()
    assert (state["BOOT_ORDER"], state["machine_id"]) == ("B A", machine_id)
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == ("3", "1")


@pytest.mark.parametrize(("b", "order"), [(None, "A"), ("off", "A B")], ids=["b-empty", "b-filled"])
def test_a_state_that_cannot_be_read_gives_the_defaults(bench: Bench, b: str | None, order: str) -> None:
    disk = bench.disk(b=b, state="BOOT_ORDER=B\nBOOT_A_LEFT=0\nBOOT_B_LEFT=0\n")
    disk.write("spot-bootstate", b"broken", at=6)
    assert disk.state() == {}
    with bench.start(disk) as machine:
        assert probe(machine)["says"] == "A: off"
        assert "the boot state cannot be read, so the defaults are used" in machine.text()
        machine.wait_for_its_end(10)
    state = disk.state()
    assert (state["BOOT_ORDER"], state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == (order, "2", "3")


@pytest.mark.parametrize("missing", ["Image", "initrd"])
def test_a_slot_without_its_files_is_passed_over_in_the_same_start(bench: Bench, missing: str) -> None:
    disk = bench.disk(b="off", state="BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n")
    disk.fill("spot-boot-a", bench.slot("A", "off", without=missing))
    with bench.start(disk) as machine:
        assert probe(machine)["says"] == "B: off"
        assert "slot A cannot be started from this card, so it has no try left" in machine.text()
        machine.wait_for_its_end(10)
    state = disk.state()
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == ("0", "2")
    assert (state["last_slot"], state["last_stage"]) == ("A", "selector")


def test_a_card_with_nothing_to_start_starts_over_and_never_stops_at_a_prompt(bench: Bench) -> None:
    disk = bench.disk(a=None)
    with bench.start(disk) as machine:
        machine.wait_for("no slot has a try left", 2 * START_SECONDS, times=2)
        machine.cut()
        assert "=> " not in machine.text()


def test_ten_cuts_with_slot_a_alone_never_leave_it(bench: Bench) -> None:
    disk = bench.disk(a="stay", b="stay")
    for cut in range(10):
        with bench.start(disk) as machine:
            # Every third cut falls right behind the write of the state, the others behind the start of the kernel.
            machine.wait_for("blocks written: OK" if cut % 3 == 2 else "probe: end", START_SECONDS)
            machine.cut()
            assert slots(machine) in ("A", ""), machine.text()
            # The tries ran out before, so this start gave them back, began anew and took A.
            if "no slot has a try left" in machine.text():
                assert disk.state()["BOOT_A_LEFT"] in ("2", "3")
    assert disk.state()["BOOT_ORDER"] == "A"


def nano(bench: Bench, board: str, memory_mb: int, before: str = "") -> SlotDisk:
    """A disk whose U-Boot believes to be on that board, and then does as the board's preboot hook does."""
    disk = bench.disk()
    text = f"""
    setenv board {board}
    mw.l 0x70019050 {memory_mb:#x}
    {before}
    load virtio 0:1 0x90000000 /u-boot-preboot.scr
    source 0x90000000
    """
    hook = script(bench.file("hook.cmd", text), bench.folder / "hook.scr")
    files = {"boot.scr": hook, "u-boot-preboot.scr": bench.folder / "boot.scr"}
    disk.fill("spot-boot", fat(bench.folder / "boot.fat", 36, files))
    return disk


@pytest.mark.parametrize(
    ("board", "memory_mb", "tree"),
    [
        ("p3450-0000", 4096, "tegra210-p3450-0000"),
        # A 2 GB board that carries the firmware of the 4 GB board.
        ("p3450-0000", 2048, "tegra210-p3541-0000"),
        ("p3541-0000", 2048, "tegra210-p3541-0000"),
        # The memory controller says something unknown: the firmware's word counts.
        ("p3541-0000", 1, "tegra210-p3541-0000"),
        ("p3450-0000", 1, "tegra210-p3450-0000"),
    ],
)
def test_a_nano_gets_its_device_tree_and_addresses(bench: Bench, board: str, memory_mb: int, tree: str) -> None:
    disk = nano(bench, board, memory_mb)
    with bench.start(disk, memory_mb=2048) as machine:
        found = probe(machine)
        machine.wait_for_its_end(10)
    assert found["model"] == f"{tree} of A"
    assert found["kernel"] == "0x84000000"
    assert found["tree"] == "0x83000000"
    assert found["initrd"] == "0x92000000-0x92000007"
    words = found["bootargs"].split()
    assert "console=tty0" in words
    assert words[words.index("console=tty0") + 1] == "console=ttyS0,115200"
    assert f"spotstream.board={board}" in words


def test_the_preboot_hook_of_a_nano_takes_its_card(bench: Bench) -> None:
    disk = nano(bench, "p3450-0000", 4096, before="setenv devtype\nsetenv devnum\n")
    with bench.start(disk, memory_mb=2048) as machine:
        machine.wait_for("spotstream: board nano (p3450-0000), card mmc 1", START_SECONDS)


def test_a_board_that_is_not_ours_is_told_so(bench: Bench) -> None:
    disk = nano(bench, "p2371-2180", 4096)
    with bench.start(disk, memory_mb=2048) as machine:
        machine.wait_for(
            "is for a Raspberry Pi 4B or a Jetson Nano, and this board calls itself p2371-2180", START_SECONDS
        )
        machine.wait_for("Hit any key", START_SECONDS, times=2)


def u_boot_of_the_pi(folder: Path) -> Path:
    """The U-Boot that the image brings for the Pi."""
    packages = sorted(PACKAGES.glob("u-boot-rpi_*.deb"))
    assert packages, f"no u-boot-rpi in {PACKAGES}; the image is built first"
    run("dpkg-deb", "--extract", packages[-1], folder)
    return folder / "usr/lib/u-boot/rpi_arm64/u-boot.bin"


def test_a_pi_starts_from_its_card_by_our_environment_alone(bench: Bench) -> None:
    pi = dataclasses.replace(
        bench,
        kernel=kernel(bench.folder / "Image", "-DMINI_UART", "-DUART_BASE=0x3f215000", "-DWATCHDOG_BASE=0x3f100000"),
    )
    made = pi.disk(a="reset", b="stay", state="BOOT_ORDER=A B\nBOOT_A_LEFT=1\nBOOT_B_LEFT=3\n")
    # QEMU wants a card of a power of two.
    disk = SlotDisk.make(bench.folder / "card.img", size_mb=128)
    assert disk.offsets == made.offsets
    version = "U-Boot 2025.01-3+deb13u1 (Jan 01 2025 - 00:00:00 +0000)"
    variables = (BOOT / "uboot.env").read_text().replace("@UBOOT_VERSION@", version)
    files = {"boot.scr": bench.folder / "boot.scr", "uboot.env": environment(variables, bench.folder / "uboot.env")}
    disk.fill("spot-boot", fat(bench.folder / "boot.fat", 36, files))
    for letter in "ab":
        disk.fill(f"spot-boot-{letter}", bench.folder / f"slot-{letter.upper()}.fat")
    disk.fill("spot-bootstate", bench.folder / "state")
    tree = bench.folder / "raspi3b.dtb"
    run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", tree, SOURCES / "raspi3b.dts")
    command = raspi3b(disk.path, u_boot=u_boot_of_the_pi(bench.folder / "package"), device_tree=tree)
    with powered(command, bench.folder / "serial.log") as machine:
        found = probe(machine, 2)
        machine.cut()
        assert slots(machine) == "AB"
        text = machine.text()
    assert "Hit any key" not in text
    assert "starting USB" not in text
    assert "spotstream: board pi (rpi), card mmc 0" in text
    assert found["kernel"] == "0x200000"
    start, end = (int(word, 16) for word in found["initrd"].split("-"))
    assert end - start == len("B: stay\n")
    assert min(start, int(found["tree"], 16)) >= 0x200000 + IMAGE_SIZE
    assert found["model"] == "Raspberry Pi 3 Model B, emulated"
    words = found["bootargs"]
    assert f'spotstream.uboot="{version}"' in words
    assert words.endswith("console=tty0 console=ttyS1,115200")
    assert "spotstream.boot=mmc" in words.split()
    state = disk.state()
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"], state["boot_slot"]) == ("0", "2", "B")


def test_a_pi_without_a_script_says_so_and_never_stops_at_a_prompt(bench: Bench) -> None:
    disk = SlotDisk.make(bench.folder / "card.img", size_mb=128)
    variables = environment((BOOT / "uboot.env").read_text(), bench.folder / "uboot.env")
    disk.fill("spot-boot", fat(bench.folder / "boot.fat", 36, {"uboot.env": variables}))
    tree = bench.folder / "raspi3b.dtb"
    run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", tree, SOURCES / "raspi3b.dts")
    command = raspi3b(disk.path, u_boot=u_boot_of_the_pi(bench.folder / "package"), device_tree=tree)
    with powered(command, bench.folder / "serial.log") as machine:
        machine.wait_for("boot.scr cannot be read from the card", 2 * START_SECONDS, times=2)
        machine.cut()
        assert "U-Boot> " not in machine.text()


def entries(path: Path) -> dict[str, str]:
    """The lines of a list, by their first word."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {line.split()[0]: line for line in lines}


def commands(text: str) -> set[str]:
    """The commands that a U-Boot script uses."""
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    inner = re.findall(r"setenv \S+ '([^']*)'", text)
    text = re.sub(r"'[^']*'", "", re.sub(r'"(?:\\.|[^"])*"', "STRING", text))
    found = set()
    for piece in re.split(r"[\n;]", "\n".join([text, *inner])):
        words = piece.split()
        while words and words[0] in ("if", "then", "else", "elif", "do", "while"):
            words = words[1:]
        if words and words[0] not in ("fi", "done", "for"):
            found.add("mmc" if words[0] == "${devtype}" else words[0].removesuffix(".l"))
    return found


def test_the_script_uses_no_command_that_the_u_boot_of_a_nano_lacks() -> None:
    known = entries(SOURCES / "commands")
    used = commands((BOOT / "boot.cmd").read_text())
    assert used <= set(known), f"not in {SOURCES / 'commands'}: {used - set(known)}"
    assert {"mmc", "env", "part", "load", "booti", "reset", "cmp"} <= used, "the script is not understood any more"


def test_every_key_of_config_txt_is_a_documented_one() -> None:
    lines = [line.split("#")[0].strip() for line in (BOOT / "config.txt").read_text().splitlines()]
    keys = {line.split("=")[0] for line in lines if line}
    assert keys <= set(entries(SOURCES / "config-keys")), keys


def test_the_state_of_a_new_card_is_slot_a_with_three_tries() -> None:
    assert (BOOT / "state.txt").read_text().split() == ["BOOT_ORDER=A", "BOOT_A_LEFT=3", "BOOT_B_LEFT=3"]
