"""The image with both slots filled: a slot that does not start is left for the other, which knows how far it came."""

from pathlib import Path

import pytest
from card import Card
from slot_disk import run

from world.machine import Machine, powered, virt
from world.program import wait_until

MEMORY_MB = 1024
STAGES = ("selector", "initrd", "root-verified", "userspace", "healthy")

# One failing start of the real kernel, and the start of the whole system, on a busy machine.
FAILING_START_SECONDS = 120
START_SECONDS = 400

# The page of a root that its mount reads first.
SUPERBLOCK_BYTES = 4096


def panicking(card: Card, folder: Path, letter: str) -> None:
    """Give the slot a kernel that finds nothing to start, and panics."""
    nothing = folder / "nothing"
    nothing.write_text("this is no initrd\n")
    card.put(f"spot-boot-{letter}", nothing, "initrd")


def without_init(card: Card, folder: Path, letter: str) -> None:
    """Give the slot a root that is verified, and whose first program ends at once."""
    tree = folder / "tree"
    for name in ("run", "dev", "sys", "proc", "etc", "sbin"):
        (tree / name).mkdir(parents=True)
    (tree / "etc/machine-id").touch()
    init = tree / "sbin/init"
    init.write_text("#!/no/such/program\n")
    init.chmod(0o755)
    root = folder / "root.erofs"
    run("mkfs.erofs", "--quiet", root, tree)
    size = root.stat().st_size
    digest = folder / "roothash"
    command = ["veritysetup", "format", f"--data-blocks={size // 4096}", f"--hash-offset={size}"]
    run(*command, f"--root-hash-file={digest}", root, root)
    card.blank(f"spot-root-{letter}", 64 << 20)
    card.fill(f"spot-root-{letter}", root)
    # A second archive behind the first one: what it holds comes in the place of what was there.
    (folder / "slot").write_text(f"roothash={digest.read_text().strip()}\nhash_offset={size}\nversion=broken\n")
    more = folder / "more.cpio"
    run("sh", "-c", f"cd {folder} && echo slot | cpio --create --format=newc --quiet > {more}")
    initrd = card.take(f"spot-boot-{letter}", "initrd", folder / "initrd")
    content = initrd.read_bytes()
    initrd.write_bytes(content + bytes(-len(content) % 512) + more.read_bytes())
    card.put(f"spot-boot-{letter}", initrd, "initrd")


def unverified(card: Card, folder: Path, letter: str) -> None:
    """Change the slot's root behind its hash tree's back."""
    del folder
    card.write(f"spot-root-{letter}", b"\x5a" * SUPERBLOCK_BYTES)


@pytest.mark.parametrize(
    ("break_slot", "stage", "said"),
    [
        (panicking, "selector", "Kernel panic - not syncing: VFS: Unable to mount root fs"),
        (without_init, "root-verified", "Kernel panic - not syncing: Attempted to kill init!"),
        (unverified, "initrd", "device-mapper: verity"),
    ],
    ids=["kernel", "init", "root"],
)
def test_a_slot_that_does_not_start_is_left_after_three_tries(folder: Path, break_slot, stage: str, said: str) -> None:
    card = Card.flashed(folder / "card.img")
    card.fill_slot_b()
    break_slot(card, folder, "a")
    with powered(virt(card.path, memory_mb=MEMORY_MB), folder / "serial.log") as machine:
        machine.wait_for("spotstream: slot B, tries left after this one: 2", 3 * FAILING_START_SECONDS)
        before = machine.text().split("spotstream: slot B")[0]
        assert before.count("spotstream: slot A, tries left after this one") == 3
        assert before.count(said) >= 3
        reaches(machine, card, "healthy")
        wait_until(
            lambda: "slot A was left for slot B" in card.text("spot-boot", "SPOTSTREAM-REPORT.txt"),
            START_SECONDS,
            "the report says which slot was left",
        )
    state = card.state()
    assert (state["last_slot"], state["last_stage"]) == ("A", stage)
    assert (state["BOOT_A_LEFT"], state["BOOT_B_LEFT"]) == ("0", "3")
    assert state["boot_slot"] == "B"


def test_two_broken_roots_start_over_and_are_never_used_unverified(folder: Path) -> None:
    card = Card.flashed(folder / "card.img")
    card.fill_slot_b()
    card.set_state(BOOT_A_LEFT=1, BOOT_B_LEFT=1)
    unverified(card, folder, "a")
    unverified(card, folder, "b")
    with powered(virt(card.path, memory_mb=MEMORY_MB), folder / "serial.log") as machine:
        machine.wait_for("no slot has a try left, so each gets three again", 2 * FAILING_START_SECONDS)
        machine.wait_for("spotstream: slot A, tries left after this one: 2", FAILING_START_SECONDS)
        wait_until(lambda: card.state().get("boot_stage") == "initrd", FAILING_START_SECONDS, "slot A is tried again")
        machine.cut()
        text = machine.text()
    assert "=> " not in text
    assert "systemd" not in text
    assert (card.state()["last_slot"], card.state()["last_stage"]) == ("B", "initrd")


def test_a_second_card_with_the_same_labels_is_not_taken(folder: Path) -> None:
    other = Card.flashed(folder / "other.img")
    other.blank("spot-boot", 1 << 20)
    other.blank("spot-boot-a", 1 << 20)
    other.set_state(boot_slot="A", boot_stage="healthy")
    before = other.state()
    card = Card.flashed(folder / "card.img")
    first = (
        "-drive",
        f"if=none,id=other,format=raw,file={other.path}",
        "-device",
        "virtio-blk-pci,drive=other,romfile=",
    )
    command = virt(card.path, memory_mb=MEMORY_MB)
    at = command.index("-drive")
    with powered([*command[:at], *first, *command[at:]], folder / "serial.log") as machine:
        reaches(machine, card, "root-verified")
        assert "card virtio 1" in machine.text()
        machine.cut()
    assert other.state() == before


def reaches(machine: Machine, card: Card, stage: str) -> None:
    """Wait until the boot state says that this start came so far."""
    machine.program.wait_until(
        lambda: card.state().get("boot_stage") in STAGES[STAGES.index(stage) :],
        START_SECONDS,
        f"reaches the stage {stage}",
    )
