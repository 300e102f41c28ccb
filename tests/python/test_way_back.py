# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames of a pipeline through Python and back: shmnumpysink, shmnumpy, shmnumpysrc."""
import contextlib
import threading
import time

import numpy as np
import pytest

import shmnumpy
from deadlines import seconds
from pipelines import Pipeline, needs_element

gi = pytest.importorskip("gi")
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

pytestmark = needs_element
NTP_EPOCH = 2208988800 * Gst.SECOND


@contextlib.contextmanager
def worker(name, result, work=lambda frame: frame.array):
    """Makes each frame of one ring into one of the other; yields what it has read."""
    seen, stop = {}, threading.Event()
    frames = shmnumpy.open(name, timeout=0.2)
    out = shmnumpy.create(result)

    def run():
        while not stop.is_set():
            frame = frames.read()
            if frame is not None:
                seen[frame.number] = frame
                out.write(work(frame), like=frame)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
        out.close()
        frames.close()


class Sink:
    """What comes out of `shmnumpysrc shm-name=NAME ... ! appsink`."""

    def __init__(self, name, more="", between=""):
        self.pipeline = Gst.parse_launch(
            f"shmnumpysrc name=source shm-name={name} {more} {between} "
            "! appsink name=sink sync=false max-buffers=100")
        self.sink = self.pipeline.get_by_name("sink")
        self.source = self.pipeline.get_by_name("source")
        self.pipeline.set_state(Gst.State.PLAYING)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipeline.set_state(Gst.State.NULL)

    def pull(self):
        sample = self.sink.emit("try-pull-sample", seconds(20) * Gst.SECOND)
        assert sample, self.source.get_property("state")
        # What comes within a millisecond of it would be left out.
        while time.monotonic_ns() <= self.due(sample) + Gst.MSECOND:
            pass
        return sample

    def due(self, sample):
        """On CLOCK_MONOTONIC, ns."""
        return sample.get_buffer().pts + self.pipeline.get_base_time()


def test_frames_come_back_with_pixels_and_times_as_they_were(name):
    """Sound that passes beside keeps its times, so that this is lip sync."""
    result = name + "-b"
    source = ("videotestsrc is-live=true pattern=ball ! video/x-raw,format=RGB,width=64,"
              f"height=48,framerate=60/1 ! shmnumpysink shm-name={name} legacy=never")
    with worker(name, result) as seen, Sink(result) as sink, Pipeline(source) as begin:
        for _ in range(30):
            sample = sink.pull()
            matching = [frame for frame in seen.values()
                        if frame.due_time == sink.due(sample)]
            assert len(matching) == 1
            frame = matching[0]
            # The running time that the frame had where it comes from, on that clock.
            assert frame.due_time == frame.running_time + begin.pipeline.get_base_time()
            data = sample.get_buffer().extract_dup(0, 64 * 48 * 3)
            assert data == frame.array.tobytes()
            caps = sample.get_caps().get_structure(0)
            assert caps.get_fraction("framerate") == (True, 60, 1)
        stats = sink.source.get_property("stats")
        assert stats.get_double("age-ms")[1] > 0 and stats.get_uint64("late")[1] == 0


def test_queue_before_a_sink_that_waits_misses_nothing(name):
    """The sink shows a frame 100 ms after it was due, when two more are there."""
    line = f"shmnumpysrc name=source shm-name={name} on-disconnect=eos ! queue " \
        "! videoconvert ! fakesink sync=true"
    source = ("videotestsrc is-live=true num-buffers=20 ! video/x-raw,format=RGB,width=64,"
              f"height=48,framerate=20/1 ! shmnumpysink shm-name={name} legacy=never")
    with Pipeline(line) as end, Pipeline(source):
        message = end.pipeline.get_bus().timed_pop_filtered(
            seconds(20) * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        assert message and message.type == Gst.MessageType.EOS, message
        stats = end.source.get_property("stats")
        assert stats.get_uint64("missed")[1] == 0
        assert stats.get_uint64("frames")[1] > 15


def test_queue_holds_large_frames_if_it_is_told_to(name):
    """One of its default size is full with two of these."""
    line = f"shmnumpysrc name=source shm-name={name} timestamps=arrival " \
        "! queue max-size-bytes=0 max-size-time=0 ! appsink sync=false max-buffers=1"
    with shmnumpy.create(name) as out, Pipeline(line) as end:
        picture, written = np.zeros((1080, 1920, 3), np.uint8), 0
        deadline = time.monotonic() + seconds(20)
        taken = missed = 0
        while taken < 8:  # and none is taken from the queue
            if taken + missed == written:
                written += bool(out.write(picture))
            stats = end.source.get_property("stats")
            taken, missed = (stats.get_uint64(key)[1] for key in ("frames", "missed"))
            assert time.monotonic() < deadline, stats.to_string()


def test_frames_of_a_pause_have_no_time(name):
    """What is shown while a pipeline stands still; then its base time is another."""
    with shmnumpy.open(name, timeout=seconds(10)) as frames, \
            Pipeline("videotestsrc ! video/x-raw,format=RGB,width=8,height=8,framerate=60/1 "
                     f"! shmnumpysink sync=true shm-name={name} legacy=never") as source:
        while frames.read().due_time is None:
            pass
        source.pipeline.set_state(Gst.State.PAUSED)
        source.pipeline.get_state(seconds(10) * Gst.SECOND)
        source.pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH, 5 * Gst.SECOND)
        source.pipeline.get_state(seconds(10) * Gst.SECOND)
        frame = frames.read()
        while frame.pts < 5 * Gst.SECOND:
            frame = frames.read()
        assert frame.due_time is None


def test_time_of_capture_comes_back(name):
    result, captured = name + "-b", 1700000000 * Gst.SECOND + 5
    with worker(name, result), Sink(result) as sink, \
            Pipeline("appsrc name=source format=time caps=video/x-raw,format=RGB,width=8,"
                     "height=8,framerate=30/1 ! shmnumpysink legacy=never "
                     f"shm-name={name}") as begin:
        buffer = Gst.Buffer.new_wrapped(bytes(8 * 8 * 3))
        buffer.add_reference_timestamp_meta(Gst.Caps.from_string("timestamp/x-ntp"),
                                            captured + NTP_EPOCH, Gst.CLOCK_TIME_NONE)
        buffer.pts = 0
        assert begin.source.emit("push-buffer", buffer) == Gst.FlowReturn.OK
        meta = sink.pull().get_buffer().get_reference_timestamp_meta(None)
        assert meta.timestamp == captured + NTP_EPOCH


def test_picture_that_changes_its_size_each_time_reaches_an_encoder(name):
    with shmnumpy.create(name, "GRAY8") as out, \
            Sink(name, between="! videoconvert ! videoscale ! "
                               "video/x-raw,format=I420,width=64,height=48") as sink:
        for number in range(1, 31):
            out.write(np.full((7 * number, 1 + number), 100, np.uint8))
            sample = sink.pull()
            assert sample.get_buffer().get_size() == 64 * 48 * 3 // 2
        assert sink.source.get_property("stats").get_uint64("frames")[1] == 30


def test_stream_ends_with_the_program_where_that_is_asked_for(name):
    with Sink(name, "on-disconnect=eos") as sink:
        with shmnumpy.create(name) as out:
            out.write(np.zeros((8, 8, 3), np.uint8))
            sink.pull()
            out.end()
            message = sink.pipeline.get_bus().timed_pop_filtered(
                seconds(20) * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
            assert message and message.type == Gst.MessageType.EOS
