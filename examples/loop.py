#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stream in, a function on each picture, the result out as a live stream, with its sound.

python3 examples/loop.py --local                     a test stream, all on this machine
python3 examples/loop.py --view abc --push result    ?push=abc comes out as ?view=result
python3 examples/loop.py --view abc --push result --work my_module:function

The function is given a picture as uint8[height][width][3], BGR as OpenCV has it, which it
may change, and returns one, of that size or another. Without one of yours faces are found
and framed, by the model of the package opencv-data. The latency that this adds is printed
each second: from the frame in shared memory to the result in shared memory.

One pipeline has both ends, so that the sound passes by and stays in sync.
"""
import argparse
import contextlib
import os
import secrets
import signal
import statistics
import subprocess
import sys
import threading
import time
from typing import Callable, Iterator, List

import numpy as np

from common import require_opencv
from detect import find_faces
from work_function import work_function

import shmnumpy

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
ENDS = (shmnumpy.State.EOS, shmnumpy.State.STOPPED, shmnumpy.State.ABSENT)
READY = "SHMNUMPY_LOOP_READY"  # set once everything is built and can be found


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--view", help="id of the stream that comes in, as in ?push=ID")
    parser.add_argument("--push", help="id of the stream that goes out, as in ?view=ID")
    parser.add_argument("--password", help="of both; \"false\" for none")
    parser.add_argument("--server", help="a handshake server other than VDO.Ninja's")
    parser.add_argument("--local", action="store_true",
                        help="start a handshake server and a test stream here")
    parser.add_argument("--work", metavar="MODULE:FUNCTION", help="instead of faces")
    parser.add_argument("--no-sound", action="store_true", help="the stream has none")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so many")
    args = parser.parse_args()
    if args.local:
        args.view, args.push = args.view or "camera", args.push or "result"
    elif not (args.view and args.push):
        parser.error("--view and --push name the streams; --local has its own")
    elif args.view == args.push:
        parser.error(f"--view and --push are both {args.view}: the result needs another id")
    return args


def build() -> None:
    """What --local needs, and this program again with everything where it is found."""
    folder = os.path.abspath(os.environ.get("BUILD_DIR", os.path.join(ROOT, "build")))
    subprocess.run([os.path.join(ROOT, "scripts", "install-deps.sh")], check=True)
    subprocess.run([os.path.join(ROOT, "scripts", "build.sh"), "gst/libgstvdoninja.so",
                    "gst/shmnumpy/libshmnumpy-writer.so.0",
                    "tests/support/vdoninja-handshake", "tests/support/vdoninja-publisher"],
                   check=True)
    libraries = [os.path.join(folder, "gst", "shmnumpy"), os.environ.get("LD_LIBRARY_PATH")]
    os.execve(sys.executable, [sys.executable, *sys.argv], {
        **os.environ, READY: folder, "GST_PLUGIN_PATH": os.path.join(folder, "gst"),
        "GST_REGISTRY": os.path.join(folder, "registry.bin"),
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries))})


@contextlib.contextmanager
def local_stream(args: argparse.Namespace) -> Iterator[None]:
    """A handshake server and a stream on it, until the block ends."""
    support, started = os.path.join(os.environ[READY], "tests", "support"), []

    def start(*arguments: str) -> str:
        # They end with us, however that is.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *arguments],
                                   stdout=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stdout.readline().strip()
        # Or it would wait for us to read.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        return line

    try:
        args.server = start(os.path.join(support, "vdoninja-handshake"))
        start(os.path.join(support, "vdoninja-publisher"), "--server", args.server,
              "--stream-id", args.view, "--size", "640x360")
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def quoted(text: str) -> str:
    """A text as the value of a property, whatever is in it: once for the type of the value,
    which takes quotes around it away, and once for the pipeline."""
    for _ in range(2):
        text = '"' + text.replace("\\", r"\\").replace('"', r'\"') + '"'
    return text


def pipeline(args: argparse.Namespace, ring: str) -> str:
    """Both ends; what becomes of the pictures between them is ours."""
    def element(text: str, stream: str) -> str:
        given = [f"stream-id={quoted(stream)}"]
        if args.server:
            given += [f"server={quoted(args.server)}", "signaling=hosted"]
        if args.password:
            given.append(f"password={quoted(args.password)}")
        return f"{text} {' '.join(given)}"

    parts: List[str] = [
        element("vdoninjasink name=out", args.push),
        f"shmnumpysrc shm-name={ring} on-disconnect=repeat ! videoconvert ! queue "
        "! out.video_0",
        element("vdoninjasrc name=in", args.view)]
    if not args.no_sound:
        parts.append("in.audio_0 ! queue ! out.audio_0")
    return " ".join(parts + ["in.video_0 ! queue"])


def faces() -> Callable[[np.ndarray], np.ndarray]:
    cv2 = require_opencv()
    find = find_faces(cv2)

    def frame_them(picture: np.ndarray) -> np.ndarray:
        gray = cv2.cvtColor(cv2.resize(picture, None, fx=.5, fy=.5), cv2.COLOR_BGR2GRAY)
        for x, y, width, height in find(gray):
            cv2.rectangle(picture, (2 * x, 2 * y), (2 * (x + width), 2 * (y + height)),
                          (80, 220, 80), 2)
        return picture

    return frame_them


def run(args: argparse.Namespace) -> int:
    work = faces() if args.work is None else work_function(args.work)
    ring = f"loop-{os.getpid()}-{secrets.token_hex(6)}"
    with shmnumpy.create(ring, "BGR") as out, \
            shmnumpy.launch(pipeline=pipeline(args, ring), format="bgr") as frames:
        link = f"https://vdo.ninja/?view={args.push}"
        if args.server:
            link += f"&wss={args.server.split('://')[-1]}"
        print(f"Open {link}", flush=True)
        end = time.monotonic() + args.seconds if args.seconds else None
        told, added, count = time.monotonic(), [], 0
        while end is None or time.monotonic() < end:
            frame = frames.read(timeout=0.5)
            if frame is None:
                if frames.state == shmnumpy.State.RECONNECTING:
                    out.reconnecting()  # the last picture is repeated
                elif frames.state in ENDS:
                    frames.read(timeout=10)  # raises what ended it, once that is known
                    break
                continue
            out.write(work(frame.array), like=frame)
            count += 1
            added.append(frame.age * 1e3)
            if time.monotonic() - told > 1:
                print(f"frame {frame.number}, {frame.width}x{frame.height}, added latency "
                      f"{statistics.median(added):.1f} ms (median of {len(added)})",
                      flush=True)
                told, added = time.monotonic(), []
    return 0 if count else 1


def main() -> int:
    args = options()
    if args.local and READY not in os.environ:
        build()
    try:
        with local_stream(args) if args.local else contextlib.nullcontext():
            return run(args)
    except shmnumpy.LaunchError as error:
        sys.exit(f"loop: {error}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
