#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What examples/loop.py adds to a stream, from a browser to a browser.

A page in Chromium publishes pictures that carry number and clock, and ticks. They are
watched in turns, in the same run:

  direct       by another page, as they are
  loop         by that page, through vdoninjasrc, a ring, Python that leaves the picture as it
               is, another ring and vdoninjasink
  loop, ours   the same by vdoninjasrc, which holds pictures back less than a browser

Aimed at: the median age of the picture is at most 25 ms more through the loop. Of it are
told: until Python has the picture; from ring to ring; from there to vdoninjasrc and Python
again (encoder, network, decoder); and what the browser takes more. Sound is told by how late
its ticks are, beside the pictures; a browser may hold those back for it, as --no-sound shows.
Where sizes differ the publisher had no time for both. Exit status 77 without what it needs.
"""
import argparse
import contextlib
import json
import os
import queue
import re
import secrets
import statistics
import subprocess
import sys
import threading
import time

from network import BROWSER, Pictures, missing
from py_support import BUILD, ROOT, machine
from viewer import SUPPORT, percentile, running

import shmnumpy
import stamp

AIM_MS = 25
START_S = 60  # a browser on a busy machine


class Lines:
    """What a program says, read all the time and with the time, ms since 1970."""

    def __init__(self, process):
        self.queue = queue.Queue()
        self.thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self.thread.start()

    def _read(self, process):
        for line in process.stdout:
            self.queue.put((time.time() * 1000, line.strip()))
        self.queue.put((time.time() * 1000, None))

    def next(self, seconds=START_S):
        try:
            when, line = self.queue.get(timeout=seconds)
        except queue.Empty:
            raise SystemExit(f"nothing was said for {seconds} s") from None
        if line is None:
            raise SystemExit("a program has ended")
        return when, line

    def rest(self):
        while not self.queue.empty():
            yield self.next()


@contextlib.contextmanager
def program(*command, **environment):
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                 cwd=os.path.dirname(os.path.abspath(__file__)),
                 env={**os.environ, **environment}) as process:
        yield process, Lines(process)


def page(server, stream_id, *more):
    return program("node", os.path.join(BROWSER, "publish.mjs"), "--server", server,
                   "--stream-id", stream_id, *more)


def events(lines):
    while True:
        event = json.loads(lines.next()[1])
        if event["event"] in ("fatal", "error"):
            raise SystemExit(f"the page fails: {event}")
        yield event


def by_page(args, server, stream_id):
    """A page in Chromium as the viewer."""
    with page(server, stream_id, "--watch", *args.sound) as (process, lines):
        pictures, ticks, end = None, [], None
        for event in events(lines):
            for when, age in event.get("pictures", []):
                end = end or when + args.settle * 1000
                if when < end:
                    continue
                if not pictures:
                    pictures, end = Pictures(when, process.pid), when
                if when > pictures.start + args.seconds * 1000:
                    return {"size": f"{event['width']}x{event['height']}", "ticks": ticks,
                            "end": when, **figures(pictures, args)}
                pictures.see(when, age)
            if pictures:
                ticks += event.get("ticks", [])
    raise AssertionError


def by_ours(args, server, stream_id):
    """vdoninjasrc as the viewer, read in Python."""
    with shmnumpy.launch(stream_id, server=server, signaling="hosted", enable_audio=False,
                         copy=False, start=START_S) as frames:
        end, pictures = time.monotonic() + args.settle, None
        for frame in frames:
            found = stamp.read(frame.array)
            age = stamp.age_ms(found[1]) if found else None
            if time.monotonic() < end:
                continue
            when = time.time() * 1000
            pictures = pictures or Pictures(when, os.getpid())
            if when > pictures.start + args.seconds * 1000:
                return {"size": f"{frame.width}x{frame.height}", "ticks": [], "end": when,
                        **figures(pictures, args)}
            pictures.see(when, age if frame.valid() else None)
    raise SystemExit("the loop's stream has ended")


def figures(pictures, args):
    return {"start": pictures.start, "ages": pictures.ages,
            **pictures.figures(args.seconds)}


WAYS = {"direct": by_page, "loop": by_page, "loop, ours": by_ours}


class Loop:
    """Of what examples/loop.py says: how old pictures are in Python, and from ring to ring."""

    def __init__(self):
        self.seen, self.between = [], []

    def take(self, lines):
        for when, line in lines.rest():
            if line.startswith("{"):
                self.seen += json.loads(line)["seen"]
            elif found := re.search(r"added latency ([\d.]+) ms", line):
                self.between.append((when, float(found[1])))

    def medians(self, runs):
        """While these runs were measured."""
        def within(pairs):
            return [value for when, value in pairs
                    if any(run["start"] <= when <= run["end"] for run in runs)]
        return (statistics.median(within(self.seen)),
                statistics.median(within(self.between)))


def measured(args):
    """{way: [run]} and what the loop said."""
    camera, result = (f"bench{secrets.token_hex(4)}" for _ in range(2))
    python = os.pathsep.join([os.path.join(ROOT, "python"),
                              os.path.join(ROOT, "tests", "support")])
    runs, loop = {way: [] for way in WAYS}, Loop()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(program(os.path.join(
            SUPPORT, "vdoninja-handshake")))[1].next()[1]
        published = stack.enter_context(page(server, camera, "--codec", args.codec,
                                             "--size", args.size))[1]
        next(event for event in events(published) if event["event"] == "ready")
        said = stack.enter_context(program(
            sys.executable, os.path.join(ROOT, "examples", "loop.py"), "--server", server,
            "--view", camera, "--push", result, "--work", "loop_work:look", *args.sound,
            PYTHONPATH=python))[1]
        while not said.next()[1].startswith("Open "):
            pass
        for _ in range(args.rounds):
            for way, watch in WAYS.items():
                run = watch(args, server, camera if way == "direct" else result)
                run["load"] = os.getloadavg()[0]
                runs[way].append(run)
                print(json.dumps({"way": way, **{name: value for name, value in run.items()
                                                 if name != "ages"}}), file=sys.stderr)
        loop.take(said)
    return runs, loop


def p50(runs, name="ages"):
    values = [value for run in runs for value in run[name]]
    return statistics.median(values) if values else None


def show(args, runs, loop):
    print(f"{args.size} at 30 frames/s, {args.codec}, {machine()}, up to "
          f"{max(run['load'] for of in runs.values() for run in of):.1f} in the runs")
    for way, of in runs.items():
        ages = [age for run in of for age in run["ages"]]
        print(f"  {way:10}  p50 {p50(of):4.0f} ms   p95 {percentile(ages, 0.95):4.0f} ms   "
              f"{statistics.median(run['fps'] for run in of):4.1f} frames/s of "
              f"{of[-1]['size']}   {sum(run['freezes'] for run in of) / len(of):.1f} freezes"
              f" a minute, longest {max(run['longest'] for run in of):.0f} ms")
    added = p50(runs["loop"]) - p50(runs["direct"])
    print(f"  added p50 {added:+.0f} ms")
    to_python, between = loop.medians(runs["loop"] + runs["loop, ours"])
    ours = p50(runs["loop, ours"])
    print(f"  of the loop's: to Python {to_python:.0f} ms, from ring to ring {between:.1f}, "
          f"to vdoninjasrc {ours - to_python - between:.0f}, the browser's "
          f"{p50(runs['loop']) - ours:+.0f}")
    for way in ("direct", "loop"):
        late = p50(runs[way], "ticks")
        if late is not None:
            print(f"  sound, {way}: p50 {late:.0f} ms, {late - p50(runs[way]):+.0f} ms "
                  "behind the picture")
    return added


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--codec", choices=["h264", "vp8", "vp9"], default="h264")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="per run")
    parser.add_argument("--settle", type=float, default=5, help="before each measurement")
    parser.add_argument("--no-sound", action="store_const", dest="sound", default=[],
                        const=["--no-sound"], help="pictures alone")
    args = parser.parse_args()
    if wanting := missing():
        print("skipped: for want of", *wanting)
        return 77
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        filter(None, [os.path.join(BUILD, "gst", "shmnumpy"),
                      os.environ.get("LD_LIBRARY_PATH")]))
    subprocess.run(["gst-inspect-1.0", "vdoninjasrc"], check=True,
                   stdout=subprocess.DEVNULL)  # fills the registry
    return 0 if show(args, *measured(args)) <= AIM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
