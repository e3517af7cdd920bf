"""Emulated boards that start from a disk: QEMU with its serial port in a log."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from .program import Program, running

U_BOOT_VIRT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")


def virt(disk: Path, *, memory_mb: int = 512, extra: tuple[str | Path, ...] = ()) -> list[str | Path]:
    """The command of a `virt` machine that U-Boot starts from `disk`."""
    return [
        *("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", str(memory_mb)),
        *("-accel", "tcg,thread=multi", "-bios", U_BOOT_VIRT),
        *("-drive", f"if=none,id=card,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=card,romfile="),
        *("-nodefaults", "-display", "none", "-serial", "stdio", *extra),
    ]


def raspi3b(disk: Path, *, u_boot: Path, device_tree: Path) -> list[str | Path]:
    """The command of a Raspberry Pi 3 whose firmware has loaded U-Boot; its card is a real `mmc` device."""
    return [
        *("qemu-system-aarch64", "-M", "raspi3b", "-kernel", u_boot, "-dtb", device_tree),
        *("-drive", f"if=sd,format=raw,file={disk}", "-nodefaults", "-display", "none"),
        *("-serial", "null", "-serial", "stdio"),
    ]


class Machine:
    """A machine whose power is on; `text()` is what its serial port has said."""

    def __init__(self, program: Program):
        """Look after `program`, a QEMU."""
        self.program = program

    def text(self) -> str:
        """All that its serial port has said."""
        return self.program.text()

    def wait_for(self, text: str, seconds: float, *, times: int = 1) -> None:
        """Wait until it has said `text`, so many times."""
        self.program.wait_until(lambda: self.text().count(text) >= times, seconds, f"says {text!r}")

    def wait_for_its_end(self, seconds: float) -> None:
        """Wait until it has switched itself off."""
        self.program.wait(seconds)

    def cut(self) -> None:
        """Take its power away."""
        self.program.stop(signal.SIGKILL)


@contextlib.contextmanager
def powered(command: list[str | Path], log: Path) -> Iterator[Machine]:
    """The machine of `command` for the length of a `with`; its power is cut at the end."""
    log.unlink(missing_ok=True)
    with running(Program(command, log=log)) as program:
        yield Machine(program)
