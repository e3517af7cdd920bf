"""The image's kernel, Pi 4B device tree and root on an emulated Raspberry Pi 4B, and what a Pi's firmware looks for."""

from pathlib import Path

from card import Card
from slot_disk import run

from world.machine import powered

# An emulated Pi 4B has four cores, and shares two real ones.
START_SECONDS = 900

# What the emulator does not have although the device tree names it: a driver that touches it brings the kernel down.
ABSENT = (
    "/gpu",
    "/soc/clock@7ef00000",
    "/soc/hdmi@7ef00700",
    "/soc/hdmi@7ef05700",
    "/soc/hvs@7e400000",
    "/soc/i2c@7ef04500",
    "/soc/i2c@7ef09500",
    "/soc/interrupt-controller@7ef00100",
    "/soc/pixelvalve@7e206000",
    "/soc/pixelvalve@7e207000",
    "/soc/pixelvalve@7e20a000",
    "/soc/pixelvalve@7e216000",
    "/soc/pwm@7e20c800",
    "/soc/txp@7e004000",
    # Its interrupt never ends there; the other serial port stands in.
    "/soc/serial@7e215040",
)


def as_emulated(tree: Path) -> None:
    """Take out of the Pi's device tree what the emulator lacks, and have its card where the emulator has it."""
    for node in ABSENT:
        run("fdtput", "-t", "s", tree, node, "status", "disabled")
    run("fdtput", "-r", tree, "/soc/serial@7e201000/bluetooth")
    # There the card sits at the host that has the wireless chip on a board.
    run("fdtput", "-r", tree, "/soc/mmc@7e300000/wifi@1")
    run("fdtput", "-d", tree, "/soc/mmc@7e300000", "mmc-pwrseq")


def test_the_same_root_comes_to_healthy_on_a_pi_without_a_network(folder: Path) -> None:
    # The emulator wants a card of a power of two, which is also the first start's chance to grow the data partition.
    card = Card.flashed(folder / "card.img", size_mb=4096)
    files = {name: card.take("spot-boot-a", name, folder / Path(name).name) for name in ("Image", "initrd")}
    tree = card.take("spot-boot-a", "dtb/bcm2711-rpi-4-b.dtb", folder / "bcm2711-rpi-4-b.dtb")
    as_emulated(tree)
    words = (
        "rauc.slot=A spotstream.slot=A spotstream.boot=mmc spotstream.board=rpi panic=10 fsck.repair=yes loglevel=4 "
        # The kernel's own tests of its ciphers take a minute of emulation.
        "cryptomgr.notests console=ttyAMA0,115200 "
        # The emulator's watchdog bites the moment that it is set (QEMU's bcm2835_powermgt counts nothing).
        "module_blacklist=bcm2835_wdt"
    )
    command = [
        *("qemu-system-aarch64", "-M", "raspi4b", "-kernel", files["Image"], "-initrd", files["initrd"]),
        *("-dtb", tree, "-append", words, "-drive", f"if=sd,format=raw,file={card.path}"),
        *("-nodefaults", "-display", "none", "-serial", "stdio"),
    ]
    with powered(command, folder / "serial.log") as machine:
        machine.program.wait_until(
            lambda: card.state().get("boot_stage") == "healthy", START_SECONDS, "reaches the stage healthy"
        )
        text = machine.text()
    assert "Kernel panic" not in text
    assert card.state()["BOOT_A_LEFT"] == "3"
    assert len(card.state()["machine_id"]) == 32


def test_the_first_partition_holds_what_a_pi_4_loads(folder: Path) -> None:
    card = Card.flashed(folder / "card.img")
    settings = card.text("spot-boot", "config.txt")
    kernel = next(line.split("=")[1].strip() for line in settings.splitlines() if line.startswith("kernel="))
    names = ("start4.elf", "fixup4.dat", "config.txt", "bcm2711-rpi-4-b.dtb", kernel, "uboot.env", "boot.scr")
    for name in names:
        assert card.take("spot-boot", name, folder / name).stat().st_size > 0, name
    assert (folder / "bcm2711-rpi-4-b.dtb").read_bytes()[:4] == b"\xd0\x0d\xfe\xed"
    assert (folder / "start4.elf").read_bytes()[:4] == b"\x7fELF"
    hook = card.take("spot-boot", "u-boot-preboot.scr", folder / "u-boot-preboot.scr")
    assert hook.read_bytes() == (folder / "boot.scr").read_bytes()
