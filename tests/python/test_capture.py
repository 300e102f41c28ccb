# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.Capture does what programs expect of cv2.VideoCapture."""
import fcntl
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import pipelines
import ring_writer
import shmnumpy
from deadlines import seconds
from launched import left
from ring_writer import PACKAGES, RingWriter

LIVE = ("videotestsrc is-live=true pattern=blue ! "
        "video/x-raw,width=64,height=48,framerate=30/1")
SCRIPT = """
cap = cv2.VideoCapture(source)
if not cap.isOpened():
    raise SystemExit("cannot open")
width = int(cap.get(cv2.CAP_PROP_FRAME_WIDTH))
height = int(cap.get(cv2.CAP_PROP_FRAME_HEIGHT))
assert (width, height, cap.get(cv2.CAP_PROP_FPS)) == (64, 48, 30)
while cap.isOpened():
    ret, frame = cap.read()
    if not ret:
        break
    cv2.rectangle(frame, (1, 1), (9, 9), (0, 0, 255), 1)
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    print(cap.get(cv2.CAP_PROP_POS_FRAMES), frame.shape, gray.shape, frame[40, 40])
cap.release()
"""


@pytest.fixture
def writer(name):
    writer = RingWriter(name)
    writer.publish(bytes([1, 2, 3]) * (64 * 48), 64, 48)
    return writer


def test_ring_is_read_in_the_order_of_opencv(writer):
    cap = shmnumpy.Capture(writer.name)
    assert cap.isOpened() and cap.getBackendName() == "SHMNUMPY"
    assert [cap.get(prop) for prop in (1, 3, 4, 5, 999)] == [1, 64, 48, 30, 0]
    ok, image = cap.read()
    assert ok and image.shape == (48, 64, 3) and image.flags.writeable
    assert image[0, 0].tolist() == [3, 2, 1]
    writer.publish(bytes(64 * 48 * 3), 64, 48, pts=2500000)
    assert cap.grab() and cap.get(0) == 2.5 and cap.get(1) == 2
    assert cap.retrieve()[1].max() == 0 and cap.retrieve()[0]
    writer.publish(bytes(32 * 24), 32, 24, name="GRAY8")
    filled = np.ones((24, 32, 3), np.uint8)
    assert cap.read(filled)[1] is filled and filled.max() == 0 and cap.get(3) == 32
    assert cap.set(3, 640) is False
    cap.release()
    assert not cap.isOpened() and cap.get(3) == 0
    assert cap.read() == (False, None) and cap.retrieve() == (False, None)


def test_it_ends_with_the_stream(writer):
    cap = shmnumpy.Capture(writer.name)
    writer.set_state(ring_writer.EOS)
    assert cap.read()[0] and cap.read() == (False, None) and cap.isOpened()
    assert not cap.grab() and cap.retrieve() == (False, None)


def test_what_open_returned_is_taken(writer):
    cap = shmnumpy.Capture()
    assert not cap.isOpened() and cap.read() == (False, None)
    assert cap.open(shmnumpy.open(writer.name)) and cap.read()[0]


def test_what_cannot_be_opened_is_no_exception(name, caplog):
    path = f"/dev/shm/{name}.ring"
    with open(path, "wb") as file:
        file.write(b"something else" * 400)
    assert not shmnumpy.Capture(name).isOpened()
    assert "does not hold frames" in caplog.text
    os.unlink(path)
    writer = RingWriter(name)
    assert not shmnumpy.Capture(name, timeout=0).isOpened()
    assert "no frame came within 0 s" in caplog.text
    writer.close()
    assert not shmnumpy.Capture("videos/clip.mp4").isOpened()
    assert "videos/clip.mp4: no stream id, link or name of a ring; a file is" in caplog.text
    assert not shmnumpy.Capture(name, pipeline="videotestsrc").isOpened()
    assert f"leave out {name!r}" in caplog.text


def test_symlink_that_takes_the_name_is_an_end_and_no_exception(writer, caplog):
    cap = shmnumpy.Capture(writer.name, timeout=0)
    assert cap.read()[0]
    os.unlink(writer.path)
    os.symlink("/etc/passwd", writer.path)
    writer.set_state(ring_writer.RETIRED)
    assert cap.read() == (False, None) and not cap.grab()
    assert writer.path in caplog.text and "symbolic links" in caplog.text


def test_ring_that_a_killed_writer_left_is_none(writer, caplog, tmp_path, monkeypatch):
    """Its name is a stream id then, which launch() says cannot be played."""
    for variable in ("GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    fcntl.flock(writer.fd, fcntl.LOCK_UN)
    writer.words[ring_writer.HEARTBEAT // 8] = 0
    assert not shmnumpy.Capture(writer.name).isOpened()
    assert f'{writer.name}: no element "vdoninjasrc"' in caplog.text


def test_number_of_a_camera_is_told_what_to_write():
    with pytest.raises(TypeError, match="v4l2src device=/dev/video0"):
        shmnumpy.Capture(0)


@pipelines.needs_element
def test_pipeline_is_played_and_its_failure_is_an_end(caplog):
    errs = f"{LIVE} ! identity error-after=20"
    cap = shmnumpy.Capture(pipeline=errs, timeout=seconds(20))
    name = cap._frames.name
    assert cap.isOpened() and cap.get(5) == 30
    with caplog.at_level(logging.WARNING, "shmnumpy"):
        while cap.read()[0]:
            pass
    assert "Failed after iterations" in caplog.text and cap.isOpened()
    cap.release()
    assert not left(name)
    assert not shmnumpy.Capture(pipeline="nosuch").isOpened()
    assert 'no element "nosuch"' in caplog.text


@pipelines.needs_element
def test_script_for_opencv_runs_with_one_line_changed(name):
    pytest.importorskip("cv2")
    script = SCRIPT.replace("cv2.VideoCapture(source)", f"shmnumpy.Capture({name!r})")
    with pipelines.Pipeline(f"{LIVE} ! shmnumpysink shm-name={name} udp-port=0") as live, \
            subprocess.Popen([sys.executable, "-uc", "import cv2, shmnumpy" + script],
                             stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": PACKAGES}) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        live.stop()  # and the loop ends with it
        process.communicate(timeout=seconds(20))
    assert process.returncode == 0
    for line in lines:
        assert line.endswith("(48, 64, 3) (48, 64) [255   0   0]\n"), lines


def test_numbers_are_those_of_opencv():
    cv2 = pytest.importorskip("cv2")
    numbers = {"POS_MSEC": "POS_MSEC", "POS_FRAMES": "POS_FRAMES", "WIDTH": "FRAME_WIDTH",
               "HEIGHT": "FRAME_HEIGHT", "FPS": "FPS", "FORMAT": "FORMAT",
               "CONVERT_RGB": "CONVERT_RGB", "BUFFERSIZE": "BUFFERSIZE",
               "ORIENTATION": "ORIENTATION_META", "READ_TIMEOUT": "READ_TIMEOUT_MSEC"}
    for ours, theirs in numbers.items():
        assert getattr(shmnumpy._capture, f"_{ours}") == getattr(cv2, f"CAP_PROP_{theirs}")
    assert shmnumpy._capture._CV_8UC3 == cv2.CV_8UC3
