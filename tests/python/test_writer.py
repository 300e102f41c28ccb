# SPDX-License-Identifier: LGPL-2.1-or-later
"""shmnumpy.create(): what it writes is what readers get, whatever happens to the writer."""
import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import shmnumpy
from deadlines import seconds
from pipelines import RANDOM
from small_shm import run_with_small_shm

SHAPES = {"RGB": (3,), "BGR": (3,), "RGBx": (4,), "BGRx": (4,), "RGBA": (4,), "BGRA": (4,),
          "GRAY8": (), "GRAY16_LE": ()}


def random_array(pixel_format, width, height):
    if pixel_format in ("NV12", "I420"):
        return RANDOM.integers(0, 256, (height * 3 // 2, width)).astype(np.uint8)
    dtype = np.uint16 if pixel_format == "GRAY16_LE" else np.uint8
    return RANDOM.integers(0, 256, (height, width) + SHAPES[pixel_format]).astype(dtype)


def read(name, **more):
    with shmnumpy.open(name, timeout=seconds(10), **more) as frames:
        return frames.read()


@pytest.mark.parametrize("pixel_format", list(SHAPES) + ["NV12", "I420"])
def test_readers_get_what_was_written(name, pixel_format):
    yuv = pixel_format in ("NV12", "I420")
    with shmnumpy.create(name, pixel_format) as out, \
            shmnumpy.open(name, timeout=seconds(10)) as frames:
        for number, (width, height) in enumerate([(64, 48), (2, 2), (640, 34)] +
                                                 [(1, 1), (33, 17)] * (not yuv), 1):
            array = random_array(pixel_format, width, height)
            assert out.write(array) == 3 * number - 2
            frame = frames.read()
            assert (frame.width, frame.height) == (width, height)
            assert frame.format == pixel_format and np.array_equal(frame.array, array)
            with out.slot(width, height) as memory:
                memory[...] = array[::-1]
            frame = frames.read()
            assert np.array_equal(frame.array, array[::-1])
            out.write(array[::-1, ::-1])  # no memory of its own that is in order
            assert np.array_equal(frames.read().array, array[::-1, ::-1])
        assert out.dropped == 0
        assert frame.due_time is None and frame.pts is None and frame.made_from is None


def test_frame_of_8k_is_written(name):
    with shmnumpy.create(name, "RGBA") as out:
        with out.slot(7680, 4320) as memory:
            memory[-1, -1] = 1, 2, 3, 4
        assert read(name).array[-1, -1].tolist() == [1, 2, 3, 4]


def test_what_is_made_of_a_frame_keeps_its_times(name):
    other = name + "-b"
    with shmnumpy.create(name) as out, shmnumpy.create(other, framerate=(25, 1)) as result:
        pixels = np.zeros((4, 6, 3), np.uint8)
        out.write(pixels)
        source = read(name)
        fields = list(source._fields)
        fields[7] = 7                                    # discont, corrupted, gap
        fields[21:25], fields[27:32] = (1, 2, 3, 4), (30, 1, 4, 3, b"sRGB")
        fields[32], fields[34] = 90, 5
        source = shmnumpy.Frame(source._geometry, tuple(fields))
        result.write(pixels, like=source)
        made = read(other)
        assert (made.pts, made.duration, made.running_time, made.capture_time) == (1, 2, 3, 4)
        assert made.framerate == (30, 1) and made.pixel_aspect_ratio == (4, 3)
        assert made.colorimetry == "sRGB" and made.orientation == 90
        assert made.due_time == 5 and made.made_from == source.number == 1
        assert (made.discont, made.corrupted, made.gap) == (False, True, True)
        with result.slot(2, 2):
            pass
        assert read(other).framerate == (25, 1)


def test_slot_is_the_memory_that_readers_see(name):
    with shmnumpy.create(name) as out:
        with out.slot(64, 48) as memory:
            memory[...] = 1
        with shmnumpy.open(name, copy=False) as frames:
            view = frames.read(seconds(10))
            assert view.array[0, 0, 0] == 1
            with pytest.raises(ValueError, match="read-only"):
                memory[...] = 2
        # Memory of a writer that is gone may be looked at as long as somebody has it.
    assert memory[47, 63, 2] == 1 and view.array[47, 63, 2] == 1


def test_exception_in_a_slot_drops_the_frame_and_frees_the_slot(name):
    with shmnumpy.create(name) as out:
        out.write(np.full((4, 4, 3), 5, np.uint8))
        for _ in range(20):
            with pytest.raises(KeyError):
                with out.slot(4, 4) as memory:
                    memory[...] = 9
                    raise KeyError
        frame = read(name)
        assert frame.number == 1 and (frame.array == 5).all() and out.dropped == 0


def test_more_slots_than_there_are_drop_frames_and_nothing_else(name):
    with shmnumpy.create(name, slots=3) as out:
        kept = [out.slot(8, 8) for _ in range(5)]
        arrays = [slot.__enter__() for slot in kept]
        for array in arrays:
            array[...] = 3
        for slot in kept:
            slot.__exit__(None, None, None)
        assert out.dropped == 2
        assert read(name).number == 3


def test_ring_grows_and_readers_follow(name):
    with shmnumpy.create(name, "GRAY8") as out, \
            shmnumpy.open(name, timeout=seconds(10)) as frames:
        for number, side in enumerate([16, 600, 16, 2000, 3000], 1):
            assert out.write(np.full((side, side), number, np.uint8)) == number
            frame = frames.read()
            assert frame.number == number and frame.array.shape == (side, side)
            assert (frame.array == number).all()


def test_states_are_told_and_nothing_is_left(name):
    with shmnumpy.open(name, timeout=seconds(10)) as frames:
        out = shmnumpy.create(name, "GRAY8")
        assert frames.state == shmnumpy.State.INIT
        out.write(np.zeros((2, 2), np.uint8))
        assert frames.state == shmnumpy.State.LIVE and frames.read()
        out.end()
        assert frames.state == shmnumpy.State.EOS
        out.write(np.zeros((2, 2), np.uint8))
        assert frames.state == shmnumpy.State.LIVE
        out.close()
        assert frames.state in (shmnumpy.State.STOPPED, shmnumpy.State.ABSENT)
        out.close()
    assert not [file for file in os.listdir("/dev/shm") if name in file]


def test_second_writer_is_refused_until_the_first_has_left(name):
    with shmnumpy.create(name):
        with pytest.raises(OSError, match=name) as refused:
            shmnumpy.create(name)
        assert refused.value.errno == errno.EBUSY
    shmnumpy.create(name).close()


def test_name_that_somebody_else_takes_is_told_once(name, caplog):
    with shmnumpy.create(name, "GRAY8") as out:
        out.write(np.zeros((2, 2), np.uint8))  # makes room, which needs the name
        open(f"/dev/shm/{name}-other", "wb").close()
        os.rename(f"/dev/shm/{name}-other", f"/dev/shm/{name}.ring")
        end = time.monotonic() + seconds(20)
        while "somebody else made" not in caplog.text:
            assert out.write(np.zeros((2, 2), np.uint8)) and time.monotonic() < end
        while out.write(np.zeros((2, 2), np.uint8)) % 1000:
            pass
    assert caplog.text.count(name) == 2 and "new readers will not find" in caplog.text
    assert os.path.getsize(f"/dev/shm/{name}.ring") == 0


def test_threads_share_a_writer(name):
    with shmnumpy.create(name, "GRAY8") as out:
        numbers = []

        def write():
            for _ in range(50):
                numbers.append(out.write(np.zeros((8, 8), np.uint8)))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        got = [number for number in numbers if number]
        assert sorted(got) == list(range(1, len(got) + 1))
        assert len(got) + out.dropped == 200


@pytest.mark.parametrize("pixel_format,array,told", [
    ("RGB", np.zeros((4, 4, 4), np.uint8), r"uint8\[4, 4, 4\].*\[height\]\[width\]\[3\]"),
    ("RGB", np.zeros((4, 4, 3)), "float64"),
    ("RGB", np.zeros((4, 4), np.uint8), "RGB"),
    ("RGB", np.zeros((0, 4, 3), np.uint8), "0, 4, 3"),
    ("RGB", 5, "RGB"),
    ("GRAY8", np.zeros((2, 70000), np.uint8), "70000x2.*65535"),
    ("GRAY16_LE", np.zeros((4, 4), np.uint8), "uint16"),
    ("I420", np.zeros((3, 3), np.uint8), "3x2.*even"),
    ("NV12", np.zeros((4, 4), np.uint8), "NV12"),
])
def test_array_that_is_no_frame_is_named(name, pixel_format, array, told):
    with shmnumpy.create(name, pixel_format) as out:
        with pytest.raises(ValueError, match=told):
            out.write(array)


@pytest.mark.parametrize("arguments,told", [
    (("a/b",), "a/b.*slash"),
    (("",), "no name"),
    (("a\0b",), "NUL"),
    (("x" * 250,), f"{shmnumpy._file.LONGEST} bytes"),
    (("x", "YUY2"), "'YUY2'.*NV12"),
])
def test_bad_arguments_are_named(arguments, told):
    with pytest.raises(ValueError, match=told):
        shmnumpy.create(*arguments)
    with pytest.raises(ValueError, match="slots=2.*3 to 60"):
        shmnumpy.create("x", slots=2)


@pytest.mark.parametrize("mode,told", [
    (660, r"mode=660 \(0o1224\): 0o600 to 0o777.*the 0o in front"), (-1, "mode=-1: "),
    ("0660", "mode='0660': "), (0o1600, "0o1600"), (0o400, "with 0o600 in it"), (0, "mode=0 "),
    (0o060, "0o60"), (None, "None"), (432.0, "432.0"),
])
def test_mode_that_is_none_is_named(name, mode, told):
    with pytest.raises(ValueError, match=told):
        shmnumpy.create(name, mode=mode)
    assert not os.path.exists(f"/dev/shm/{name}.ring")


@pytest.mark.parametrize("rate", [30, (29.97, 1), (-1, 1), (30, 0), (3 * 10**9, 1), (30,),
                                  (1, 2, 3), "30", None, (1, 2**31)])
def test_framerate_that_is_none_is_named(name, rate):
    with pytest.raises(ValueError) as error:
        shmnumpy.create(name, framerate=rate)
    assert f"framerate={rate!r}: two whole numbers" in str(error.value)


def test_framerate_and_mode_that_are_taken(name):
    with shmnumpy.create(name, framerate=[30000, 1001], mode=0o640) as out:
        out.write(np.zeros((2, 2, 3), np.uint8))
        assert read(name).framerate == out.framerate == (30000, 1001)
        assert os.stat(f"/dev/shm/{name}.ring").st_mode & 0o777 == 0o640
    for mode in (0o600, 0o777):
        shmnumpy.create(name, mode=mode, framerate=(2**31 - 1, np.int64(1))).close()


def test_closed_writer_says_so(name):
    out = shmnumpy.create(name, "GRAY8")
    slot = out.slot(4, 4)
    slot.__enter__()[...] = 1
    out.close()
    with pytest.raises(ValueError, match="closed"):
        slot.__exit__(None, None, None)
    with pytest.raises(ValueError, match=name + ".*closed"):
        out.write(np.zeros((2, 2), np.uint8))


LATE = """
import atexit, sys, numpy as np
def late():
    try:
        out.write(np.zeros((2, 2), np.uint8))
    except ValueError as error:
        print(error)
atexit.register(late)  # the last to be called
import shmnumpy
out = shmnumpy.create(sys.argv[1], "GRAY8")
out.write(np.zeros((2, 2), np.uint8))
"""


def test_writer_is_closed_at_exit(name):
    done = subprocess.run([sys.executable, "-c", LATE, name], capture_output=True, text=True)
    assert done.returncode == 0 and "closed" in done.stdout, done
    assert not [file for file in os.listdir("/dev/shm") if name in file]


def test_readers_are_told_that_frames_stop_for_a_while(name):
    with shmnumpy.create(name, "GRAY8") as out, shmnumpy.open(name) as frames:
        out.write(np.zeros((2, 2), np.uint8))
        assert frames.state == shmnumpy.State.LIVE
        out.reconnecting()
        assert frames.state == shmnumpy.State.RECONNECTING
        out.write(np.zeros((2, 2), np.uint8))
        assert frames.state == shmnumpy.State.LIVE


WRITES = """
import os, signal, sys, numpy as np, shmnumpy
out = shmnumpy.create(sys.argv[1], "GRAY8")
for number in range(1, 6):
    out.write(np.full((64, 64), number, np.uint8))
print("written", flush=True)
"""
DEATHS = {
    "between frames": "os.kill(os.getpid(), signal.SIGKILL)",
    "in a slot": "with out.slot(64, 64) as a:\n a[:32] = 9\n"
                 " os.kill(os.getpid(), signal.SIGKILL)",
    "with a larger ring": "with out.slot(999, 999) as a:\n"
                          " os.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "os._exit(0)",
    "by an exception": "raise SystemExit(1)",
}


@pytest.mark.parametrize("death", DEATHS)
def test_writer_that_dies_leaves_no_half_frame_and_its_name(name, death):
    with shmnumpy.open(name, timeout=seconds(10)) as frames, \
            subprocess.Popen([sys.executable, "-c", WRITES + "input()\n" + DEATHS[death],
                              name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        frame = frames.read()
        assert frame.number == 5 and (frame.array == 5).all()
        child.communicate(b"\n", timeout=seconds(20))
        assert frames.read(0) is None
        while frames.state not in (shmnumpy.State.ABSENT, shmnumpy.State.STOPPED):
            frames.read(0.05)
        with shmnumpy.create(name, "GRAY8") as out:
            out.write(np.full((8, 8), 77, np.uint8))
            frame = frames.read()
            assert frame.number == 1 and (frame.array == 77).all()


def test_forked_child_neither_writes_nor_keeps_the_ring(name):
    """One that lives on, with the writer in its memory."""
    out = shmnumpy.create(name, "GRAY8")
    out.write(np.zeros((2, 2), np.uint8))
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(tell, b"wrote frame %d" % out.write(np.zeros((2, 2), np.uint8)))
        except RuntimeError as error:
            out.close()
            del out
            os.write(tell, str(error).encode())
        signal.pause()
    try:
        assert f"process {os.getpid()} writes" in os.read(told, 500).decode()
        assert read(name).number == 1
        out.close()
        shmnumpy.create(name).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)


def test_reader_that_is_the_writers_child_sees_it_die(name):
    program = WRITES + """
child = os.fork()
if child == 0:
    with shmnumpy.open(sys.argv[1]) as frames:
        frames.read()
        print("child", flush=True)
        while frames.state != shmnumpy.State.ABSENT:
            frames.read(0.05)
    print("seen", flush=True)
    os._exit(0)
input()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen([sys.executable, "-c", program, name], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() + parent.stdout.readline() == b"written\nchild\n"
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"seen\n"


FULL = """
import errno, numpy as np, shmnumpy
with shmnumpy.create("full") as out, shmnumpy.open("full", timeout=5) as frames:
    assert out.write(np.ones((100, 100, 3), np.uint8)) == 1
    for _ in range(3):
        try:
            out.write(np.ones((2000, 2000, 3), np.uint8))
            raise SystemExit("it was written")
        except OSError as error:
            assert error.errno == errno.ENOSPC and "enlarge it" in str(error), error
    assert out.write(np.ones((100, 100, 3), np.uint8)) == 2
    assert frames.read().number == 2
"""


def test_full_shared_memory_is_an_error_and_the_writer_goes_on():
    run_with_small_shm(FULL)


def test_missing_library_is_named():
    program = ("import shmnumpy\n"
               "try: shmnumpy.create('x')\n"
               "except ImportError as error: print(error)\n")
    environment = {key: value for key, value in os.environ.items()
                   if key != "LD_LIBRARY_PATH"}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                            env=environment, check=True)
    if not result.stdout:
        pytest.skip("the library is installed on this machine")
    assert "libshmnumpy-writer0" in result.stdout and "ldconfig" in result.stdout
