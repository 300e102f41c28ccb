# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every example as a user runs it, on a live pipeline."""
import glob
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

import drawings
import loopback
import pipelines
import shmnumpy
from deadlines import seconds

pytestmark = pipelines.needs_element
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = os.path.join(ROOT, "examples")


def run_example(script, *args):
    """Run it to its end and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, os.path.join(EXAMPLES, script), *args], env=environment,
        capture_output=True, text=True, timeout=seconds(60))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class Served:
    """An example that serves pictures, and its port."""

    def __init__(self, script, *args):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(EXAMPLES, script), "--port", "0", *args],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", line)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=seconds(20))

    def request(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=seconds(20))
        connection.request(method, path)
        return connection.getresponse()

    def get(self, path):
        with self.request("GET", path) as response:
            return response.status, response.headers, response.read()


class Viewer:
    """One connection to the moving picture."""

    def __init__(self, server):
        self.response = server.request("GET", "/stream.mjpg")
        kind = self.response.headers["Content-Type"]
        assert kind.startswith("multipart/x-mixed-replace")

    def next(self):
        """Number and JPEG of the next picture."""
        head = {}
        while line := self.response.readline().strip():
            key, _, value = line.partition(b":")
            head[key] = value.strip()
        jpeg = self.response.read(int(head[b"Content-Length"]))
        self.response.readline()
        assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
        return int(head[b"X-Frame-Number"]), jpeg


def test_receive(stream):
    printed = run_example("receive.py", "--name", stream, "--frames", "5").splitlines()
    assert len(printed) == 5
    assert re.match(r"frame \d+: \(240, 320, 3\) RGB, first pixel \[.*\], .* ms old",
                    printed[0])


def test_receive_alone_in_a_folder(stream, copied):
    shutil.copy(os.path.join(EXAMPLES, "receive.py"), copied)
    command = ["/usr/bin/python3", "receive.py", "--name", stream, "--frames", "2"]
    printed = subprocess.run(command, cwd=copied, env={}, check=True, capture_output=True,
                             text=True, timeout=seconds(60)).stdout
    assert printed.count("(240, 320, 3) RGB") == 2
    shutil.rmtree(os.path.join(copied, "shmnumpy"))
    command.insert(1, "-S")  # not one that is installed either
    result = subprocess.run(command, cwd=copied, env={}, capture_output=True, text=True)
    assert result.returncode == 1
    assert "or copy the folder python/shmnumpy next to this file" in result.stderr


def test_stats():
    with loopback.Publisher(["abc"]) as publisher:
        printed = run_example("stats.py", "--seconds", "4.5", "stream-id=abc",
                              "signaling=hosted", f"server={publisher.server}")
    assert re.search(r"^abc host udp [\d.]+:\d+", printed, re.M), printed
    assert re.search(r"^  video_0 320x180 \d+\.\d fps, \d+ freezes", printed, re.M), printed
    assert re.search(r"^  video VP8 \d+ kbit/s, missed 0, repaired 0", printed, re.M), printed


def test_bounded_run_without_frames_fails(name):
    result = subprocess.run(
        [sys.executable, os.path.join(EXAMPLES, "receive.py"), "--name", name,
         "--seconds", "0.2"], timeout=seconds(60))
    assert result.returncode == 1


def test_mjpeg_server_ends_by_itself(stream):
    printed = run_example("mjpeg_server.py", "--name", stream, "--port", "0",
                          "--frames", "10")
    assert "(240, 320, 3) RGB" in printed


@pytest.mark.parametrize("encoder", ["opencv", "pillow"])
def test_mjpeg_server_answers_every_url(stream, encoder):
    pytest.importorskip({"opencv": "cv2", "pillow": "PIL"}[encoder],
                        reason=f"{encoder} is not installed")
    with Served("mjpeg_server.py", "--name", stream, "--encoder", encoder) as server:
        Viewer(server).next()
        status, headers, page = server.get("/")
        assert status == 200 and headers["Content-Type"].startswith("text/html")
        assert stream.encode() in page and b"/stream.mjpg" in page
        status, headers, jpeg = server.get("/snapshot.jpg?1")
        assert status == 200 and headers["Content-Type"] == "image/jpeg"
        assert jpeg[:2] == b"\xff\xd8" and int(headers["Content-Length"]) == len(jpeg)
        stats = json.loads(server.get("/stats")[2])
        assert (stats["width"], stats["height"], stats["format"]) == (320, 240, "RGB")
        assert stats["fps"] >= 0 and 0 <= stats["age_ms"] < 20000
        assert server.get("/etc/passwd")[0] == 404
        for path in ("/", "/snapshot.jpg", "/stats", "/stream.mjpg"):
            with server.request("HEAD", path) as response:
                assert response.status == 200 and response.read() == b""


def test_mjpeg_server_before_the_first_frame(name):
    with Served("mjpeg_server.py", "--name", name) as server:
        assert server.get("/snapshot.jpg")[0] == 503
        assert json.loads(server.get("/stats")[2])["age_ms"] is None


def test_slow_viewer_skips_and_others_do_not_wait(stream):
    """The slow one reads nothing while the fast one takes 200 pictures."""
    with Served("mjpeg_server.py", "--name", stream) as server:
        slow, fast = Viewer(server), Viewer(server)
        numbers = [fast.next()[0] for _ in range(200)]
        assert numbers == sorted(set(numbers)) and numbers[-1] - numbers[0] < 2 * 200
        assert json.loads(server.get("/stats")[2])["viewers"] == 2
        kept = [slow.next()[0] for _ in range(20)]
        while kept[-1] - kept[-2] == 1:  # what lay in the socket's buffers
            kept.append(slow.next()[0])
        assert kept == sorted(kept) and len(kept) < 200
        slow.response.close()


def test_loopback_only_unless_told(stream):
    with Served("mjpeg_server.py", "--name", stream) as server:
        with open(f"/proc/{server.process.pid}/net/tcp", encoding="ascii") as table:
            local = [line.split()[1] for line in table
                     if line.split()[1].endswith(f":{server.port:04X}")]
        assert local and set(local) == {f"0100007F:{server.port:04X}"}


def test_push_udp(stream):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        port = receiver.getsockname()[1]
        printed = run_example("push_udp.py", "--name", stream, "--frames", "5", "--to",
                              f"127.0.0.1:{port}", "--width", "160")
        assert "5 of 5 frames sent" in printed
        assert receiver.recv(65536)[:2] == b"\xff\xd8"


def test_motion_is_seen(stream):
    pytest.importorskip("cv2", reason="python3-opencv is not installed")
    printed = run_example("motion.py", "--name", stream, "--frames", "60",
                          "--threshold", "0.5")
    assert re.search(r"frame \d+: motion, [\d.]+ % changed", printed)


@pytest.mark.parametrize("model", ["people", "faces"])
def test_detection_is_served_and_tells_its_latency(name, model):
    pytest.importorskip("cv2", reason="python3-opencv is not installed")
    if model == "faces" and not os.path.isdir("/usr/share/opencv4/haarcascades"):
        pytest.skip("opencv-data is not installed")
    picture = drawings.person() if model == "people" else drawings.face()
    with pipelines.Pipeline(
            "appsrc name=source caps=video/x-raw,format=GRAY8,width=640,height=480,"
            "framerate=10/1 ! imagefreeze is-live=true ! videoconvert "
            f"! video/x-raw,format=RGB ! shmnumpysink shm-name={name} legacy=never"
            ) as pipeline, \
            Served("detect.py", "--name", name, "--model", model, "--width",
                   "640") as server:
        pipeline.push(picture)
        assert len(Viewer(server).next()[1]) > 1000
        line = server.process.stdout.readline()
        assert re.fullmatch(rf"1 {model} in frame \d+, added latency [\d.]+ ms "
                            r"\(median of \d+\)\n", line), line


def test_nothing_that_is_shown_draws_into_a_view():
    """OpenCV writes into read-only arrays without looking, which is SIGSEGV."""
    for path in glob.glob(os.path.join(EXAMPLES, "*.py")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if "copy=False" in text:
            assert not re.findall(r"cv2\.(rectangle|line|circle|ellipse|polylines|putText|"
                                  r"fillPoly|drawContours|arrowedLine|drawMarker)", text)
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    for text in (shmnumpy.open.__doc__, readme):
        assert "read-only" in text and "SIGSEGV" in text and "copy()" in text
