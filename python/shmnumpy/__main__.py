# SPDX-License-Identifier: MIT
"""Lists what shmnumpysink keeps in shared memory; looks into it and cleans up."""
from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Dict, List, Optional, Tuple

import numpy as np

from . import FormatError, Frame, State
from . import open as open_ring
from ._file import segment_path
from ._layout import PUBLISHED
from ._rings import hidden_link, names, remove_dead
from ._segment import Segment

_SECONDS = 1.0  # over which frames are counted
_TITLES = ("NAME", "STATE", "SIZE", "FORMAT", "FRAMES/S", "READERS", "PID", "MEMORY")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python3 -m shmnumpy", description=__doc__,
        epilog="FRAMES/S are counted for a second. READERS are other processes that have "
               "the ring mapped, as far as this user may see. MEMORY is that of its files.")
    options.add_argument("name", nargs="*", help="shm-name of a sink; without one, all")
    what = options.add_mutually_exclusive_group()
    what.add_argument("--watch", action="store_true", help="list again and again")
    what.add_argument("--clean", action="store_true",
                      help="remove what dead writers left, and say so; what lives is left")
    what.add_argument("--snapshot", metavar="FILE",
                      help="save the newest frame: .png, .jpg (python3-pil or "
                           "python3-opencv); .npy, .ppm")
    options.add_argument("--timeout", type=float, default=5, metavar="SECONDS",
                         help="how long --snapshot waits for a frame, 5")
    return options


def printable(text: str) -> str:
    """Names are anybody's, and a terminal obeys what is in them."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def look(name: str) -> Tuple[Optional[Segment], str]:
    """The ring and its state, or why there is none."""
    path = segment_path(name, ".ring")
    try:
        segment = Segment.look(path) or Segment.look(hidden_link(path))
    except (FormatError, OSError) as error:
        return None, str(error)
    if segment is None:
        return None, "no such ring"
    return segment, "dead" if segment.dead() else segment.state().name.lower()


def newest(segment: Segment) -> Optional[Frame]:
    for _ in range(100):  # a slot that is changing is whole again soon
        frame = segment.newest()
        if frame is not None:
            return frame
    return None


def readers(inodes: Dict[int, int]) -> Dict[int, int]:
    """For each inode how many processes but its writer, {inode: pid}, map it."""
    counts = dict.fromkeys(inodes, 0)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/maps", encoding="utf-8", errors="replace") as maps:
                mapped = {int(line.split()[4]) for line in maps if "/dev/shm/" in line}
        except OSError:  # another user's, or it has ended
            continue
        for inode in mapped & set(inodes):
            counts[inode] += int(entry) not in (inodes[inode], os.getpid())
    return counts


def memory(name: str) -> int:
    """Bytes of all files of a sink; a file without the hidden link is another program's."""
    total = 0
    for path in (segment_path(name, ".ring"), segment_path(name)):
        try:
            total += os.lstat(hidden_link(path)).st_blocks * 512
        except OSError:
            pass
    return total


def table(chosen: List[str]) -> List[Tuple[str, ...]]:
    """A row of text for each ring; takes a second if any is alive."""
    rings = {name: look(name) for name in chosen}
    segments = {name: segment for name, (segment, _) in rings.items() if segment}
    before = {name: segment.words[PUBLISHED] for name, segment in segments.items()}
    begun = time.monotonic()
    if any(state == "live" for _, state in rings.values()):
        time.sleep(_SECONDS)
    passed = max(time.monotonic() - begun, 1e-3)
    counts = readers({segment.inode(): segment.pid for segment in segments.values()})
    rows = [_TITLES]
    for name, (segment, state) in rings.items():
        if segment is None:
            rows.append((name, state) + ("",) * (len(_TITLES) - 2))
            continue
        try:
            segment.check_size()
            frame = newest(segment)
            rate = (segment.words[PUBLISHED] - before[name]) % 2**32 / passed
        except FormatError as error:
            rows.append((name, str(error)) + ("",) * (len(_TITLES) - 2))
            continue
        rows.append((name, state, f"{frame.width}x{frame.height}" if frame else "",
                     frame.format if frame else "", f"{rate:.1f}",
                     str(counts[segment.inode()]), str(segment.pid),
                     f"{memory(name) / 1e6:.1f} MB"))
    return rows


def show(rows: List[Tuple[str, ...]]) -> None:
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows if len(row[2]) or row is rows[0])
              for column in range(len(_TITLES))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if len(rows) == 1:
        print("no rings: nothing writes with shmnumpysink, or in another container")
    sys.stdout.flush()


def clean(named: List[str]) -> int:
    status = 0
    for name in named or names():
        try:
            freed = remove_dead(name)
        except OSError as error:
            print(printable(f"{name}: {error}"), file=sys.stderr)
            status = 1
            continue
        if freed:
            print(printable(f"{name}: removed, {freed / 1e6:.1f} MB"))
        elif named:
            print(printable(f"{name}: left alone, it has a writer or is no ring"),
                  file=sys.stderr)
            status = 1
    return status


def save(frame: Frame, path: str) -> None:
    """Raises SystemExit with a sentence where no library can write such a file."""
    kind = os.path.splitext(path)[1].lower()
    if kind == ".npy":
        np.save(path, frame.array)
        return
    if kind == ".ppm":
        with open(path, "wb") as file:
            file.write(b"P6 %d %d 255\n" % (frame.width, frame.height))
            file.write(frame.rgb().tobytes())
        return
    try:
        frame.image().save(path)
    except ImportError:
        try:
            import cv2
        except ImportError:
            raise SystemExit(f"{path}: install python3-pil or python3-opencv, or name it "
                             ".npy or .ppm") from None
        if not cv2.imwrite(path, frame.bgr()):
            raise SystemExit(f"{path}: OpenCV could not write it") from None


def snapshot(chosen: List[str], path: str, timeout: float) -> int:
    if len(chosen) != 1:
        raise SystemExit(f"--snapshot takes one ring, and there are {len(chosen)}; "
                         f"name it: {printable(' '.join(chosen))}")
    with open_ring(chosen[0], timeout=timeout) as frames:
        frame = frames.read()
    if frame is None:
        raise SystemExit(printable(f"{chosen[0]}: no frame came within {timeout:g} s"))
    save(frame, path)
    print(f"{path}: {frame!r}")
    return 0


def main() -> int:
    args = parser().parse_args()
    sys.stdout.reconfigure(errors="replace")  # where it is not UTF-8
    try:
        if args.clean:
            return clean(args.name)
        if args.snapshot:
            return snapshot(args.name or names(), args.snapshot, args.timeout)
        while True:
            rows = table(args.name or names())
            if args.watch and sys.stdout.isatty():
                print("\x1b[H\x1b[J", end="")
            show(rows)
            if not args.watch:
                return 0 if any(row[-1] for row in rows[1:]) else 1
            if not any(row[1] == State.LIVE.name.lower() for row in rows):
                time.sleep(_SECONDS)
    except KeyboardInterrupt:
        return 0
    except (FormatError, ValueError, OSError) as error:
        raise SystemExit(printable(str(error))) from None


if __name__ == "__main__":
    sys.exit(main())
