# SPDX-License-Identifier: LGPL-2.1-or-later
"""The contract of shmnumpy.open() against a writer whose every step is in our hand."""
import asyncio
import fcntl
import gc
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import ring_writer
import shmnumpy
from deadlines import seconds
from ring_writer import RingWriter
from shmnumpy import _layout, _order

HERE = os.path.dirname(__file__)


def solid(value, width=64, height=48):
    return bytes([value]) * (width * height * 3)


@pytest.fixture
def writer(name):
    return RingWriter(name)


@pytest.fixture
def frames(writer):
    with shmnumpy.open(writer.name) as reader:
        yield reader


def test_frame_carries_pixels_and_metadata(writer, frames):
    pixels = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(5, 6, 3)
    writer.publish(pixels, 6, 5, padding=2, pts=123, flags=3, colorimetry=b"sRGB",
                   orientation=90)
    frame = frames.read(timeout=seconds(5))
    assert frame.array.shape == (5, 6, 3) and np.array_equal(frame.array, pixels)
    assert (frame.format, frame.number, frame.missed) == ("RGB", 1, 0)
    assert (frame.pts, frame.running_time) == (123, 123)
    assert frame.duration is None and frame.capture_time is None
    assert frame.discont and frame.corrupted and not frame.gap
    assert frame.framerate == (30, 1) and frame.pixel_aspect_ratio == (1, 1)
    assert frame.orientation == 90
    assert frame.colorimetry == "sRGB" and 0 <= frame.age < 5
    assert frame.array.flags.c_contiguous and frame.array.flags.writeable
    assert np.array_equal(np.asarray(frame), pixels)


def test_newest_frame_wins_and_missed_ones_are_counted(writer, frames):
    numbers = []
    for burst in (1, 3, 2):
        for _ in range(burst):
            writer.publish(solid(7), 64, 48)
        frame = frames.read(timeout=seconds(5))
        numbers.append((frame.number, frame.missed))
    assert numbers == [(1, 0), (4, 2), (6, 1)]
    assert frames.read(timeout=0) is None


def test_view_is_read_only_and_knows_when_it_was_overwritten(writer):
    with shmnumpy.open(writer.name, copy=False) as frames:
        writer.publish(solid(1), 64, 48)
        frame = frames.read(timeout=seconds(5))
        assert frame.valid() and not frame.array.flags.writeable
        kept = frame.copy()
        for value in range(2, 2 + writer.slots):
            writer.publish(solid(value), 64, 48)
        assert not frame.valid()
        with pytest.raises(shmnumpy.Overwritten):
            frame.copy()
        assert kept.valid() and kept.array.min() == kept.array.max() == 1


def test_read_waits_for_a_frame_and_no_longer_than_it_was_told(writer, frames):
    assert frames.read(timeout=0.01) is None
    thread = threading.Thread(target=writer.publish, args=(solid(9), 64, 48))
    thread.start()
    assert frames.read(timeout=seconds(5)).number == 1
    thread.join()


def test_polling_takes_over_where_there_is_no_futex(writer, frames, monkeypatch):
    monkeypatch.setattr(_order, "futex", None)
    thread = threading.Thread(target=writer.publish, args=(solid(9), 64, 48))
    thread.start()
    assert frames.read(timeout=seconds(5)).number == 1
    thread.join()
    assert frames.read(timeout=0.01) is None


def test_asyncio_iterator_gives_frames_and_ends(writer):
    async def consume():
        numbers = []
        with shmnumpy.open(writer.name, until_eos=True) as frames:
            async for frame in frames:
                numbers.append(frame.number)
                if frame.number == 3:
                    writer.set_state(ring_writer.EOS)
                else:
                    writer.publish(solid(5), 64, 48)
        return numbers

    writer.publish(solid(5), 64, 48)
    assert asyncio.run(consume()) == [1, 2, 3]


def test_asyncio_iterator_can_be_cancelled(writer):
    async def consume():
        with shmnumpy.open(writer.name) as frames:
            async for _ in frames:
                raise AssertionError("there is no frame")

    async def give_up():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(consume(), 0.05)

    asyncio.run(give_up())


def test_eos_is_shown_and_the_next_stream_goes_on(writer, frames):
    writer.publish(solid(1), 64, 48)
    writer.set_state(ring_writer.EOS)
    assert frames.read(timeout=seconds(5)).number == 1
    assert frames.state == shmnumpy.State.EOS
    assert frames.read(timeout=0.01) is None
    writer.publish(solid(2), 64, 48)
    assert frames.read(timeout=seconds(5)).number == 2
    assert frames.state == shmnumpy.State.LIVE


def test_growth_is_followed_and_counts_on(writer, frames):
    writer.publish(solid(1), 64, 48)
    assert frames.read(timeout=seconds(5)).number == 1
    larger = RingWriter(writer.name, stride=0x20000, number=2, predecessor=writer)
    larger.publish(solid(3, 160, 120), 160, 120)
    frame = frames.read(timeout=seconds(5))
    assert (frame.number, frame.missed, frame.array.shape) == (3, 1, (120, 160, 3))


def test_stop_and_restart_are_followed(name):
    with shmnumpy.open(name) as frames:  # before there is any writer
        assert frames.state == shmnumpy.State.ABSENT
        assert frames.read(timeout=0.01) is None
        for _ in range(3):
            writer = RingWriter(name)
            writer.publish(solid(1), 64, 48)
            frame = frames.read(timeout=seconds(5))
            assert (frame.number, frame.missed) == (1, 0)
            writer.close()
            assert frames.read(timeout=0.01) is None
            assert frames.state in (shmnumpy.State.STOPPED, shmnumpy.State.ABSENT)


def test_state_is_that_of_now_without_a_read(name):
    with shmnumpy.open(name) as frames:
        assert frames.state == shmnumpy.State.ABSENT
        writer = RingWriter(name)
        writer.publish(solid(1), 64, 48)
        assert frames.state == shmnumpy.State.LIVE
        assert frames.read(timeout=seconds(5)).number == 1
        larger = RingWriter(name, stride=0x20000, number=1, predecessor=writer)
        assert frames.state == shmnumpy.State.INIT
        larger.set_state(ring_writer.RECONNECTING)
        assert frames.state == shmnumpy.State.RECONNECTING
        larger.close()
        RingWriter(name).publish(solid(2), 64, 48)
        assert frames.state == shmnumpy.State.LIVE
    assert frames.state == shmnumpy.State.ABSENT


def test_asking_for_the_state_loses_no_frame(writer, frames):
    writer.publish(solid(1), 64, 48)
    writer.close()
    RingWriter(writer.name).set_state(ring_writer.EOS)
    assert frames.state == shmnumpy.State.EOS
    assert frames.read(timeout=seconds(5)).number == 1


def test_read_waits_as_long_as_was_said_when_opening(writer):
    with shmnumpy.open(writer.name, timeout=0.01) as frames:
        assert frames.read() is None
        thread = threading.Thread(target=writer.publish, args=(solid(9), 64, 48))
        thread.start()
        assert frames.read(timeout=None).number == 1  # for ever, if it is said so
        thread.join()


def test_nothing_is_left_open(writer):
    """Neither by close() nor by a reader that was forgotten, one without a ring too."""
    writer.publish(solid(1), 64, 48)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with shmnumpy.open(writer.name) as frames:
            assert frames.read(timeout=seconds(5)).number == 1
        assert shmnumpy.open(writer.name, copy=False).read(timeout=seconds(5)).valid()
        fcntl.flock(writer.fd, fcntl.LOCK_UN)
        writer.words[ring_writer.HEARTBEAT // 8] = 0
        assert shmnumpy.open(writer.name).state == shmnumpy.State.ABSENT
        del frames
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_frame_says_what_it_is(writer):
    writer.publish(solid(1), 64, 48)
    with shmnumpy.open(writer.name, copy=False) as frames:
        frame = frames.read(timeout=seconds(5))
    assert repr(frame) == "<shmnumpy.Frame 1: 64x48 RGB, view>"
    assert repr(frame.copy()) == "<shmnumpy.Frame 1: 64x48 RGB, copy>"


def test_pil_and_numpy_take_a_frame(writer):
    pixels = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(5, 6, 3)
    writer.publish(pixels, 6, 5, padding=2)
    for copy in (True, False):
        with shmnumpy.open(writer.name, copy=copy) as frames:
            frame = frames.read(timeout=seconds(5))
        array = np.asarray(frame)
        assert np.array_equal(array, pixels) and np.shares_memory(array, frame.array)
        assert array.flags.writeable == copy
        assert frame.tobytes() == pixels.tobytes()
        del frame
        assert np.array_equal(array, pixels)  # it keeps what it is a view of
        with shmnumpy.open(writer.name, copy=copy) as frames:
            image = pytest.importorskip("PIL.Image").fromarray(frames.read(timeout=0))
        assert image.mode == "RGB" and np.array_equal(np.asarray(image), pixels)


def test_name_removed_while_live_is_not_noticed(writer, frames):
    writer.publish(solid(1), 64, 48)
    assert frames.read(timeout=seconds(5)).number == 1
    os.unlink(writer.path)
    writer.publish(solid(2), 64, 48)
    assert frames.read(timeout=seconds(5)).number == 2


def test_until_eos_ends_the_loop_when_the_writer_stops(writer):
    with shmnumpy.open(writer.name, until_eos=True) as frames:
        writer.publish(solid(1), 64, 48)
        writer.close()
        assert [frame.number for frame in frames] == [1]


def test_heartbeat_ahead_of_the_time_hides_no_death(writer, frames):
    """Of a writer that died between its halves, or with garbage in it."""
    writer.publish(solid(1), 64, 48)
    writer.words[ring_writer.HEARTBEAT // 8] += 4 * 10**9
    assert frames.state == shmnumpy.State.LIVE
    fcntl.flock(writer.fd, fcntl.LOCK_UN)
    assert frames.state == shmnumpy.State.ABSENT


def test_writer_that_died_after_it_grew_ends_the_loop(writer):
    """The reader was busy meanwhile, and cannot go over to the new segment."""
    with shmnumpy.open(writer.name, until_eos=True) as frames:
        writer.publish(solid(1), 64, 48)
        assert frames.read(timeout=seconds(5)).number == 1
        larger = RingWriter(writer.name, stride=0x20000, number=1, predecessor=writer)
        for one in writer, larger:
            one.words[ring_writer.HEARTBEAT // 8] -= 2 * 10**9
            fcntl.flock(one.fd, fcntl.LOCK_UN)
        assert frames.read(timeout=seconds(5)) is None
        assert frames._ended()
        larger.close()


class Loads:
    """The words of a segment, which notes what is loaded and where the fences are."""

    def __init__(self, segment, monkeypatch):
        self.words, self.log = segment.words, []
        segment.words = self
        monkeypatch.setattr(_order, "fence", lambda: self.log.append("fence"))

    def __getitem__(self, index):
        names = {_layout.WAKE: "wake", _layout.STATE: "state",
                 _layout.LATEST: "latest"}
        self.log.append(names.get(index, "seq"))
        return self.words[index]


def test_loads_are_kept_in_order_by_fences(writer, frames, monkeypatch):
    writer.publish(solid(1), 64, 48)
    loads = Loads(frames._segment, monkeypatch)
    assert frames.read(timeout=0).number == 1
    assert loads.log == ["wake", "fence", "state", "fence", "latest", "latest", "fence",
                         "seq", "fence", "fence", "seq", "fence", "seq"]


def test_fence_without_libatomic_is_no_yield(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(_order.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(_order.ctypes, "PyDLL", missing)
    fence = _order.pick_fence()
    assert fence is _order.lock_fence
    fence()


@pytest.mark.parametrize("step", ring_writer.STEPS)
def test_writer_killed_at_each_step_of_publish_leaves_whole_frames(name, step):
    """Frame 8 reuses a slot and is never finished: number 7 or 8, and whole."""
    with shmnumpy.open(name, until_eos=True, timeout=seconds(20)) as frames:
        child = subprocess.Popen([sys.executable, os.path.join(HERE, "ring_writer.py"),
                                  name, step, "8"])
        last = None
        for frame in frames:
            assert frame.array.min() == frame.array.max() == frame.number
            last = frame
        assert child.wait() == -9
        assert frames.state == shmnumpy.State.ABSENT
        if last is None:  # the child was faster than this reader's first look
            pytest.skip("the writer had died before the segment was opened")
        assert last.number == (8 if step in ("latest", "woken") else 7)


def test_reader_never_unlinks_and_never_registers(writer):
    script = (f"import sys; sys.path.insert(0, {ring_writer.PACKAGES!r})\n"
              "import shmnumpy, multiprocessing.resource_tracker as tracker\n"
              f"frame = shmnumpy.open({writer.name!r}).read(timeout={seconds(5)})\n"
              "assert frame.number == 1 and tracker._resource_tracker._fd is None\n")
    writer.publish(solid(1), 64, 48)
    subprocess.run([sys.executable, "-c", script], check=True)
    assert os.stat(writer.path).st_ino == os.fstat(writer.fd).st_ino


def test_frames_outlive_the_reader(writer):
    with shmnumpy.open(writer.name, copy=False) as frames:
        writer.publish(solid(4), 64, 48)
        frame = frames.read(timeout=seconds(5))
    assert frames.read() is None
    assert frame.valid() and frame.array.max() == 4
