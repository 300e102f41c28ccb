# SPDX-License-Identifier: LGPL-2.1-or-later
"""read_async() and `async for`: all readers of a loop wait by one descriptor."""
import asyncio
import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import pipelines
import ring_writer
import shmnumpy
from deadlines import seconds
from launched import LIVE
from ring_writer import RingWriter
from shmnumpy import _watch

PIXELS = bytes(64 * 48 * 3)


class NoWatches(_watch.Inotify):
    """As where the limit of a user is reached."""

    def __init__(self):
        super().__init__()
        self.add = lambda *_: -1


@pytest.fixture
def writer(name):
    return RingWriter(name)


@pytest.fixture(params=["told", "no watches", "older writer"])
def way(request, writer, monkeypatch):
    """By inotify, and where there is none. No reader looks by itself, for a slice of time
    that has passed."""
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))
    if request.param == "no watches":
        monkeypatch.setattr(_watch, "Inotify", NoWatches)
    elif request.param == "older writer":
        writer.tells = False
        os.pwrite(writer.fd, b"\2", 8)  # the minor version
    return request.param


def descriptors():
    """How many of inotify this process has."""
    gc.collect()
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and "inotify" in os.readlink(link) for link in links)


def watchers():
    """Of all loops that are not closed."""
    return [watcher for known in list(_watch._watchers.data.values())
            if (watcher := known()) is not None and not watcher._loop.is_closed()]


def told():
    """Whether there is a watch of the kernel's, of any loop."""
    return any(any(watcher.rings) for watcher in watchers())


def waiting():
    """How many readers wait, in all loops."""
    return sum(len(waiters) for watcher in watchers()
               for waiters in list(watcher.rings.values()))


async def until(condition):
    """Others run until it holds; fails by the deadline of who calls."""
    while not condition():
        await asyncio.sleep(0)


def play(main):
    async def bounded():
        return await asyncio.wait_for(main(), seconds(20))
    return asyncio.run(bounded())


def test_frame_wakes_who_waits(writer, way):
    async def main():
        with shmnumpy.open(writer.name) as frames:
            for number in range(1, 6):
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                writer.publish(PIXELS, 64, 48)
                assert (await task).number == number
            assert await frames.read_async(timeout=0) is None
            assert await frames.read_async(timeout=0.01) is None
            task = asyncio.create_task(frames.read_async())
            writer.set_state(ring_writer.EOS)
            await asyncio.sleep(0)
            writer.publish(PIXELS, 64, 48)
            assert (await task).number == 6
    play(main)


def test_many_readers_take_one_descriptor_and_no_thread(writer, way):
    threads = threading.active_count()

    async def main():
        readers = [shmnumpy.open(writer.name, copy=False) for _ in range(200)]
        tasks = [asyncio.create_task(reader.read_async()) for reader in readers]
        await until(lambda: waiting() == len(readers))
        assert threading.active_count() == threads and descriptors() == 1
        assert [len(watcher.rings) for watcher in watchers()] == [1]
        writer.publish(PIXELS, 64, 48)
        assert {frame.number for frame in await asyncio.gather(*tasks)} == {1}
        for reader in readers:
            reader.close()
    play(main)


def test_loops_leave_no_descriptor(writer, way):
    frames = shmnumpy.open(writer.name)

    async def main():
        task = asyncio.create_task(frames.read_async())
        await until(waiting)
        writer.publish(PIXELS, 64, 48)
        return (await task).number

    assert [play(main) for _ in range(3)] == [1, 2, 3]
    assert descriptors() == 0
    # One that is closed while somebody waits there, too.
    loop = asyncio.new_event_loop()
    task = loop.create_task(frames.read_async())
    loop.run_until_complete(until(waiting))
    loop.close()
    task._log_destroy_pending = False
    del task, loop
    assert descriptors() == 0
    assert play(main) == 4


def test_frames_that_nobody_waits_for_wake_nobody(writer, monkeypatch):
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))

    async def main():
        with shmnumpy.open(writer.name) as frames:
            for _ in range(2):
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                writer.publish(PIXELS, 64, 48)
                assert (await task).number == writer.number
                watcher, = watchers()
                while watcher.rings:  # the second that is heard and not waited for ends it
                    writer.publish(PIXELS, 64, 48)
                    await asyncio.sleep(0)
                assert (await frames.read_async()).number == writer.number
    play(main)


def test_descriptors_are_used_up(writer, monkeypatch):
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        with shmnumpy.open(writer.name) as frames:
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            for number in range(1, 4):
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                writer.publish(PIXELS, 64, 48)
                assert (await task).number == number
    try:
        play(main)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_more_events_than_the_kernel_keeps(writer, name, monkeypatch):
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        most = int(file.read())
    others = [RingWriter(f"{name}-{index}") for index in range(2)]

    async def main():
        rings = [shmnumpy.open(one.name) for one in others + [writer]]
        tasks = [asyncio.create_task(ring.read_async()) for ring in rings]
        await until(lambda: waiting() == 3)
        for _ in range(most // 2 + 1):  # equal ones in a row are kept as one
            for other in others:
                os.pwrite(other.fd, b"\0", ring_writer.TOUCHED)
        writer.publish(PIXELS, 64, 48)
        assert (await tasks[2]).number == 1
        for other in others:
            other.publish(PIXELS, 64, 48)
        assert [(await task).number for task in tasks[:2]] == [1, 1]
    play(main)


def test_writer_that_is_killed(name):
    code = (f"import os, ring_writer; ring_writer.RingWriter({name!r})"
            ".publish(bytes(9216), 64, 48); print(1, flush=True); os.read(0, 1)")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE,
                          cwd=os.path.dirname(ring_writer.__file__)) as process:
        assert process.stdout.read(1)

        async def main():
            with shmnumpy.open(name, until_eos=True) as frames:
                assert (await frames.read_async()).number == 1
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                process.send_signal(signal.SIGKILL)
                assert await task is None
                assert frames.state == shmnumpy.State.ABSENT
        play(main)


def test_cancelled_read_loses_no_frame(writer, way):
    async def main():
        with shmnumpy.open(writer.name) as frames:
            for number in range(1, 4):
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                writer.publish(PIXELS, 64, 48)
                assert (await frames.read_async()).number == number
    play(main)


def test_other_tasks_get_their_turn_when_frames_are_always_there(writer):
    turns = []

    async def main():
        async def other():
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        writer.publish(PIXELS, 64, 48)
        with shmnumpy.open(writer.name) as frames:
            async for frame in frames:
                if frame.number == 10:
                    break
                writer.publish(PIXELS, 64, 48)
        task.cancel()
    play(main)
    assert len(turns) >= 9


def test_loops_of_several_threads(writer, way):
    numbers = []

    async def main():
        with shmnumpy.open(writer.name) as frames:
            async for frame in frames:
                numbers.append(frame.number)
                return

    threads = [threading.Thread(target=play, args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while waiting() < 3:
        assert any(thread.is_alive() for thread in threads)
    writer.publish(PIXELS, 64, 48)
    for thread in threads:
        thread.join(seconds(20))
    assert numbers == [1, 1, 1]


def number_of_next(frames, answers):
    async def main():
        answers.send(descriptors())  # none of the parent's
        answers.send((await frames.read_async()).number)
    play(main)


def test_fork_waits_by_a_descriptor_of_its_own(writer, way):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    async def main():
        with shmnumpy.open(writer.name) as frames:
            task = asyncio.create_task(frames.read_async())
            await until(waiting)
            process = context.Process(target=number_of_next, args=(frames, theirs))
            process.start()
            assert ours.poll(seconds(20)) and ours.recv() == 0
            writer.publish(PIXELS, 64, 48)
            told = await asyncio.to_thread(ours.poll, seconds(20))
            process.kill()
            assert told and ours.recv() == (await task).number == 1
    play(main)


def test_ring_that_comes_later_and_is_replaced(name):
    async def main():
        with shmnumpy.open(name) as frames:
            task = asyncio.create_task(frames.read_async())
            await asyncio.sleep(0)
            first = RingWriter(name)
            first.publish(PIXELS, 64, 48)
            assert (await task).number == 1
            task = asyncio.create_task(frames.read_async())
            await until(waiting)
            larger = RingWriter(name, stride=0x20000, number=1, predecessor=first)
            larger.publish(PIXELS, 64, 48)
            assert (await task).number == 2
            larger.close()
    play(main)


def test_writer_of_python_tells(name, monkeypatch):
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))

    async def main():
        with shmnumpy.create(name, "GRAY8") as out, shmnumpy.open(name) as frames:
            for number in range(1, 4):  # the first takes another ring, of its size
                task = asyncio.create_task(frames.read_async())
                await until(waiting)
                out.write(np.zeros((2, 3), np.uint8))
                assert (await task).number == number
            assert told()
    play(main)


def test_element_tells(stream, monkeypatch):
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))

    async def main():
        with shmnumpy.open(stream) as frames:
            async for frame in frames:
                if frame.number > 5 and told():
                    break
    play(main)


def test_legacy_segment(name):
    with open(f"/dev/shm/{name}", "wb") as file:
        file.write(bytes([0, 64, 0, 48, 7]) + PIXELS)

    async def main():
        with shmnumpy.open_legacy(name) as frames:
            assert (await frames.read_async()).array.shape == (48, 64, 3)
            task = asyncio.create_task(frames.read_async())
            await asyncio.sleep(0)
            with open(f"/dev/shm/{name}", "r+b") as file:
                file.seek(4)
                file.write(b"\x08")
            assert (await task).number == 2
    play(main)


@pipelines.needs_element
def test_pipeline_that_errs(name):
    async def main():
        errs = f"{LIVE} ! identity error-after=20"
        with await asyncio.to_thread(shmnumpy.launch, pipeline=errs) as frames:
            with pytest.raises(shmnumpy.LaunchError, match="Failed after iterations"):
                async for _ in frames:
                    pass
    play(main)
