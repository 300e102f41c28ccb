# SPDX-License-Identifier: LGPL-2.1-or-later
"""read_async() and `async for`: all readers of a process wait in one thread."""
import asyncio
import multiprocessing
import threading

import pytest

import pipelines
import ring_writer
import shmnumpy
from deadlines import seconds
from launched import LIVE
from ring_writer import RingWriter
from shmnumpy import _waker

PIXELS = bytes(64 * 48 * 3)


@pytest.fixture
def writer(name):
    return RingWriter(name)


@pytest.fixture(params=["waitv", "poll"])
def way(request, monkeypatch):
    """As the kernel of this machine can, and as one before Linux 5.16. No reader looks by
    itself, for a slice of time that has passed."""
    monkeypatch.setattr(shmnumpy._source, "SLICE", seconds(1000))
    if request.param == "poll":
        monkeypatch.setattr(_waker, "waitv", None)
    elif _waker.waitv is None:
        pytest.skip("this kernel has no futex_waitv")


def waiting():
    """How many readers the threads look after."""
    return sum(len(waker.watches) for waker in _waker._wakers)


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
                await until(lambda: frames._watch and frames._watch.future)
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


def test_many_readers_take_few_threads(writer, way):
    count = 200  # more than one call of the kernel takes
    before = threading.active_count()

    async def main():
        readers = [shmnumpy.open(writer.name, copy=False) for _ in range(count)]
        tasks = [asyncio.create_task(reader.read_async()) for reader in readers]
        await until(lambda: waiting() >= count)
        assert threading.active_count() <= before + 3
        writer.publish(PIXELS, 64, 48)
        assert {frame.number for frame in await asyncio.gather(*tasks)} == {1}
        for reader in readers:
            reader.close()
    play(main)


def test_threads_end_when_nobody_waits(writer, way, monkeypatch):
    monkeypatch.setattr(_waker, "_IDLE", 0.02)

    async def main():
        with shmnumpy.open(writer.name) as frames:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(frames.read_async(), 0.01)
            await until(lambda: not _waker._wakers)
            writer.publish(PIXELS, 64, 48)
            assert (await frames.read_async()).number == 1
    play(main)


def test_cancelled_read_loses_no_frame(writer, way):
    async def main():
        with shmnumpy.open(writer.name) as frames:
            for number in range(1, 4):
                task = asyncio.create_task(frames.read_async())
                await until(lambda: frames._watch and frames._watch.future)
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
        answers.send("reads")
        answers.send((await frames.read_async()).number)
    play(main)


def test_fork_waits_with_a_thread_of_its_own(writer, way):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    async def main():
        with shmnumpy.open(writer.name) as frames:
            task = asyncio.create_task(frames.read_async())
            await until(lambda: frames._watch and frames._watch.future)
            process = context.Process(target=number_of_next, args=(frames, theirs))
            process.start()
            assert ours.poll(seconds(20)) and ours.recv() == "reads"
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
            await until(lambda: frames._watch and frames._watch.future)
            larger = RingWriter(name, stride=0x20000, number=1, predecessor=first)
            larger.publish(PIXELS, 64, 48)
            assert (await task).number == 2
            larger.close()
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
