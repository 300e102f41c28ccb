# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy against shmnumpysink in real pipelines."""
import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from pipelines import Pipeline

pytestmark = pipelines.needs_element

CAPS = "video/x-raw,format={},width={},height={},framerate=30/1"


@pytest.fixture
def source(name):
    """make(format, width, height, sink properties) -> a pipeline to push frames into."""
    made = []

    def make(pixel_format, width, height, properties="legacy=never"):
        caps = CAPS.format(pixel_format, width, height)
        pipeline = Pipeline(f"appsrc name=source format=time caps={caps} "
                            f"! shmnumpysink shm-name={name} {properties}")
        made.append(pipeline)
        return pipeline

    yield make
    for pipeline in made:
        pipeline.stop()


@pytest.mark.parametrize("size", [(64, 48), (7, 5), (1, 1), (161, 2)],
                         ids=lambda size: "%dx%d" % size)
@pytest.mark.parametrize("pixel_format", ["RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA",
                                          "GRAY8", "GRAY16_LE", "NV12", "I420"])
def test_every_native_format_arrives_as_it_was(name, source, pixel_format, size):
    pipeline = source(pixel_format, *size, "legacy=never format=native")
    planes, data = pipelines.random_frame(pixel_format, *size)
    with shmnumpy.open(name) as frames:
        pipeline.push(data, pts=40_000_000)
        frame = frames.read(timeout=seconds(20))
    assert (frame.format, frame.width, frame.height) == (pixel_format, *size)
    assert (frame.number, frame.pts, frame.running_time) == (1, 40_000_000, 40_000_000)
    assert frame.framerate == (30, 1) and 0 <= frame.age < 20
    for got, wanted in zip(frame.planes, planes):
        assert np.array_equal(got, wanted)


def test_size_changes_and_growth_in_mid_stream(name, source):
    """360p, 1080p and then 4K, for which the ring has to grow, one lineage of numbers."""
    pipeline = source("RGB", 640, 360)
    with shmnumpy.open(name) as frames:
        for number, (width, height) in enumerate(
                [(640, 360), (1920, 1080), (3840, 2160), (64, 64)], 1):
            value = np.full((height, width, 3), number, np.uint8)
            pipeline.push(value, CAPS.format("RGB", width, height))
            frame = frames.read(timeout=seconds(20))
            assert frame.array.shape == (height, width, 3)
            assert (frame.number, frame.missed) == (number, 0)
            assert frame.array.min() == frame.array.max() == number


def test_frames_missed_over_growth_are_counted(name, source):
    """The larger ring says that it is the same writer's."""
    pipeline = source("RGB", 64, 48)
    with shmnumpy.open(name) as frames:
        pipeline.push(np.zeros((48, 64, 3), np.uint8))
        assert frames.read(timeout=seconds(20)).number == 1
        for _ in range(3):
            pipeline.push(np.zeros((2000, 3000, 3), np.uint8), CAPS.format("RGB", 3000, 2000))
        pipeline.end()
        frame = frames.read(timeout=seconds(20))
    assert (frame.number, frame.missed) == (4, 2)


def test_end_of_stream_and_stop_are_seen(name, source):
    pipeline = source("GRAY8", 64, 48, "legacy=never format=native")
    with shmnumpy.open(name) as frames, shmnumpy.open(name, until_eos=True) as ending:
        pipeline.push(np.zeros((48, 64), np.uint8))
        pipeline.end()
        assert [frame.number for frame in ending] == [1]
        assert frames.read(timeout=seconds(20)).number == 1
        assert frames.state == shmnumpy.State.EOS
        pipeline.stop()
        assert frames.read(timeout=0.1) is None
        assert frames.state in (shmnumpy.State.STOPPED, shmnumpy.State.ABSENT)


def test_restart_of_the_pipeline_is_followed(name, source):
    with shmnumpy.open(name) as frames:
        for _ in range(3):
            pipeline = source("RGB", 64, 48)
            pipeline.push(np.zeros((48, 64, 3), np.uint8))
            assert frames.read(timeout=seconds(20)).missed == 0
            pipeline.stop()


def test_writer_killed_and_started_again_is_followed(name):
    launch = ["gst-launch-1.0", "-q", "videotestsrc", "is-live=true", "!",
              "video/x-raw,format=RGB,width=64,height=48,framerate=100/1", "!",
              "shmnumpysink", f"shm-name={name}", "legacy=never"]
    with shmnumpy.open(name) as frames:
        for _ in range(2):
            writer = subprocess.Popen(launch)
            assert frames.read(timeout=seconds(20)).array.shape == (48, 64, 3)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            while frames.state != shmnumpy.State.ABSENT:
                frames.read(timeout=0.2)
        assert frames.read(timeout=0) is None


FORKING = """
import multiprocessing, signal, sys
import pipelines
with pipelines.Pipeline("videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,"
                        f"height=48 ! shmnumpysink shm-name={sys.argv[1]} legacy=never"):
    worker = multiprocessing.get_context("fork").Process(target=signal.pause)
    worker.start()
    print(worker.pid, flush=True)
    signal.pause()
"""


def test_killed_writer_is_absent_although_its_worker_lives(name, source):
    writer = subprocess.Popen([sys.executable, "-c", FORKING, name], text=True,
                              stdout=subprocess.PIPE, cwd=os.path.dirname(__file__))
    with writer.stdout as lines:
        worker = int(lines.readline())
    try:
        with shmnumpy.open(name) as frames:
            assert frames.read(timeout=seconds(20))
            writer.kill()
            writer.wait()
            end = time.monotonic() + seconds(20)
            while frames.state != shmnumpy.State.ABSENT and time.monotonic() < end:
                frames.read(timeout=0.2)
            assert frames.state == shmnumpy.State.ABSENT
            source("RGB", 64, 48).push(np.zeros((48, 64, 3), np.uint8))
            assert frames.read(timeout=seconds(20)).number == 1
    finally:
        os.kill(worker, signal.SIGKILL)


def test_name_removed_while_live_comes_back(name, source):
    """As a reader's resource tracker does it; the one that reads goes on."""
    pipeline = source("RGB", 64, 48)
    with shmnumpy.open(name) as frames:
        pipeline.push(np.zeros((48, 64, 3), np.uint8))
        assert frames.read(timeout=seconds(20)).number == 1
        os.unlink(f"/dev/shm/{name}.ring")
        pipeline.push(np.ones((48, 64, 3), np.uint8))
        assert frames.read(timeout=seconds(20)).number == 2
    with shmnumpy.open(name) as newcomer:  # waits until the name is there again
        assert newcomer.read(timeout=seconds(20)).number == 2


def test_views_share_memory_and_notice_being_overwritten(name, source):
    pipeline = source("RGB", 64, 48, "legacy=never slots=4")
    with shmnumpy.open(name, copy=False) as frames:
        pipeline.push(np.full((48, 64, 3), 1, np.uint8))
        frame = frames.read(timeout=seconds(20))
        assert frame.valid() and frame.array.max() == 1
        assert not frame.array.flags.owndata and not frame.array.flags.writeable
        for value in range(2, 10):
            pipeline.push(np.full((48, 64, 3), value, np.uint8))
        assert frames.read(timeout=seconds(20)).number > 1
        pipeline.end()
        assert not frame.valid()


def test_asyncio_with_the_element(name, source):
    pipeline = source("RGB", 64, 48)

    async def consume():
        numbers = []
        with shmnumpy.open(name, until_eos=True) as frames:
            pipeline.push(np.zeros((48, 64, 3), np.uint8))
            async for frame in frames:
                numbers.append(frame.number)
                if frame.number < 5:
                    pipeline.push(np.zeros((48, 64, 3), np.uint8))
                else:
                    pipeline.end()
        return numbers

    assert asyncio.run(consume()) == [1, 2, 3, 4, 5]


def test_four_readers_see_whole_frames_at_full_speed(name, source):
    pipeline = source("RGB", 320, 240)
    seen, torn = [], []

    def read():
        with shmnumpy.open(name, until_eos=True) as frames:
            for frame in frames:
                seen.append(frame.number)
                if frame.array.min() != frame.array.max():
                    torn.append(frame.number)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(500):
        pipeline.push(np.full((240, 320, 3), number % 251, np.uint8))
    pipeline.end()
    for reader in readers:
        reader.join()
    assert not torn and seen.count(500) == 4


@pytest.mark.parametrize("pixel_format", ["RGB", "BGR"])
@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (7, 5)],
                         ids=lambda size: "%dx%d" % size)
def test_legacy_reader_with_the_element(name, source, pixel_format, size):
    """As publish.py's readers take it: BGR, whatever the ring holds."""
    pipeline = source(pixel_format, *size, "legacy=always udp-port=0")
    planes, data = pipelines.random_frame(pixel_format, *size)
    with shmnumpy.open_legacy(name) as frames, shmnumpy.open(name) as ring:
        pipeline.push(data)
        frame = frames.read(timeout=seconds(20))
        assert np.array_equal(frame.bgr(), ring.read(timeout=seconds(20)).bgr())
    bgr = planes[0] if pixel_format == "BGR" else planes[0][..., ::-1]
    assert frame.format == "BGR" and np.array_equal(frame.array, bgr)


def test_legacy_reader_that_comes_later_is_served(name, source):
    """legacy=auto: filled once somebody opened it."""
    pipeline = source("RGB", 64, 48, "legacy=auto udp-port=0")
    with shmnumpy.open(name) as frames:
        for value in range(5):
            pipeline.push(np.full((48, 64, 3), value, np.uint8))
        while frames.read(timeout=seconds(20)).number < 5:
            pass
        with shmnumpy.open_legacy(name) as legacy:
            assert legacy.read(timeout=seconds(20)).array.max() == 0
            for value in range(100, 200):  # until the sink has heard of this reader
                pipeline.push(np.full((48, 64, 3), value, np.uint8))
                frame = legacy.read(timeout=0.05)
                if frame is not None:
                    break
            assert frame is not None and frame.array.min() >= 100


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode, group, may", [
    (0o600, 65533, False), (0o660, 65533, True), (0o660, 65532, False)])
def test_reader_of_another_user(name, source, copied, mode, group, may):
    pipeline = source("RGB", 64, 48, f"legacy=never mode=0{mode:o}")
    with shmnumpy.open(name) as frames:
        pipeline.push(np.zeros((48, 64, 3), np.uint8))
        assert frames.read(timeout=seconds(20))
    os.chown(f"/dev/shm/{name}.ring", 0, 65533)
    script = ("import sys, shmnumpy\ntry:\n"
              "    print('frame', shmnumpy.open(sys.argv[1]).read(timeout=20).number)\n"
              "except PermissionError as error:\n    print('refused', error)\n")
    result = subprocess.run(
        ["/usr/bin/python3", "-c", script, name], text=True, cwd=copied, env={},
        capture_output=True, user=65534, group=group, extra_groups=[])
    assert result.stdout.startswith("frame 1" if may else "refused"), result


def test_cpp_reader_with_the_element(name, tmp_path):
    """examples/opencv_reader.cpp, if OpenCV's headers were there at build time."""
    program = os.path.join(os.environ.get("BUILD_ROOT", ""), "examples", "opencv-reader")
    if not os.path.exists(program):
        pytest.skip("opencv-reader was not built: libopencv-dev is not installed")
    picture = tmp_path / "last.jpg"
    with Pipeline("videotestsrc is-live=true pattern=blue ! video/x-raw,format=BGR,"
                  f"width=320,height=240 ! shmnumpysink shm-name={name} legacy=never"):
        result = subprocess.run([program, "--name", name, "--frames", "5", "--write",
                                 picture], capture_output=True, text=True,
                                timeout=seconds(60))
    assert result.returncode == 0, result.stderr
    assert "320x240 BGR, mean B 255 G 0 R 0" in result.stdout
    assert picture.read_bytes()[:2] == b"\xff\xd8"
