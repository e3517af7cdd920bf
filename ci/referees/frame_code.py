"""Reads the stamp that the simulated camera draws into its picture.

The picture is divided into 32 by 18 equal cells. Columns 8..24 and rows 2..8 hold 96 bits, row by row, most
significant first, white = 1: frame number (32), Unix time in ms modulo 2^40 (40), screen (8), CRC-16/CCITT-FALSE of
those ten bytes (16). Columns 26..30, rows 2..6 are the mark: white while the tone sounds.
`ci/spot-sim/src/camera/block_code.rs` draws it.
"""

from dataclasses import dataclass

import numpy as np

COLUMNS, ROWS = 32, 18
CODE = (8, 2, 16, 6)
MARK = (26, 2, 4, 4)


@dataclass(frozen=True)
class Stamp:
    """What one picture says about itself."""

    frame: int
    unix_ms: int
    screen: int
    mark: bool


class Unreadable(ValueError):
    """The picture carries no valid code."""


def read(picture) -> Stamp:
    """Reads a picture of any scale that fills the image: a PIL image, or an array of shape (h, w) or (h, w, 3)."""
    gray = _gray(picture)
    if gray.shape[0] < 2 * ROWS or gray.shape[1] < 2 * COLUMNS:
        raise Unreadable(f"a picture of {gray.shape[1]}x{gray.shape[0]} is too small")
    cells = _cells(gray, *CODE).ravel()
    middle = (cells.min() + cells.max()) / 2
    data = np.packbits(cells > middle).tobytes()
    if crc16(data[:10]) != int.from_bytes(data[10:], "big"):
        raise Unreadable("the checksum is wrong")
    return Stamp(
        frame=int.from_bytes(data[:4], "big"),
        unix_ms=int.from_bytes(data[4:9], "big"),
        screen=data[9],
        mark=bool(_cells(gray, *MARK).mean() > middle),
    )


def read_page(screenshot) -> Stamp:
    """Reads a picture that stands alone on a plain page: uniform edges are cut off first."""
    gray = _gray(screenshot)
    rows = np.flatnonzero(gray.std(axis=1) > 4)
    columns = np.flatnonzero(gray.std(axis=0) > 4)
    if not rows.size or not columns.size:
        raise Unreadable("the page is plain")
    return read(gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def draw(picture: np.ndarray, stamp: Stamp) -> None:
    """Draws the code into a gray picture: the reader's own test needs an independent writer."""
    body = stamp.frame.to_bytes(4, "big") + stamp.unix_ms.to_bytes(5, "big") + bytes([stamp.screen])
    bits = np.unpackbits(np.frombuffer(body + crc16(body).to_bytes(2, "big"), np.uint8))
    left, top, columns, _ = CODE
    for index, bit in enumerate(bits):
        _cell(picture, left + index % columns, top + index // columns)[:] = 235 if bit else 16
    for column in range(MARK[2]):
        for row in range(MARK[3]):
            _cell(picture, MARK[0] + column, MARK[1] + row)[:] = 235 if stamp.mark else 16


def _gray(picture) -> np.ndarray:
    array = np.asarray(picture)
    return array if array.ndim == 2 else array[..., :3].mean(axis=2)


def _cell(gray: np.ndarray, column: int, row: int, margin: float = 0.0) -> np.ndarray:
    height, width = gray.shape
    x0, x1 = ((column + part) * width / COLUMNS for part in (margin, 1 - margin))
    y0, y1 = ((row + part) * height / ROWS for part in (margin, 1 - margin))
    return gray[int(y0) : max(int(y1), int(y0) + 1), int(x0) : max(int(x1), int(x0) + 1)]


def _cells(gray: np.ndarray, left: int, top: int, columns: int, rows: int) -> np.ndarray:
    """Means of the inner halves of cells: edges are blurred by scaling and coding."""
    return np.array([[_cell(gray, left + c, top + r, margin=0.25).mean() for c in range(columns)] for r in range(rows)])
