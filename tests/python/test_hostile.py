# SPDX-License-Identifier: LGPL-2.1-or-later
"""Segments that are not what they should be: a clear error, never a wild frame."""
import fcntl
import os
import struct
import subprocess

import numpy as np
import pytest

import shmnumpy
from deadlines import seconds
from ring_writer import RingWriter, STATE, LATEST

PIXELS = bytes(range(256)) * 36  # 64 x 48 RGB


@pytest.fixture
def writer(name):
    writer = RingWriter(name)
    writer.publish(PIXELS, 64, 48)
    return writer


def put(writer, offset, layout, value):
    struct.pack_into("<" + layout, writer.map, offset, value)


def raises(text):
    return pytest.raises(shmnumpy.FormatError, match=text)


def make_file(name, content):
    with open(f"/dev/shm/{name}.ring", "wb") as file:
        file.write(content)


@pytest.mark.parametrize("content, text", [
    (b"P6 64 48 255\n" + bytes(8192), "does not hold frames"),
    (b"x", "does not hold frames"),
    (b"SHMNPY1\0" + bytes(8192), "does not hold frames"),
    (b"SHMNPY2\0" + bytes(100), "truncated"),
    (b"SHMNPY2\0" + bytes(8192), "version 0.0"),
])
def test_garbage_is_refused(name, content, text):
    make_file(name, content)
    with raises(text):
        shmnumpy.open(name)


@pytest.mark.parametrize("major", [1, 3, 0xFFFF])
def test_other_major_version_is_refused_by_number(writer, major):
    put(writer, 8, "I", major << 16 | 7)
    with raises(f"version {major}.7 .* understands 2.x"):
        shmnumpy.open(writer.name)


def test_newer_minor_version_is_read(writer):
    put(writer, 8, "I", 0x20009)
    assert shmnumpy.open(writer.name).read(timeout=seconds(5)).number == 1


def test_segment_being_created_is_waited_for(name):
    make_file(name, b"")
    with shmnumpy.open(name) as frames:
        assert frames.read(timeout=0.01) is None
        make_file(name, bytes(0x20000))
        assert frames.read(timeout=0.01) is None
        writer = RingWriter(name)
        writer.publish(PIXELS, 64, 48)
        assert frames.read(timeout=seconds(5)).number == 1


def test_truncated_segment_is_refused(writer):
    os.ftruncate(writer.fd, writer.size - 1)
    with raises("truncated"):
        shmnumpy.open(writer.name)


def test_segment_that_shrinks_is_an_error_not_a_crash(writer):
    with shmnumpy.open(writer.name) as frames:
        assert frames.read(timeout=seconds(5)).number == 1
        os.ftruncate(writer.fd, 0)
        with raises("shrank"):
            frames.read(timeout=seconds(5))
        with raises("shrank"):
            frames.state


@pytest.mark.parametrize("offset, layout, value", [
    (0x18, "Q", 1 << 40), (0x18, "Q", 2**64 - 1), (0x20, "I", 0), (0x20, "I", 1),
    (0x20, "I", 61), (0x20, "I", 2**32 - 1), (0x24, "I", 0), (0x24, "I", 255),
    (0x24, "I", 2**32 - 8), (0x28, "Q", 2**64 - 8), (0x28, "Q", 1 << 30), (0x28, "Q", 4),
    (0x28, "Q", 0x1001), (0x18, "Q", 0x1000)])
def test_header_that_points_outside_is_refused(writer, offset, layout, value):
    put(writer, offset, layout, value)
    with raises(""):
        shmnumpy.open(writer.name)


@pytest.mark.parametrize("offset, layout, value", [
    (16, "Q", 1 << 40), (16, "Q", 2**64 - 1), (24, "Q", 2**63), (24, "Q", 100),
    (32, "I", 0), (32, "I", 65), (32, "I", 2**32 - 1), (36, "I", 0), (36, "I", 49),
    (36, "I", 65536), (40, "I", 0), (40, "I", 2), (40, "I", 2**32 - 1),
    (48, "16s", b"P010_10LE"), (48, "16s", b""), (48, "16s", b"\xff" * 16),
    (48, "16s", b"RGBA"), (48, "16s", b"NV12"), (64, "Q", 1), (64, "Q", 2**64 - 1),
    (72, "I", 0), (72, "I", 191), (72, "I", 2**32 - 1), (76, "I", 0), (76, "I", 47),
    (8, "Q", 77)])
def test_descriptor_that_points_outside_is_refused(writer, offset, layout, value):
    with shmnumpy.open(writer.name) as frames:
        put(writer, writer.descriptor(0) + offset, layout, value)
        with raises(""):
            frames.read(timeout=seconds(5))


@pytest.mark.parametrize("hole", ["first", "last", "all"])
def test_ring_with_holes_is_refused(name, hole):
    """To read them takes memory from everybody, and is SIGBUS where it is used up."""
    writer = RingWriter(name)
    copy, page = writer.path + ".copy", 4096
    writer.publish(PIXELS, 64, 48)
    start, end = {"first": (0x20000, 0x20000 + page), "all": (0x20000, writer.size),
                  "last": (writer.size - page, writer.size)}[hole]
    content = bytes(writer.map)
    with open(copy, "wb") as sparse:
        os.truncate(copy, writer.size)
        os.pwrite(sparse.fileno(), content[:start], 0)
        os.pwrite(sparse.fileno(), content[end:], end)
        fcntl.flock(sparse, fcntl.LOCK_EX)
        os.rename(copy, writer.path)
        with shmnumpy.open(name) as frames, raises("has holes: its writer did not reserve"):
            frames.read(timeout=0)
        os.pwrite(sparse.fileno(), content[start:end], start)
        with shmnumpy.open(name) as frames:
            assert frames.read(timeout=0).number == 1


@pytest.mark.parametrize("slot", [7, 61, 255])
def test_latest_that_names_no_slot_is_refused(writer, slot):
    put(writer, LATEST, "Q", 1 << 8 | slot)
    with raises("names slot"):
        shmnumpy.open(writer.name).read(timeout=seconds(5))


@pytest.mark.parametrize("sequence", [0, 1, 3, 4, 2**64 - 1])
def test_frame_whose_sequence_does_not_match_is_not_given(writer, sequence):
    with shmnumpy.open(writer.name) as frames:
        put(writer, writer.descriptor(0), "Q", sequence)
        assert frames.read(timeout=0.01) is None


def test_unknown_state_is_harmless(writer):
    put(writer, STATE, "I", 4711)
    with shmnumpy.open(writer.name) as frames:
        assert frames.state == shmnumpy.State.INIT
        assert frames.read(timeout=seconds(5)).number == 1


def test_random_control_pages_never_give_more_than_an_error(writer):
    """1,000 rounds of overwritten bytes in header and descriptors, from a fixed seed."""
    clean = bytes(writer.map[:0x2000])
    random = np.random.default_rng(4)
    for _ in range(1000):
        for _ in range(random.integers(1, 9)):
            # Anything but the magic: that is test_garbage_is_refused
            writer.map[int(random.integers(8, 0x1100))] = int(random.integers(256))
        try:
            with shmnumpy.open(writer.name) as frames:
                frame = frames.read(timeout=0)
                if frame is not None:
                    assert frame.array.size and frame.array.sum() >= 0
        except shmnumpy.FormatError:
            pass
        writer.map[:0x2000] = clean


@pytest.mark.parametrize("bad", ["", "/", "a/b", "../x", "a\0b", "x" * 245, "é" * 123, "..",
                                 "\ud800"])
def test_name_that_cannot_be_is_refused(bad):
    for function in (shmnumpy.open, shmnumpy.create):
        with pytest.raises(ValueError, match="no name of shared memory"):
            function(bad)


def test_fifo_and_symlink_are_refused_without_hanging(name):
    os.mkfifo(f"/dev/shm/{name}.ring")
    with raises("not a regular file"):
        shmnumpy.open(name)
    os.unlink(f"/dev/shm/{name}.ring")
    os.symlink("/dev/null", f"/dev/shm/{name}.ring")
    with pytest.raises(OSError):
        shmnumpy.open(name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode, group, may", [
    (0o600, 65533, False), (0o660, 65533, True), (0o660, 65532, False)])
def test_reader_of_another_user(writer, copied, mode, group, may):
    """The segment belongs to root and group 65533; the reader is nobody else's friend."""
    os.fchown(writer.fd, 0, 65533)
    os.fchmod(writer.fd, mode)
    script = ("import sys, shmnumpy\ntry:\n"
              "    print('frame', shmnumpy.open(sys.argv[1]).read(timeout=5).number)\n"
              "except PermissionError as error:\n    print('refused', error)\n")
    result = subprocess.run(  # the other user may not be able to read our folders
        ["/usr/bin/python3", "-c", script, writer.name], text=True, capture_output=True,
        user=65534, group=group, extra_groups=[], cwd=copied, env={})
    assert result.stdout.startswith("frame 1" if may else "refused"), result
    assert may or "Permission denied" in result.stdout
