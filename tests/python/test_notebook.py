# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.launch() where a notebook calls it: from a loop of asyncio that runs, in the main
thread of a kernel or in another one, with interrupts that go to all processes of its group."""
import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from launched import LIVE, ends, left
from ring_writer import PACKAGES

pytestmark = pipelines.needs_element


def signals():
    """What a kernel has set up, and wants to keep."""
    handlers = [signal.getsignal(number) for number in
                (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)]
    if threading.current_thread() is threading.main_thread():
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        handlers.append(wakeup)
    return handlers, signal.pthread_sigmask(signal.SIG_BLOCK, [])


async def cell(start):
    """What is typed into one: a launch, then frames in whichever way."""
    before = signals()
    with await start() as frames:
        assert signals() == before
        first = await frames.read_async(seconds(20))
        second = frames.read(seconds(20))
        async for third in frames:
            break
        assert first.number < second.number < third.number
        # Whom asyncio waits for it still hears of, and ours is not taken from us.
        process = await asyncio.create_subprocess_exec("false")
        assert await process.wait() == 1
    assert frames._player._process.returncode == 0
    assert signals() == before and not left(frames.name)


async def directly():
    return shmnumpy.launch(pipeline=LIVE)


async def beside():
    return await asyncio.get_running_loop().run_in_executor(
        None, lambda: shmnumpy.launch(pipeline=LIVE))


@pytest.mark.parametrize("start", [directly, beside])
def test_in_a_loop_that_runs(start):
    asyncio.run(cell(start))


@pytest.mark.parametrize("start", [directly, beside])
def test_in_a_loop_of_another_thread(start):
    failures = []

    def kernel():
        try:
            asyncio.run(cell(start))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=kernel)
    thread.start()
    thread.join()
    assert not failures


# Where tests run in the background SIGINT is ignored, and would be here.
INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


def program(text, **more):
    return subprocess.Popen([sys.executable, "-uc", INTERRUPTS + text], stdout=subprocess.PIPE, text=True,
                            start_new_session=True, env={**os.environ, "PYTHONPATH": PACKAGES},
                            **more)


INTERRUPTED = f"""
import asyncio, shmnumpy

async def busy():
    for number, frame in enumerate(frames):
        if not number:
            print("busy")

loop = asyncio.new_event_loop()
frames = shmnumpy.launch(pipeline={LIVE!r})
print(frames.name, frames._player._process.pid)
for cell in range(2):
    try:
        loop.run_until_complete(busy())
    except KeyboardInterrupt:
        print(frames.read(20).number)
frames.close()
print(frames._player._process.returncode)
"""


def test_interrupted_cell_leaves_the_pipeline_to_the_next():
    """As the kernel is interrupted: the signal goes to its whole group."""
    with program(INTERRUPTED) as kernel:
        name, pid = kernel.stdout.readline().split()
        numbers = []
        for _ in range(2):
            assert kernel.stdout.readline() == "busy\n"
            os.killpg(kernel.pid, signal.SIGINT)
            numbers.append(int(kernel.stdout.readline()))
        assert numbers[0] < numbers[1]
        assert kernel.stdout.readline() == "0\n"
    assert ends(int(pid)) and not left(name)


# There is a ring, and never a frame.
WAITS = """
import shmnumpy
from shmnumpy._launch import LaunchedFrames

class Told(LaunchedFrames):
    def _wait(self, seconds):
        if self._segment is not None:
            print(self.name, self._player._process.pid)
        super()._wait(seconds)

shmnumpy._launch.LaunchedFrames = Told
shmnumpy.launch(pipeline="appsrc", start=None)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_child_ends_with_who_still_waits_for_its_first_frame(how):
    with program(WAITS, stderr=subprocess.PIPE) as kernel:
        name, pid = kernel.stdout.readline().split()
        os.killpg(kernel.pid, how)
        said = kernel.communicate(timeout=seconds(20))[1]
    assert ends(int(pid)) and not left(name)
    assert how != signal.SIGINT or said.rstrip().endswith("KeyboardInterrupt"), said
