# SPDX-License-Identifier: LGPL-2.1-or-later
"""python3 -m shmnumpy lists, cleans, watches and saves, and touches nothing that lives."""
import contextlib
import fcntl
import io
import os
import re
import signal
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import pipelines
import ring_writer
import shmnumpy
from deadlines import seconds
from launched import left
from ring_writer import PACKAGES, RingWriter
from shmnumpy import __main__ as program

COMMAND = [sys.executable, "-m", "shmnumpy"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": PACKAGES, "PYTHONUNBUFFERED": "1"}
PIXELS = np.arange(64 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)


def run(*arguments, encoding="utf-8"):
    """What it returns and says, by one call in this process: another takes longer to start
    than to do its work. It counts frames for a moment instead of for a second."""
    said = io.BytesIO()
    out = io.TextIOWrapper(said, encoding, write_through=True)
    err = io.TextIOWrapper(said, encoding, "backslashreplace", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), \
            mock.patch.object(sys, "argv", ["shmnumpy", *map(os.fsdecode, arguments)]), \
            mock.patch.object(program, "_SECONDS", 0.01):
        try:
            status = program.main()
        except SystemExit as end:  # what the interpreter makes of it
            print(end.code, file=err)
            status = 1
    return status, said.getvalue().decode(encoding)


def run_program(*arguments):
    """The same by a process."""
    result = subprocess.run([*COMMAND, *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env=ENVIRONMENT, timeout=seconds(60))
    return result.returncode, result.stdout


def columns(name):
    """What is in the row of one ring."""
    return run(name)[1].splitlines()[1].split()


@pytest.fixture
def writer(name):
    writer = RingWriter(name)
    writer.publish(PIXELS, 64, 48)
    os.link(writer.path, f"/dev/shm/.{name}.ring.keep")
    return writer


def die(writer):
    """As the kernel does with a process that was killed."""
    fcntl.flock(writer.fd, fcntl.LOCK_UN)
    writer.words[ring_writer.HEARTBEAT // 8] = 0


def test_list_tells_all_of_a_live_ring(stream):
    with shmnumpy.open(stream) as frames:
        assert frames.read(seconds(20))
        status, said = run_program(stream)
    title, row = (line.split() for line in said.splitlines())
    assert title == ["NAME", "STATE", "SIZE", "FORMAT", "FRAMES/S", "READERS", "PID",
                     "MEMORY"]
    assert row[:4] == [stream, "live", "320x240", "RGB"] and row[8] == "MB"
    # The writer is this process, so the reader in it does not count.
    assert 20 < float(row[4]) < 90 and row[5:7] == ["0", str(os.getpid())]
    assert status == 0 and float(row[7]) > 1


def test_readers_of_other_processes_are_counted(writer):
    program = ("import sys, shmnumpy; frames = shmnumpy.open(sys.argv[1]); frames.read()\n"
               "print(flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", program, writer.name], env=ENVIRONMENT,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        reader.stdout.readline()
        assert columns(writer.name)[3:6] == ["RGB", "0.0", "1"]
        reader.communicate(b"")


def test_all_rings_are_listed_and_states_told(name, writer):
    assert f"\n{name} " in run()[1]
    writer.set_state(ring_writer.RECONNECTING)
    assert columns(name)[1] == "reconnecting"
    die(writer)
    assert columns(name)[1] == "dead"


@pytest.mark.parametrize("damage, sentence", [
    (lambda file: file.write(b"x"), "does not hold frames"),
    (lambda file: file.truncate(5000), "is truncated"),
    (lambda file: (file.seek(8), file.write(b"\0\0\3\0")), "has version 3.0"),
])
def test_what_is_no_ring_is_named_and_never_removed(name, writer, damage, sentence):
    with open(writer.path, "r+b") as file:
        damage(file)
    status, said = run(name)
    assert status == 1 and sentence in said
    assert run("--clean", name)[0] == 1 and left(name)


@pytest.mark.parametrize("encoding", ["UTF-8", "ascii"])
def test_names_that_no_terminal_should_see(name, encoding):
    ends = [b"\x1b[2J\n" + name.encode() + b"-forged  live", b"\xff", "\u202e\xe9".encode()]
    for end in ends:
        open(b"/dev/shm/" + name.encode() + end + b".ring", "wb").close()
    status, said = run(encoding=encoding)
    mine = sorted(line.split(" no such")[0].rstrip()
                  for line in said.splitlines() if name in line)
    assert mine == sorted([f"{name}?[2J?{name}-forged  live", f"{name}?",
                           f"{name}?{'é' if encoding == 'UTF-8' else '?'}"]), said
    for end in ends:
        status, said = run("--clean", name.encode() + end, encoding=encoding)
        assert status == 1 and said.startswith(f"{name}?") and "left alone" in said
        assert "\x1b" not in said and len(said.splitlines()) == 1


def test_limit_of_a_name_is_in_bytes_and_the_same_everywhere(name):
    longest = shmnumpy._file.LONGEST
    fits = name + "é" * ((longest - len(name)) // 2)
    fits += "x" * (longest - len(os.fsencode(fits)))
    with shmnumpy.create(fits) as out, shmnumpy.open(fits) as frames:
        out.write(PIXELS)
        assert frames.read(seconds(10)).number == 1 and run(fits)[0] == 0
        assert run()[1].count(fits) == 1
    for long in (fits + "x", fits[:-1] + "é"):
        open(f"/dev/shm/{long}.ring", "wb").close()
        for function in (shmnumpy.create, shmnumpy.open, shmnumpy.open_legacy):
            with pytest.raises(ValueError, match=f"no name of .* 1 to {longest} bytes"):
                function(long)
        assert name not in run()[1]
        os.unlink(f"/dev/shm/{long}.ring")


def test_name_without_a_ring(name):
    assert "no such ring" in run(name)[1]
    status, said = run("a/b")
    assert status == 1 and "'a/b' is no name of shared memory" in said


def test_clean_removes_dead_rings_alone(name, writer):
    status, said = run("--clean", name)
    assert status == 1 and "left alone, it has a writer" in said and len(left(name)) == 2
    os.unlink(writer.path)  # somebody's resource tracker; the hidden link is still there
    die(writer)
    with open(f"/dev/shm/{name}", "wb"):  # and another program's file
        pass
    status, said = run("--clean", name)
    assert (status, said.split(",")[0]) == (0, f"{name}: removed")
    assert left(name) == [f"/dev/shm/{name}"]


@pipelines.needs_element
def test_clean_after_a_killed_pipeline(name):
    line = (f"videotestsrc is-live=true ! shmnumpysink shm-name={name} legacy=always "
            "udp-port=0")
    with shmnumpy.open(name) as frames, \
            subprocess.Popen(["gst-launch-1.0", "-q", *line.split()]) as process:
        assert frames.read(seconds(20))
        process.kill()
    assert len(left(name)) == 4
    assert run("--clean", name)[0] == 0 and not left(name)


def test_clean_after_a_writer_that_was_killed_while_it_grew(name, writer):
    """The larger ring has the hidden name first."""
    larger = RingWriter(f"{name}-larger")
    os.rename(larger.path, f"/dev/shm/.{name}.ring.keep")
    die(writer)
    die(larger)
    status, said = run("--clean", name)
    assert status == 0 and said.startswith(f"{name}: removed") and not left(name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_ring_of_another_user_is_told(name, writer, copied):
    for option in ([], ["--clean"]):
        said = subprocess.run(["/usr/bin/python3", "-m", "shmnumpy", *option, name],
                              cwd=copied, env={}, user=65534, group=65534, extra_groups=[],
                              text=True, capture_output=True)
        assert "Permission denied" in said.stdout or "left alone" in said.stderr
    assert len(left(name)) == 2


@pytest.mark.parametrize("kind", ["npy", "ppm", "png"])
def test_snapshot(name, writer, kind, tmp_path):
    path = str(tmp_path / f"frame.{kind}")
    status, said = run("--snapshot", path, name)
    assert status == 0 and f"{path}: <shmnumpy.Frame 1: 64x48 RGB" in said
    if kind == "npy":
        array = np.load(path)
    else:
        array = np.asarray(pytest.importorskip("PIL.Image").open(path))
    assert np.array_equal(array, PIXELS)


def test_snapshot_that_cannot_be(name, writer, tmp_path):
    path = str(tmp_path / "frame.nosuch")
    assert "nosuch" in run("--snapshot", path, name)[1]
    status, said = run("--snapshot", str(tmp_path / "no" / "x.npy"), name)
    assert status == 1 and "No such file" in said
    other = RingWriter(f"{name}-b")
    status, said = run("--snapshot", path, name, other.name)
    assert status == 1 and "takes one ring, and there are 2" in said
    status, said = run("--snapshot", path, "--timeout", "0", other.name)
    assert status == 1 and "no frame came within 0 s" in said
    other.close()


def test_lines_of_the_page(name, writer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open(os.path.join(PACKAGES, "..", "docs", "python.md"), encoding="utf-8") as page:
        lines = re.findall(r"^python3 -m shmnumpy(.*?)(?: +#.*)?$", page.read(), re.M)
    assert len(lines) == 4
    for line in lines:
        if "--watch" in line:  # has its own test
            continue
        # Others' leftovers are not ours to remove.
        words = [name if word == "NAME" else word for word in line.split()]
        if "--clean" in words:
            die(writer)
            words.append(name)
        assert run_program(*words)[0] == 0, line
    assert not left(name) and os.path.getsize("now.png")


def test_watch_goes_on_until_ctrl_c(stream):
    with subprocess.Popen([*COMMAND, "--watch", stream], stdout=subprocess.PIPE, text=True,
                          env=ENVIRONMENT) as process:
        for _ in range(2):
            assert process.stdout.readline().startswith("NAME ")
            assert process.stdout.readline().startswith(f"{stream} ")
        process.send_signal(signal.SIGINT)
        assert process.wait(seconds(20)) == 0
