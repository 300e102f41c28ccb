# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/loop.py: a stream through a function and out again, as a viewer sees it."""
import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from launched import ends
from loopback import PROGRAMS, ROOT, Process, Publisher
from pipelines import needs_element

LOOP = os.path.join(ROOT, "examples", "loop.py")
sys.path.insert(0, os.path.dirname(LOOP))

import detect  # noqa: E402
from loop import pipeline, run  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import stamp  # noqa: E402

SECOND, MOST = 10**9, 1 << 20  # ns; bytes of a buffer


@needs_element
def test_viewer_sees_what_the_function_made(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def paint(picture):\n"
        "    assert picture.shape == (180, 320, 3)\n"
        "    return np.full((240, 320, 3), (0, 255, 0), np.uint8)\n")
    password = 'a "b\\" ! c d\''  # what would be syntax in the text of a pipeline
    with Publisher(["abc"], password=password) as publisher, Process(
            [sys.executable, LOOP, "--server", publisher.server, "--view", "abc", "--push",
             "result", "--work", "mine:paint", "--password", password], cwd=tmp_path) as loop:
        link = loop.expect("Open ")
        assert "view=result" in link and publisher.server.split("://")[1] in link
        loop.expect("added latency")
        with shmnumpy.launch("result", server=publisher.server, signaling="hosted",
                             password=password, timeout=seconds(20)) as frames:
            frame = frames.read()
            red, green, blue = frame.rgb().reshape(-1, 3).mean(0)
            assert frame.height == 240 and green > 200 and red < 60 and blue < 60
        loop.close()
    left = f"loop-{loop.process.pid}"
    assert not [file for file in os.listdir("/dev/shm") if left in file]


@needs_element
def test_picture_stays_while_the_publisher_is_away(tmp_path):
    (tmp_path / "mine.py").write_text("def same(picture):\n    return picture\n")
    with Publisher(["abc"]) as publisher, Process(
            [sys.executable, LOOP, "--server", publisher.server, "--view", "abc", "--push",
             "result", "--work", "mine:same"], cwd=tmp_path) as loop:
        loop.expect("added latency")
        with shmnumpy.launch("result", server=publisher.server, signaling="hosted",
                             timeout=seconds(20)) as frames:
            assert frames.read()
            away = publisher.publishers["abc"].process
            away.send_signal(signal.SIGINT)
            away.wait()
            for _ in range(40):  # more than may have been on their way
                assert frames.read()
        loop.close()


@needs_element
def test_what_it_started_ends_with_it():
    ready = os.path.dirname(os.path.dirname(PROGRAMS))
    with Process([sys.executable, LOOP, "--local", "--work", "numpy:ascontiguousarray"],
                 env={**os.environ, "SHMNUMPY_LOOP_READY": ready}) as loop:
        loop.expect("Open ")
        pid = loop.process.pid
        children = [int(child) for task in os.listdir(f"/proc/{pid}/task") for child in
                    open(f"/proc/{pid}/task/{task}/children").read().split()]
        assert len(children) == 3
        loop.process.kill()
        assert all(ends(child) for child in children)
    for ring in os.listdir("/dev/shm"):
        if f"loop-{pid}-" in ring:
            os.unlink(os.path.join("/dev/shm", ring))


@needs_element
def test_one_command_has_all_of_it_on_this_machine():
    """With the model that it has itself; what it would build is there."""
    pytest.importorskip("cv2")
    if not os.path.exists(detect.CASCADES):
        pytest.skip("opencv-data is not installed")
    ready = os.path.dirname(os.path.dirname(PROGRAMS))
    result = subprocess.run([sys.executable, LOOP, "--local", "--seconds", "3"],
                            env={**os.environ, "SHMNUMPY_LOOP_READY": ready},
                            capture_output=True, text=True, timeout=seconds(60))
    assert result.returncode == 0, result.stderr
    assert re.search(r"Open https://vdo.ninja/\?view=result&wss=127.0.0.1:\d+\n"
                     r"frame \d+, 640x360, added latency \d+.\d ms", result.stdout)


def apart(sample, captured, base):
    """ns from capture to the time at which something is to be shown, both on
    CLOCK_MONOTONIC."""
    return sample.get_buffer().pts + base - captured


def luma(sample):
    caps = sample.get_caps().get_structure(0)
    rows = np.frombuffer(sample.get_buffer().extract_dup(0, MOST), np.uint8)
    return rows.reshape(caps.get_int("height")[1], -1)[:, :caps.get_int("width")[1]]


def pictures_and_ticks(viewer):
    """For each second its tick and the median of its pictures, as ns after capture."""
    sink, sound = map(viewer.get_by_name, ("sink", "sound"))
    base, last, pictures = viewer.get_base_time(), 0, []
    while True:
        sample = sound.emit("try-pull-sample", seconds(20) * SECOND)
        assert sample, "no sound came"
        samples = np.frombuffer(sample.get_buffer().extract_dup(0, MOST), np.int16)
        loud = np.flatnonzero(abs(samples.astype(int)) > 1500)
        while picture := sink.emit("try-pull-sample", 0):
            found = stamp.read(luma(picture))
            if found:
                age = stamp.age_ms(found[1]) * 10**6
                pictures.append(apart(picture, time.monotonic_ns() - age, base))
        if not len(loud):
            continue
        at = apart(sample, 0, base) + int(loud[0]) * SECOND // 48000
        if at - last > SECOND // 2 and pictures:  # one in each full second of the clock
            yield (at + SECOND // 2) % SECOND - SECOND // 2, statistics.median(pictures)
            pictures.clear()
        last = at


@needs_element
def test_sound_passes_by_and_stays_in_sync(tmp_path):
    """At the end of both ways, once reports of all streams have come. Receivers follow
    those from 4 ms on, twice here; the encoder of sound follows its input from 10 ms on."""
    (tmp_path / "mine.py").write_text("def same(picture):\n    return picture\n")
    with Publisher(["abc"], ticks=True) as publisher, Process(
            [sys.executable, LOOP, "--server", publisher.server, "--view", "abc", "--push",
             "result", "--work", "mine:same"], cwd=tmp_path) as loop:
        loop.expect("Open ")
        with pipelines.Pipeline(
                publisher.source("result", "name=in") +
                "in.video_0 ! videoconvert ! video/x-raw,format=GRAY8 ! appsink sync=false "
                "name=sink in.audio_0 ! audioconvert ! audioresample ! appsink sync=false "
                "name=sound caps=audio/x-raw,format=S16LE,rate=48000,channels=1") as viewer:
            seen = []
            for pair in pictures_and_ticks(viewer.pipeline):
                seen.append([round(delay / 1e6, 1) for delay in pair])
                if all(abs(tick - shown) < 19 for tick, shown in seen[-3:]) and seen[2:]:
                    break
                assert len(seen) < 20, f"ms after capture, sound and pictures: {seen}"
        loop.close()


class Ending:
    """What launch() gives of a pipeline that failed; its program takes a while to say so."""
    state = shmnumpy.State.STOPPED

    def __init__(self):
        self.asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, timeout):
        assert timeout
        self.asked += 1
        if self.asked > 1:
            raise shmnumpy.LaunchError("x264enc broke")


def test_what_ended_it_is_told(monkeypatch):
    monkeypatch.setattr(shmnumpy, "launch", lambda **_: Ending())
    args = argparse.Namespace(view="a", push="b", server="", password="", no_sound=True,
                              work="numpy:ascontiguousarray", seconds=None)
    with pytest.raises(shmnumpy.LaunchError, match="x264enc broke"):
        run(args)


TEXTS = ["a b", 'a" ! fakesink name="b', "back\\slash\\", '"quotes"', '"', "NULL", "a\nb", "é!"]


@needs_element
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_given_is_no_syntax(text):
    args = argparse.Namespace(view=text, push=text, server=text, password=text, no_sound=True)
    playing = pipelines.Gst.parse_launch(pipeline(args, "ring") + " ! fakesink")
    for element in map(playing.get_by_name, ("in", "out")):
        assert element.get_property("stream-id") == text
        assert element.get_property("server") == text


@pytest.mark.parametrize("arguments,told", [
    (["--view", "abc"], "--local has its own"),
    (["--view", "abc", "--push", "abc"], "needs another id"),
    (["--view", "a", "--push", "b", "--work", "paint"], "MODULE:FUNCTION"),
    (["--view", "a", "--push", "b", "--work", "os:nothing"], "os:nothing: .*MODULE:FUNCTION"),
    (["--view", "a", "--push", "b", "--work", "nowhere:a"], "No module named 'nowhere'; give"),
    (["--view", "a", "--push", "b", "--work", "os:name"], "no function but str; give"),
])
def test_options_that_cannot_be_are_named(arguments, told):
    result = subprocess.run([sys.executable, LOOP, *arguments], capture_output=True,
                            text=True)
    assert result.returncode and re.search(told, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
