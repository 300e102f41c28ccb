# SPDX-License-Identifier: LGPL-2.1-or-later
"""A publisher, vdoninjasrc, shmnumpysink and the reader: one session, as NumPy sees it."""
import os
import sys

import shmnumpy
from deadlines import seconds
from loopback import Launch, Publisher, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import stamp  # noqa: E402


def test_pictures_of_a_publisher_arrive_in_order(name):
    stamps = []
    with Publisher(["abc"], audio=False) as publisher, \
            Launch(publisher.source() + f"! shmnumpysink shm-name={name} legacy=never"), \
            shmnumpy.open(name) as frames:
        while len(stamps) < 10:
            frame = frames.read(timeout=seconds(40))
            assert frame is not None, stamps
            assert (frame.format, frame.array.shape) == ("RGB", (180, 320, 3))
            found = stamp.read(frame.array)
            if found:
                stamps.append(found)
    numbers = [number for number, _ in stamps]
    steps = [(b - a) % 256 for a, b in zip(numbers, numbers[1:])]
    assert all(0 < step < 128 for step in steps), numbers
    assert stamp.age_ms(stamps[-1][1]) < seconds(20) * 1000
