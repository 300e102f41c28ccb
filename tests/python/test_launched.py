# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.launch(): streams and pipelines as children, and what they say."""
import logging
import os
import subprocess
import sys

import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from launched import LIVE, child, ends, left
from loopback import Publisher
from ring_writer import PACKAGES
from small_shm import run_with_small_shm

pytestmark = pipelines.needs_element
HARD = "a \"b' ! fakesink c=$HOME\\ \t%d"  # a password in which everything is syntax


def test_frames_come_and_nothing_is_left():
    with shmnumpy.launch(pipeline=LIVE, format="bgr") as frames:
        with open(f"/proc/{child(frames)}/maps", encoding="utf-8") as maps:
            assert "_gi.cpython" not in maps.read()  # nobody has to have it
        numbers = [frame.number for frame, _ in zip(frames, range(5))]
        assert numbers == sorted(set(numbers)) and left(frames.name)
        frame = frames.read()
    assert (frame.array.shape, frame.format) == ((48, 64, 3), "BGR")
    assert frames.read() is None and frames.state == shmnumpy.State.ABSENT
    assert ends(child(frames)) and not left(frames.name)
    frames.close()


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_program_without_standard_files(closed):
    program = ("import sys, shmnumpy\n"
               f"with shmnumpy.launch(pipeline={LIVE!r}) as frames:\n"
               "    sys.exit(0 if frames.read() and frames.read() else 1)\n")
    subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program],
                   env={**os.environ, "PYTHONPATH": PACKAGES}, check=True)


def test_file_has_its_own_pace_and_the_loop_ends_with_it():
    source = "videotestsrc num-buffers=12 ! video/x-raw,format=YUY2,framerate=60/1"
    frames = shmnumpy.launch(pipeline=source)
    shown = [frame.running_time for frame in frames]
    assert 6 <= len(shown) <= 12 and shown[-1] == 11 * 10**9 // 60
    assert not left(frames.name)


@pytest.mark.parametrize("pipeline, sentence", [
    ("nosuch", 'no element "nosuch"'),
    ("videotestsrc !", "syntax error in 'videotestsrc ! ! videoconvert"),
    ("filesrc location=/nonexistent", 'No such file "/nonexistent"'),
    ("videotestsrc num-buffers=0", "ended before its first frame"),
    ("audiotestsrc", "could not link"),
    ("appsrc", "no frame came within 0 s"),
])
def test_pipeline_that_errs_at_start(pipeline, sentence, monkeypatch):
    monkeypatch.setattr(shmnumpy._launch, "_GRACE", 0.5)
    start = 0 if pipeline == "appsrc" else seconds(20)
    with pytest.raises(shmnumpy.LaunchError) as failure:
        shmnumpy.launch(pipeline=pipeline, start=start)
    assert sentence in str(failure.value)
    assert not left(f"shmnumpy-{os.getpid()}-")


def test_pipeline_that_errs_later():
    with shmnumpy.launch(pipeline=f"{LIVE} ! identity error-after=20") as frames:
        with pytest.raises(shmnumpy.LaunchError, match="Failed after iterations"):
            for frame in frames:
                assert frame.number <= 20
        with pytest.raises(shmnumpy.LaunchError) as failure:
            frames.read(timeout=0)
        assert "GstIdentity" in failure.value.details


FULL = """
import os, shmnumpy
try:
    shmnumpy.launch(pipeline="videotestsrc ! video/x-raw,width=2000,height=2000")
except shmnumpy.LaunchError as error:
    assert "/dev/shm has no room" in str(error) and "enlarge it" in str(error), error
    assert not os.listdir("/dev/shm")
else:
    raise SystemExit("it plays")
"""


@pytest.mark.parametrize("size", ["4k", "8m"])
def test_full_shared_memory_is_told_by_the_sink(size):
    """Where not even the header has room, and where a picture has none."""
    run_with_small_shm(FULL, size)


@pytest.mark.parametrize("arguments, sentence", [
    ({}, "nothing to play"), ({"password": "x"}, "nothing to play"),
    ({"stream": "abc", "pipeline": LIVE}, "leave out 'abc'"),
    ({"pipeline": LIVE, "password": "x"}, "leave out password"),
    ({"pipeline": "a\0b"}, "zero byte"), ({"stream": "a\0b"}, "stream-id has a zero byte"),
    ({"pipeline": LIVE, "format": "yuv"}, "format='yuv' is none of auto, rgb"),
])
def test_arguments_that_make_no_sense(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        shmnumpy.launch(**arguments)


@pytest.mark.parametrize("properties, sentence", [
    ({"nosuch": 1}, "vdoninjasrc has no property nosuch; gst-inspect-1.0"),
    ({"signaling": "x"}, "'x' is no value for signaling"),
    ({"latency": 99999}, "'99999' is no value for latency"),
    ({"stun_server": ["a"]}, r"\['a'\] is no value for stun-server"),
    ({"turn_servers": ["turn://x"]}, "turn-servers"),
])
def test_properties_that_the_element_does_not_take(properties, sentence):
    with pytest.raises(shmnumpy.LaunchError, match=sentence):
        shmnumpy.launch("abc", server="ws://127.0.0.1:9", start=1, **properties)


def test_stream_with_a_password_that_is_syntax_and_is_shown_to_nobody(caplog):
    caplog.set_level(logging.INFO, "shmnumpy")
    with Publisher(["abc"], password=HARD) as publisher, \
            shmnumpy.launch("abc", server=publisher.server, signaling="hosted",
                            password=HARD, enable_audio=False,
                            video_codecs=["VP8"]) as frames:
        assert next(iter(frames)).array.shape == (180, 320, 3)
        with open(f"/proc/{child(frames)}/cmdline", encoding="utf-8") as file:
            assert "fakesink" not in file.read()
        with open(f"/proc/{child(frames)}/environ", encoding="utf-8") as file:
            assert "fakesink" not in file.read()
    assert not left(frames.name)
    said = [record for record in caplog.records if record.levelno == logging.INFO]
    assert any("Connecting" in record.getMessage() for record in said)
    assert "fakesink" not in caplog.text


def test_unknown_id_and_wrong_password(caplog):
    with Publisher(["abc"], password="right") as publisher:
        place = {"server": publisher.server, "signaling": "hosted", "start": 1}
        for arguments in ({"stream": "nobody"}, {"stream": "abc", "password": "wrong"}):
            with pytest.raises(shmnumpy.LaunchError, match="nothing came within timeout=1"):
                shmnumpy.launch(**arguments, **place)


def test_link_and_room(caplog):
    with Publisher(["abc"], room="hall", password="x y") as publisher:
        place = {"server": publisher.server, "signaling": "hosted"}
        link = "https://vdo.ninja/?view=abc&room=hall&password=x%20y&retry=5"
        with shmnumpy.launch(link, **place) as frames:
            assert frames.read()
        warnings = [record.getMessage() for record in caplog.records
                    if record.levelno == logging.WARNING]
        assert any("retry" in text for text in warnings), caplog.text
        capture = shmnumpy.Capture(link, **place)
        assert capture.isOpened() and capture.read()[1].shape == (180, 320, 3)
        capture.release()
        with shmnumpy.launch(room="hall", password="x y", **place) as frames:
            assert frames.read()


def refused(monkeypatch, sentence, **variables):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, str(value))
    with pytest.raises(shmnumpy.LaunchError, match=sentence):
        shmnumpy.launch("abc", server="ws://127.0.0.1:9", start=1)


def test_no_gstreamer(tmp_path, monkeypatch):
    (tmp_path / "libgstreamer-1.0.so.0").write_text("no library\n")
    refused(monkeypatch, "GStreamer is not installed: apt install",
            LD_LIBRARY_PATH=tmp_path)


def test_no_plugin(tmp_path, monkeypatch):
    refused(monkeypatch, "vdoninjasrc.*; install gstreamer1.0-vdoninja, or set GST_PLUGIN",
            GST_PLUGIN_PATH=tmp_path, GST_PLUGIN_SYSTEM_PATH=tmp_path,
            GST_REGISTRY=tmp_path / "registry.bin")
