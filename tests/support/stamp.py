# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames that carry a number and a clock; stamp.h describes the format.

read(frame) takes a uint8 array [height][width][3] (RGB or BGR) or [height][width] (luma).
"""
import time

import numpy as np

BITS = 40


def encode(number, ms):
    check = 0x5A ^ number ^ (ms >> 16) ^ (ms >> 8 & 255) ^ (ms & 255)
    return number << 32 | ms << 8 | check


def now_ms():
    return int(time.time() * 1000) & 0xFFFFFF


def age_ms(ms, now=None):
    """Milliseconds from the stamp's clock to `now`, across the wrap of the clock."""
    now = now_ms() if now is None else now
    return ((now - ms + 0x800000) & 0xFFFFFF) - 0x800000


def _rows(height):
    return height // 20 & ~1


def read(frame, bottom=False):
    """(number, ms) of the stamp at the top or bottom, None when it does not check."""
    height, width = frame.shape[:2]
    rows = _rows(height)
    if rows < 2 or width < 2 * BITS:
        return None
    y = height - rows // 2 - 1 if bottom else rows // 2
    x = (2 * np.arange(BITS) + 1) * width // (2 * BITS)
    blocks = frame[y, x].reshape(BITS, -1).mean(axis=1) > 127
    code = int("".join("1" if block else "0" for block in blocks), 2)
    number, ms = code >> 32, code >> 8 & 0xFFFFFF
    return (number, ms) if encode(number, ms) == code else None


def paint(frame, number, ms, low=16, high=235):
    height, width = frame.shape[:2]
    rows = _rows(height)
    for i in range(BITS):
        value = high if encode(number, ms) >> (BITS - 1 - i) & 1 else low
        columns = slice(i * width // BITS, (i + 1) * width // BITS)
        frame[:rows, columns] = value
        frame[height - rows:, columns] = value
