# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.open_legacy() against a segment that is written byte by byte."""
import os
import socket
import threading

import numpy as np
import pytest

import shmnumpy
from deadlines import seconds

SIZE = 1920 * 1080 * 3 + 5


class LegacyWriter:
    """publish.py's way: pixels, size, counter, datagram."""

    def __init__(self, name, size=SIZE):
        self.path, self.counter = f"/dev/shm/{name}", 0
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(self.fd, size)

    def publish(self, width, height, value):
        os.pwrite(self.fd, bytes([value]) * (width * height * 3), 5)
        os.pwrite(self.fd, bytes([*divmod(width, 255), *divmod(height, 255)]), 0)
        self.counter = (self.counter + 1) % 255
        os.pwrite(self.fd, bytes([self.counter]), 4)


@pytest.fixture
def writer(name):
    return LegacyWriter(name)


@pytest.mark.parametrize("width, height", [(1920, 1080), (640, 360), (255, 254), (1, 1)])
def test_size_is_decoded_whatever_numpy_promotes(writer, name, width, height):
    writer.publish(width, height, 9)
    with shmnumpy.open_legacy(name) as frames:
        frame = frames.read(timeout=seconds(5))
    assert frame.array.shape == (height, width, 3) and frame.format == "BGR"
    assert frame.array.min() == frame.array.max() == 9
    assert frame.pts is None and frame.valid()


def test_counter_wraps_and_counts_missed_frames(writer, name):
    with shmnumpy.open_legacy(name) as frames:
        seen = []
        for burst in [1] * 254 + [3]:
            for _ in range(burst):
                writer.publish(4, 4, 1)
            frame = frames.read(timeout=seconds(5))
            seen.append((frame.number, frame.missed))
    assert seen == [(n, 0) for n in range(1, 255)] + [(257, 2)]
    assert np.unique(np.diff([number for number, _ in seen])).tolist() == [1, 3]


def test_datagram_wakes_the_reader(writer, name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with shmnumpy.open_legacy(name, udp_port=port) as frames:
        assert frames.read(timeout=0.01) is None

        def publish():
            writer.publish(8, 8, 3)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"update", ("127.0.0.1", port))

        thread = threading.Thread(target=publish)
        thread.start()
        assert frames.read(timeout=seconds(5)).array.shape == (8, 8, 3)
        thread.join()


def test_port_in_use_falls_back_to_the_counter(writer, name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with shmnumpy.open_legacy(name, udp_port=other.getsockname()[1]) as frames:
            writer.publish(8, 8, 3)
            assert frames.read(timeout=seconds(5)).number == 1


def test_no_frame_yet_and_too_large_a_frame_give_nothing(writer, name):
    with shmnumpy.open_legacy(name) as frames:
        assert frames.read(timeout=0.01) is None
        writer.publish(8, 8, 3)
        os.pwrite(writer.fd, bytes(4) + b"\7", 0)
        assert frames.read(timeout=0.01) is None


def test_size_that_does_not_fit_is_refused(name):
    writer = LegacyWriter(name, size=5 + 100)
    os.pwrite(writer.fd, bytes([255, 254, 255, 254, 1]), 0)
    with shmnumpy.open_legacy(name) as frames:
        with pytest.raises(shmnumpy.FormatError, match="does not fit"):
            frames.read(timeout=seconds(5))


def test_segment_that_shrinks_gives_nothing(writer, name):
    with shmnumpy.open_legacy(name) as frames:
        writer.publish(8, 8, 3)
        assert frames.read(timeout=seconds(5))
        os.ftruncate(writer.fd, 3)
        assert frames.read(timeout=0.01) is None


def test_new_file_under_the_name_is_followed(name):
    with shmnumpy.open_legacy(name) as frames:
        assert frames.read(timeout=0.01) is None
        LegacyWriter(name).publish(8, 8, 1)
        assert frames.read(timeout=seconds(5)).array.max() == 1
        os.unlink(f"/dev/shm/{name}")
        LegacyWriter(name).publish(16, 8, 2)
        assert frames.read(timeout=seconds(5)).array.shape == (8, 16, 3)
    assert os.path.exists(f"/dev/shm/{name}")


def test_only_packed_colour_can_be_claimed(name):
    with pytest.raises(ValueError, match="RGB or BGR"):
        shmnumpy.open_legacy(name, pixel_format="NV12")
