# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.launch(): the child ends with whoever started it, and leaves nothing."""
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from launched import LIVE, child, ends, left
from ring_writer import PACKAGES
from shmnumpy._launch import _Player

pytestmark = pipelines.needs_element


def test_forgotten_frames_end_their_pipeline():
    frames = shmnumpy.launch(pipeline=LIVE)
    pid, name = child(frames), frames.name
    del frames
    gc.collect()
    assert ends(pid) and not left(name)


@pytest.mark.parametrize("children, status", [(signal.SIG_DFL, -9), (signal.SIG_IGN, 0)])
def test_child_that_is_killed_is_an_error(children, status):
    """Also where the program ignores its children, and the status is lost."""
    before = signal.signal(signal.SIGCHLD, children)
    try:
        with shmnumpy.launch(pipeline=LIVE) as frames:
            os.kill(child(frames), signal.SIGKILL)
            with pytest.raises(shmnumpy.LaunchError, match=f"by itself, with status {status}"):
                for _ in frames:
                    pass
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert not left(frames.name)


def test_element_that_does_not_stop_is_left_behind():
    """Its streaming thread sleeps for a minute; the child gives it a few seconds."""
    stuck = (f"{LIVE} ! tee name=t ! queue ! identity sleep-time=60000000 ! fakesink "
             "t. ! queue")
    with shmnumpy.launch(pipeline=stuck) as frames:
        assert frames.read().number
    assert frames._player._process.returncode == -signal.SIGALRM
    assert ends(child(frames)) and not left(frames.name)


def test_cause_is_told_though_an_element_does_not_stop():
    stuck = (f"{LIVE} ! identity error-after=20 ! tee name=t ! queue "
             "! identity sleep-time=60000000 ! fakesink t. ! queue")
    with shmnumpy.launch(pipeline=stuck) as frames:
        with pytest.raises(shmnumpy.LaunchError, match="Failed after iterations"):
            for _ in frames:
                pass


def test_half_a_line_of_a_killed_child_is_an_error(name, monkeypatch):
    monkeypatch.setattr(shmnumpy._launch, "_PROGRAM",
                        ["import os; os.write(1, b\"('error'\")"])
    player = _Player(name, {})
    player._thread.join()
    with pytest.raises(shmnumpy.LaunchError, match="nobody hears"):
        player.over()
    player.stop()


ENDS = {
    "exit": "sys.exit(3)",
    "os._exit": "os._exit(0)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "exception": "raise SystemError",
    # It holds what the parent had open.
    "fork-lives-on": "os.fork() or signal.pause()\nos.kill(os.getpid(), signal.SIGKILL)",
    # The end of the thread that started it is no end.
    "thread": "time.sleep(0)\nassert frames.read(5)\nos._exit(0)",
}


@pytest.mark.parametrize("how", ENDS)
def test_child_ends_with_its_parent(how):
    program = ("import os, signal, sys, threading, time, shmnumpy\n"
               "def start():\n    global frames\n"
               f"    frames = shmnumpy.launch(pipeline={LIVE!r})\n"
               "thread = threading.Thread(target=start)\nthread.start()\nthread.join()\n"
               "print(frames.name, frames._player._process.pid, os.getpid(), flush=True)\n"
               + ENDS[how])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                          env={**os.environ, "PYTHONPATH": PACKAGES}) as parent:
        name, pid, group = parent.stdout.readline().split()
        try:
            assert ends(int(pid)) and not left(name)
        finally:
            if how == "fork-lives-on":
                os.killpg(int(group), signal.SIGKILL)


def test_ctrl_c_ends_the_program_and_then_the_child():
    program = (f"import shmnumpy\nwith shmnumpy.launch(pipeline={LIVE!r}) as frames:\n"
               "    print(frames.name, frames._player._process.pid, flush=True)\n"
               "    for frame in frames: pass\n")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "PYTHONPATH": PACKAGES}) as parent:
        name, pid = parent.stdout.readline().split()
        os.killpg(parent.pid, signal.SIGINT)
        said = parent.communicate(timeout=seconds(20))[1]
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert ends(int(pid)) and not left(name)


def first_number(answers):
    with shmnumpy.launch(pipeline=LIVE) as frames:
        answers.put((frames.name, frames.read(seconds(20)).array.shape))


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_in_a_process_of_multiprocessing(method):
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    process = context.Process(target=first_number, args=(answers,), daemon=True)
    process.start()
    name, shape = answers.get()
    process.join(seconds(20))
    assert (shape, process.exitcode, left(name)) == ((48, 64, 3), 0, [])


def read_and_leave(frames, answers):
    answers.put(frames.read(seconds(20)).array.shape)
    frames.close()


def test_fork_reads_and_leaves_the_pipeline_alone():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with shmnumpy.launch(pipeline=LIVE) as frames:
        process = context.Process(target=read_and_leave, args=(frames, answers))
        process.start()
        assert answers.get() == (48, 64, 3)
        process.join(seconds(20))
        last = frames.read().number
        assert process.exitcode == 0 and frames.read(seconds(20)).number > last


def test_close_is_heard_where_a_fork_holds_the_pipe():
    """As every forked child of the program does, for as long as it lives."""
    with shmnumpy.launch(pipeline=LIVE) as frames:
        held = os.dup(frames._player._process.stdin.fileno())
    os.close(held)
    assert frames._player._process.returncode == 0 and not left(frames.name)


def test_close_is_heard_while_the_request_is_still_to_be_read(name):
    player = _Player(name, {"description": LIVE + " ! fakesink", "properties": {}})
    held = os.dup(player._process.stdin.fileno())
    player.stop()
    os.close(held)
    assert player._process.returncode == 0


def test_threads_have_pipelines_of_their_own():
    names, shapes = [], []

    def play(width):
        with shmnumpy.launch(pipeline=f"videotestsrc ! video/x-raw,width={width},height=16"
                             ) as frames:
            names.append(frames.name)
            shapes.append(frames.read().width)

    threads = [threading.Thread(target=play, args=(width,)) for width in (16, 32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(shapes) == [16, 32] and not left(names[0]) and not left(names[1])
