# SPDX-License-Identifier: LGPL-2.1-or-later
import glob
import os
import secrets
import sys
import threading

import numpy as np
import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "python"))

import ring_writer  # noqa: E402


@pytest.fixture
def name():
    """A name of shared memory that no one else uses; what is left of it is removed."""
    unique = f"test-{secrets.token_hex(6)}"
    yield unique
    for pattern in (f"/dev/shm/{unique}*", f"/dev/shm/.{unique}*"):
        for path in glob.glob(pattern):
            os.unlink(path)


@pytest.fixture
def stream(name):
    """The name of a live ring, 320x240 RGB at 30 frames a second, a square moving."""
    writer, stop = ring_writer.RingWriter(name, stride=0x40000), threading.Event()

    def run():
        number = 0
        while not stop.wait(1 / 30):
            pixels = np.zeros((240, 320, 3), np.uint8)
            number += 1
            left = number * 4 % 200
            pixels[20:80, left:left + 60] = 200
            writer.publish(pixels, 320, 240)

    thread = threading.Thread(target=run)
    thread.start()
    yield name
    stop.set()
    thread.join()
