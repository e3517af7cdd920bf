"""The reader of the picture's code, on pictures made here."""

import numpy as np
import pytest

import frame_code
from frame_code import Stamp, Unreadable

STAMP = Stamp(frame=0xDEADBEEF, unix_ms=0x12_3456_789A, screen=14, mark=True)


def noisy_picture(stamp: Stamp) -> np.ndarray:
    gray = np.random.default_rng(1).integers(40, 200, (720, 1280)).astype(np.uint8)
    frame_code.draw(gray, stamp)
    return gray


def scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    rows = np.arange(height) * picture.shape[0] // height
    columns = np.arange(width) * picture.shape[1] // width
    return picture[rows][:, columns]


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (640, 360), (427, 240), (320, 180), (1000, 400)])
def test_a_picture_is_read_at_any_scale(size):
    assert frame_code.read(scaled(noisy_picture(STAMP), *size)) == STAMP


def test_a_dark_mark_is_no_mark():
    stamp = Stamp(frame=1, unix_ms=2, screen=3, mark=False)
    assert frame_code.read(noisy_picture(stamp)) == stamp


def test_a_picture_is_found_on_a_page():
    page = np.full((900, 1500, 3), (20, 20, 24), np.uint8)
    page[133:673, 77:1037] = scaled(noisy_picture(STAMP), 960, 540)[..., np.newaxis]
    assert frame_code.read_page(page) == STAMP


def test_a_damaged_code_is_refused():
    gray = noisy_picture(STAMP)
    gray[80:120, 320:360] = 255 - gray[80:120, 320:360]
    with pytest.raises(Unreadable):
        frame_code.read(gray)


def test_a_plain_page_is_refused():
    with pytest.raises(Unreadable):
        frame_code.read_page(np.zeros((720, 1280), np.uint8))
