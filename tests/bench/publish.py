#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `vdoninjasink` costs for each viewer, and how it follows a network.

  cost   CPU of the publishing process, its memory, threads and descriptors, with one and
         with more viewers, which take encoded video in this process; and what the slowest
         of them gets
  step   a line of 3000 kbit/s becomes one of 600 and is 3000 again: bitrate, pictures a
         second and the longest time without one in each part, and how long it takes to be
         back at 80 %

Prints JSON and a table. CPU may be compared on a busy machine, times may not.
"""
import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import time

from py_support import BUILD, machine, wait_for
from viewer import SUPPORT, cpu_seconds, running

import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

LINE = "rate={} delay=20 queue=200|delay=20"
FPS = 30
PICTURE = f"video/x-raw,width=1280,height=720,framerate={FPS}/1"


@contextlib.contextmanager
def server(*options):
    """Its URL, and what writes to its input."""
    with running([os.path.join(SUPPORT, "vdoninja-handshake"), "--dialect", "custom",
                  *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 text=True) as handshake:
        def tell(text):
            handshake.stdin.write(text + "\n")
            handshake.stdin.flush()
        yield handshake.stdout.readline().strip(), tell


def sink(url, stream_id, bitrate):
    """Noise takes all the bits there are."""
    return (f"videotestsrc is-live=true pattern=snow ! {PICTURE} ! vdoninjasink name=out "
            f"server={url} signaling=custom password=false stream-id={stream_id} "
            f"video-bitrate={bitrate}").split()


def viewer(url, stream_id):
    return (f"vdoninjasrc server={url} signaling=custom password=false "
            f"stream-id={stream_id} enable-audio=false")


def state_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {"rss_mb": int(lines["VmRSS"].split()[0]) / 1024,
            "threads": int(lines["Threads"]), "fds": len(os.listdir(f"/proc/{pid}/fd"))}


def rendered(pipeline, count):
    """What each of the sinks shown0, shown1, ... has taken."""
    return [pipeline.get_by_name(f"shown{n}").get_property("stats").get_value("rendered")
            for n in range(count)]


def cost(args, viewers):
    stream_id = "bench" + secrets.token_hex(4)
    with server() as (url, _), \
            running(["gst-launch-1.0", "-q", *sink(url, stream_id, args.bitrate)]) as process:
        watching = Gst.parse_launch(" ".join(
            f"{viewer(url, stream_id)} output-format=encoded ! fakesink name=shown{n} sync=false"
            for n in range(viewers)))
        try:
            watching.set_state(Gst.State.PLAYING)
            wait_for(f"{viewers} viewers",
                     lambda: min(rendered(watching, viewers)) >= 2 * FPS)
            before, had = cpu_seconds(process.pid)[0], rendered(watching, viewers)
            time.sleep(args.seconds)
            used = (cpu_seconds(process.pid)[0] - before) / args.seconds
            got = [now - then for now, then in zip(rendered(watching, viewers), had)]
            return {"viewers": viewers, "cpu": used, "fps": min(got) / args.seconds,
                    **state_of(process.pid)}
        finally:
            watching.set_state(Gst.State.NULL)


class Watched:
    """A viewer in this process: when pictures came."""

    def __init__(self, line):
        self.pictures = []
        self.pipeline = Gst.parse_launch(line)
        self.pipeline.get_by_name("shown").get_static_pad("sink").add_probe(
            Gst.PadProbeType.BUFFER, self._shown)

    def _shown(self, _pad, _info):
        self.pictures.append(time.monotonic())
        return Gst.PadProbeReturn.OK

    def part(self, begin, end):
        times = [begin, *(t for t in self.pictures if begin <= t < end), end]
        gaps = [b - a for a, b in zip(times, times[1:])]
        return {"fps": (len(times) - 2) / (end - begin), "longest_ms": max(gaps) * 1000}


def step(args):
    stream_id = "bench" + secrets.token_hex(4)
    result = {}
    with server("--line", LINE.format(3000)) as (url, tell):
        sending = Gst.parse_launch(" ".join(sink(url, stream_id, args.bitrate)))
        watched = Watched(viewer(url, stream_id) + " ! video/x-raw ! fakesink name=shown "
                          "sync=false")
        try:
            sending.set_state(Gst.State.PLAYING)
            watched.pipeline.set_state(Gst.State.PLAYING)
            wait_for("pictures", lambda: len(watched.pictures) >= 5 * FPS)
            out, rates = sending.get_by_name("out"), []
            for name, rate, seconds in (("before", 3000, 15), ("thin", 600, 25),
                                        ("after", 3000, 30)):
                tell(LINE.format(rate))
                begin, rates = time.monotonic(), []
                back = None
                while time.monotonic() < begin + seconds:
                    time.sleep(0.2)
                    told = out.get_property("stats").get_value("video-bitrate")
                    rates.append(told)
                    if back is None and told >= 0.8 * args.bitrate:
                        back = time.monotonic() - begin
                result[name] = {"kbit_s": statistics.median(rates), "back_s": back,
                                **watched.part(begin, time.monotonic())}
        finally:
            watched.pipeline.set_state(Gst.State.NULL)
            sending.set_state(Gst.State.NULL)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="per measurement of cost")
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--bitrate", type=int, default=2500, help="kbit/s")
    parser.add_argument("--only", choices=["cost", "step"])
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    Gst.init(None)
    result, rows = {"machine": machine()}, []
    if args.only != "step":
        result["cost"] = [cost(args, n) for n in args.viewers]
        rows += ["| viewers | CPU, cores | memory, MB | threads | descriptors | pictures/s |",
                 "|---|---|---|---|---|---|"]
        rows += [f"| {c['viewers']} | {c['cpu']:.3f} | {c['rss_mb']:.0f} | {c['threads']} | "
                 f"{c['fds']} | {c['fps']:.1f} |" for c in result["cost"]]
    if args.only != "cost":
        result["step"] = step(args)
        rows += ["", "| line | bitrate | pictures/s | longest without, ms | 80 % after, s |",
                 "|---|---|---|---|---|"]
        rows += [f"| {name} | {s['kbit_s']:.0f} | {s['fps']:.1f} | {s['longest_ms']:.0f} | "
                 f"{'' if s['back_s'] is None else format(s['back_s'], '.1f')} |"
                 for name, s in result["step"].items()]
    print(json.dumps(result))
    print("\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
