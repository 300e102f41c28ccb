# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples that need Redis, with a server of each test's own."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from deadlines import seconds
from test_examples import EXAMPLES, ROOT, run_example

cv2 = pytest.importorskip("cv2", reason="python3-opencv is not installed")
redis = pytest.importorskip("redis", reason="python3-redis is not installed")
WORK = """
import os
def hold(picture):
    print("has a frame", flush=True)
    with open("gate") as gate:  # until the test opens it, too
        return gate.read()
def refuse(picture):
    raise ValueError(f"not {picture.shape}")
"""


@pytest.fixture
def redis_url(tmp_path):
    """A redis-server on a socket of its own."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
         "--dir", tmp_path], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "ready to accept connections" in line.lower():
            break
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield f"unix://{path}"
    process.terminate()
    process.wait(timeout=seconds(20))


def test_push_redis(stream, redis_url):
    client = redis.Redis.from_url(redis_url)
    with client.pubsub() as channel:
        channel.subscribe("camera")
        assert channel.get_message(timeout=seconds(20))["type"] == "subscribe"
        printed = run_example("push_redis.py", "--name", stream, "--frames", "5",
                              "--redis", redis_url, "--key", "camera")
        assert "5 frames stored under camera" in printed
        heard = [int(channel.get_message(timeout=seconds(20))["data"]) for _ in range(5)]
    stored = client.hgetall("camera")
    assert heard == sorted(heard) and heard[-1] == int(stored[b"number"])
    assert stored[b"jpeg"][:2] == b"\xff\xd8" and stored[b"width"] == b"320"


def complaint(script, *args):
    """What it says when it fails."""
    result = subprocess.run([sys.executable, os.path.join(EXAMPLES, script), *args],
                            capture_output=True, text=True, timeout=seconds(60))
    assert result.returncode and "Traceback" not in result.stderr, result.stderr
    return result.stderr


class Program:
    """An example that runs until it is told to end, in a folder with WORK."""

    def __init__(self, folder, script, *args):
        (folder / "work.py").write_text(WORK)
        if not (folder / "gate").exists():
            os.mkfifo(folder / "gate")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(EXAMPLES, script), *args], cwd=folder,
            stdout=subprocess.PIPE, text=True)
        self.deadline = threading.Timer(seconds(30), self.process.kill)
        self.deadline.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.deadline.cancel()
        self.process.kill()
        self.process.communicate(timeout=seconds(20))

    def line(self):
        return self.process.stdout.readline().strip()

    def interrupt(self, afterwards=lambda: None):
        """What it still prints, once it has ended well."""
        self.process.send_signal(signal.SIGINT)
        afterwards()
        printed = self.process.communicate(timeout=seconds(20))[0]
        assert self.process.returncode == 0
        return printed


@pytest.fixture
def place(redis_url):
    return "--redis", redis_url, "--key", "camera"


@pytest.fixture
def client(redis_url):
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def holder(tmp_path, place):
    """A worker that keeps its first frame until something is written into `gate`."""
    with Program(tmp_path, "redis_worker.py", *place, "--work", "work:hold") as program:
        assert "works on camera" in program.line()
        yield program


def put(client, count=1):
    """Frames as a sender stores them."""
    jpeg = cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()
    for number in range(1, count + 1):
        client.xadd("camera", {"jpeg": jpeg, "number": number, "captured": 1},
                    id=f"1-{number}")


def told(lines, *keys):
    return [tuple(json.loads(line).get(key) for key in keys) for line in lines]


def test_results_come_in_order_or_the_newest_first(tmp_path, place, client):
    put(client, 7)
    run_example("redis_worker.py", *place, "--frames", "1")
    with Program(tmp_path, "redis_stream.py", *place, "--read", "order") as reader:
        lines = [reader.line()]
        with Program(tmp_path, "redis_worker.py", *place, "--work", "work:hold") as holder:
            assert "works on camera" in holder.line() and "has a frame" in holder.line()
            run_example("redis_worker.py", *place, "--frames", "5")
            newest = run_example("redis_stream.py", *place, "--read", "newest", "--frames",
                                 "1")
            assert told([newest], "frame") == [(7,)]
            (tmp_path / "gate").write_text("at last")
            lines += [reader.line() for _ in range(6)]
        assert told(lines, "frame") == [(number,) for number in range(1, 8)]
        assert told(lines, "result")[1] == ("at last",)
        assert json.loads(lines[0])["result"] == {"brightness": 0}
        assert reader.interrupt() == ""
    assert client.xlen("camera") == 0 and client.xlen("camera:results") == 7


def test_what_a_killed_worker_had_another_does(place, client, holder):
    put(client)
    assert holder.line() == "has a frame"
    assert client.xpending("camera", "workers")["pending"] == 1
    holder.process.kill()
    holder.process.wait(timeout=seconds(20))
    run_example("redis_worker.py", *place, "--frames", "1", "--claim", "0.1")
    [[_, fields]] = client.xrange("camera:results")
    assert fields[b"frame"] == b"1-1"
    assert not json.loads(fields[b"json"])["worker"].endswith(f"-{holder.process.pid}")
    assert client.xpending("camera", "workers")["pending"] == 0


def test_oldest_are_dropped_but_none_that_a_worker_has(tmp_path, stream, place, client,
                                                       holder):
    put(client)
    assert holder.line() == "has a frame"
    printed = run_example("redis_stream.py", *place, "--name", stream, "--frames", "10",
                          "--queue", "3")
    assert printed == "10 frames sent to camera, 7 dropped\n"
    kept = [frame for frame, _ in client.xrange("camera")]
    assert [frame.split(b"-")[1] for frame in kept] == [b"1", b"8", b"9", b"10"]
    gate = tmp_path / "gate"
    assert holder.interrupt(lambda: gate.write_text("done")) == "1 frames done\n"
    assert client.xrange("camera:results")[0][1][b"frame"] == b"1-1"


def test_what_comes_late_from_a_worker_taken_for_dead_is_no_second_result(
        tmp_path, place, client, holder):
    put(client)
    assert holder.line() == "has a frame"
    run_example("redis_worker.py", *place, "--frames", "1", "--claim", "0.1")
    gate = tmp_path / "gate"
    assert holder.interrupt(lambda: gate.write_text("late")) == "0 frames done\n"
    assert client.xlen("camera:results") == 1


def test_what_cannot_be_worked_on_is_told_and_ends_no_worker(tmp_path, place, client):
    client.xgroup_create("camera", "workers", id="0", mkstream=True)
    client.xadd("camera:results", {"frame": "x", "json": "\x1b[2J"})
    put(client, 2)
    client.xreadgroup("workers", "dead", {"camera": ">"}, count=1)
    client.xclaim("camera", "workers", "dead", 0, ["1-1"], retrycount=3)
    client.xadd("camera", {"jpeg": b"no picture", "number": 1, "captured": 1}, id="1-3")
    client.xadd("camera", {"hello": b"world"}, id="1-4")
    with Program(tmp_path, "redis_worker.py", *place, "--frames", "4", "--claim", "0.001",
                 "--work", "work:refuse") as worker:
        assert worker.process.wait(timeout=seconds(20)) == 0
    lines = run_example("redis_stream.py", *place, "--read", "order", "--frames", "4")
    assert told(lines.splitlines(), "frame", "error") == [
        (1, "RuntimeError: 3 workers died with this frame"),
        (2, "ValueError: not (24, 32, 3)"),
        (3, "ValueError: what came is no picture"), (4, "KeyError: b'number'")]


def test_recipe_as_it_is_written(tmp_path, stream, place):
    with open(os.path.join(ROOT, "docs", "recipes.md"), encoding="utf-8") as file:
        section = file.read().split("## On more than one machine")[1].split("\n## ")[0]
    program = re.search(r"```python\n(.*?)```", section, re.S)[1]
    (tmp_path / "my_module.py").write_text(program)
    lines = re.findall(r"^python3 (examples/redis.*?)(?: +#.*)?$", section, re.M)
    assert len(lines) == 3
    ours = ["--redis", place[1], "--frames", "2"]
    for line in sorted(lines, key=lambda line: ("--read" in line, "worker" in line)):
        script, *args = line.replace("--name abc", f"--name {stream}").split()
        result = subprocess.run([sys.executable, os.path.join(ROOT, script), *args, *ours],
                                cwd=tmp_path, check=True, capture_output=True, text=True,
                                timeout=seconds(60))
    found = told(result.stdout.splitlines(), "frame", "result")
    assert [frame for frame, _ in found] == [1, 2] and found[0][1]["corners"] > 0


def test_sender_ends_on_ctrl_c(tmp_path, stream, place, client):
    with Program(tmp_path, "redis_stream.py", *place, "--name", stream) as sender:
        assert client.xread({"camera": "0"}, block=seconds(20) * 1000)
        assert "frames sent to camera" in sender.interrupt()


def test_second_sender_takes_over(stream, place, client):
    client.xadd("camera", {"jpeg": b""}, id="99999999999999-1")
    assert "a sender that was started later has it" in complaint(
        "redis_stream.py", *place, "--name", stream)


@pytest.mark.parametrize("script,args,sentence", [
    ("push_redis.py", ["--redis", "unix:///nonexistent.sock"], "no Redis at unix:///nonex"),
    ("redis_stream.py", ["--redis", "nonsense"], "`redis-server` starts one"),
    ("redis_worker.py", ["--redis", "unix://:secret@/none.sock"], "at unix:///none.sock"),
    ("redis_stream.py", ["--queue", "0"], "--queue 0: at least one frame"),
    ("redis_worker.py", ["--claim", "0"], "more than 0"),
    ("redis_worker.py", ["--work", "nowhere:at_all"], "give MODULE:FUNCTION"),
    ("redis_worker.py", ["--work", "os:name"], "no function but str; give MODULE:FUNCTION")])
def test_bad_input_gets_a_sentence(script, args, sentence):
    assert sentence in complaint(script, *args)
