#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `vdoninjasink` costs for each viewer, and how it follows a network.

  cost   CPU of the publishing process, its memory, threads and descriptors, with one and
         with more viewers, which take encoded video in this process; and what the slowest
         of them gets. With --publish-py DIR, a checkout of Raspberry.Ninja, its publish.py
         serves them in turns with ours: the same pictures, bitrate and encoder
  step   a line of 3000 kbit/s becomes one of 600 and is 3000 again: bitrate, pictures a
         second and the longest time without one in each part, and how long it takes to be
         back at 80 %
  loss   a line that loses 5 % of the packets: the same
  stuck  a viewer answers and never connects: the pictures of one that does, before and
         with it
  joins  memory, threads and descriptors of the publishing process after 40 viewers that
         came and went, and after 200 more

Prints JSON and a table, with the load at which each figure was taken. CPU may be compared
on a busy machine, times may not.
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

from py_support import BUILD, ROOT, machine, wait_for
from viewer import SUPPORT, cpu_seconds, publish_py, running

sys.path.insert(0, os.path.join(ROOT, "examples"))
from stats import fields  # noqa: E402

import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

LINE = "rate={} delay=20 queue=200|delay=20"
LOSS = "loss=0.05 delay=20|delay=20"
FPS = 30


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


def noise(width, height):
    """It takes all the bits there are."""
    return (f"videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,"
            f"width={width},height={height},framerate={FPS}/1")


LARGE = noise(1280, 720)
# x264enc has no noise of 720p in 400 kbit/s, and codes none of it then, for good.
SMALL = noise(640, 360)


def sink(url, stream_id, args, picture):
    return (f"{picture} ! vdoninjasink name=out server={url} signaling=custom "
            f"password=false stream-id={stream_id} video-bitrate={args.bitrate}").split()


def ours(args, url, stream_id):
    return ["gst-launch-1.0", "-q", *sink(url, stream_id, args, LARGE)]


def replaced(args, url, stream_id):
    return publish_py(args.publish_py, url, "--multiviewer", "--x264", "--video-pipeline",
                      LARGE, "--width", "1280", "--height", "720", "--framerate", str(FPS),
                      "--streamid", stream_id, "--password", "false", "--bitrate",
                      str(args.bitrate))


def viewer(url, stream_id):
    return (f"vdoninjasrc server={url} signaling=custom password=false "
            f"stream-id={stream_id} enable-audio=false")


def state_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {"rss_mb": int(lines["VmRSS"].split()[0]) / 1024,
            "threads": int(lines["Threads"]), "fds": len(os.listdir(f"/proc/{pid}/fd"))}


class Crowd:
    """Viewers in this process, which take video as it comes, or decode it."""

    def __init__(self, url, stream_id, count, output="encoded"):
        self.pipeline = Gst.parse_launch(" ".join(
            f"{viewer(url, stream_id)} name=viewer{n} output-format={output} ! "
            f"fakesink name=shown{n} sync=false" for n in range(count)))
        self.sinks = [self.pipeline.get_by_name(f"shown{n}") for n in range(count)]
        self.first = self.pipeline.get_by_name("viewer0")

    def shown(self):
        """Pictures that each of them has had."""
        return [sink.get_property("stats").get_value("rendered") for sink in self.sinks]

    def megabits(self):
        """That one of them has received."""
        stream, = fields(self.first.get_property("stats"))["streams"]
        return sum(rtp["bytes-received"] for rtp in stream["rtp"]) * 8 / 1e6


def cost(args, name, way, viewers):
    stream_id = "bench" + secrets.token_hex(4)
    with server() as (url, _), running(way(args, url, stream_id),
                                       stdout=subprocess.DEVNULL) as process:
        crowd = Crowd(url, stream_id, viewers)
        try:
            crowd.pipeline.set_state(Gst.State.PLAYING)
            wait_for(f"{viewers} viewers", lambda: min(crowd.shown()) >= 2 * FPS)
            begin, used, shown, received = (time.monotonic(), cpu_seconds(process.pid)[0],
                                            crowd.shown(), crowd.megabits())
            time.sleep(args.seconds)
            passed = time.monotonic() - begin
            used = cpu_seconds(process.pid)[0] - used
            got = [now - then for now, then in zip(crowd.shown(), shown)]
            return {"name": name, "viewers": viewers, "cpu": used / passed,
                    "fps": min(got) / passed,
                    "mbit_s": (crowd.megabits() - received) / passed,
                    "load": os.getloadavg()[0], **state_of(process.pid)}
        finally:
            crowd.pipeline.set_state(Gst.State.NULL)


def costs(args):
    ways = {"vdoninjasink": ours}
    if args.publish_py:
        ways["publish.py"] = replaced
    runs = []
    for _ in range(args.rounds):
        for viewers in args.viewers:
            for name, way in ways.items():
                try:
                    runs.append(cost(args, name, way, viewers))
                except SystemExit as failure:  # the others are of use all the same
                    print(f"{name}: {failure}", file=sys.stderr)
    return runs


def cost_rows(runs):
    rows = ["| viewers | | CPU, cores | each further viewer | memory, MB | threads | "
            "descriptors | pictures/s | Mbit/s | load |", "|" + "---|" * 10]
    groups = {}
    for run in runs:
        groups.setdefault((run["name"], run["viewers"]), []).append(run)
    least = {}
    for (name, viewers), group in sorted(groups.items(), key=lambda item: item[0][1]):
        of = {key: statistics.median(run[key] for run in group)
              for key in group[0] if key != "name"}
        first = least.setdefault(name, of)
        further = ("" if first is of else
                   f"{(of['cpu'] - first['cpu']) / (viewers - first['viewers']):.4f}")
        rows.append(f"| {viewers} | {name} | {of['cpu']:.3f} | {further} | "
                    f"{of['rss_mb']:.0f} | {of['threads']:.0f} | {of['fds']:.0f} | "
                    f"{of['fps']:.1f} | {of['mbit_s']:.2f} | {of['load']:.1f} |")
    return rows


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


@contextlib.contextmanager
def watching(args, *options):
    """A publisher and a viewer in this process: vdoninjasink, Watched, and what says to the
    server which line it is from now on."""
    stream_id = "bench" + secrets.token_hex(4)
    with server(*options) as (url, tell):
        sending = Gst.parse_launch(" ".join(sink(url, stream_id, args, SMALL)))
        watched = Watched(viewer(url, stream_id) + " ! video/x-raw ! fakesink name=shown "
                          "sync=false")
        watched.url, watched.stream_id = url, stream_id
        try:
            sending.set_state(Gst.State.PLAYING)
            watched.pipeline.set_state(Gst.State.PLAYING)
            wait_for("pictures", lambda: len(watched.pictures) >= 5 * FPS)
            yield sending.get_by_name("out"), watched, tell
        finally:
            watched.pipeline.set_state(Gst.State.NULL)
            sending.set_state(Gst.State.NULL)


def follow(args, out, watched, seconds):
    """How it goes for so long."""
    begin, rates, back = time.monotonic(), [], None
    while time.monotonic() < begin + seconds:
        time.sleep(0.2)
        told = out.get_property("stats").get_value("video-bitrate")
        rates.append(told)
        if back is None and told >= 0.8 * args.bitrate:
            back = time.monotonic() - begin
    return {"kbit_s": statistics.median(rates), "back_s": back, "load": os.getloadavg()[0],
            **watched.part(begin, time.monotonic())}


def step(args):
    result = {}
    with watching(args, "--line", LINE.format(3000)) as (out, watched, tell):
        for name, rate, seconds in (("3000", 3000, 15), ("600", 600, 25),
                                    ("3000 again", 3000, 30)):
            tell(LINE.format(rate))
            result[name] = follow(args, out, watched, seconds)
    return result


def loss(args):
    with watching(args, "--line", LOSS) as (out, watched, _):
        return {"5 % lost": follow(args, out, watched, 30)}


def stuck(args):
    """It answers, but has no candidates but a relay's, and there is no relay."""
    with watching(args) as (out, watched, _):
        result = {"alone": follow(args, out, watched, 10)}
        other = Gst.parse_launch(viewer(watched.url, watched.stream_id) +
                                 " name=lost ice-transport-policy=relay ! fakesink")
        Gst.util_set_object_arg(other.get_by_name("lost"), "turn-servers",
                                '<"turn://a:b@127.0.0.1:9">')
        try:
            other.set_state(Gst.State.PLAYING)
            wait_for("a second viewer", lambda: out.get_property("stats").get_list(
                "viewers")[1].n_values == 2)
            return {**result, "beside one that never connects":
                    follow(args, out, watched, 30)}
        finally:
            other.set_state(Gst.State.NULL)


def join_and_leave(url, stream_id, viewers):
    crowd = Crowd(url, stream_id, viewers)
    crowd.pipeline.set_state(Gst.State.PLAYING)
    wait_for("pictures", lambda: min(crowd.shown()) > 0)
    crowd.pipeline.set_state(Gst.State.NULL)


def joins(args):
    """By fours: the publisher takes no more than so many new ones a second. Its malloc has
    one arena: those of all the threads that come and go fill up first, by 20 to 40 MB."""
    stream_id = "bench" + secrets.token_hex(4)
    result = {}
    with server() as (url, _), running(
            ["gst-launch-1.0", "-q", *sink(url, stream_id, args, SMALL)],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "MALLOC_ARENA_MAX": "1"}) as process:
        for name, rounds in (("after 40", 10), ("after 240", 50)):
            for _ in range(rounds):
                join_and_leave(url, stream_id, 4)
            time.sleep(3)  # sessions end on threads of their own
            result[name] = {**state_of(process.pid), "load": os.getloadavg()[0]}
    return result


def line_rows(parts):
    return ["| line | bitrate | pictures/s | longest without, ms | 80 % after, s | load |",
            "|---|---|---|---|---|---|",
            *(f"| {name} | {s['kbit_s']:.0f} | {s['fps']:.1f} | {s['longest_ms']:.0f} | "
              f"{'' if s['back_s'] is None else format(s['back_s'], '.1f')} | "
              f"{s['load']:.1f} |" for name, s in parts.items())]


def join_rows(parts):
    return ["| viewers | memory, MB | threads | descriptors | load |", "|---|---|---|---|---|",
            *(f"| {name} | {s['rss_mb']:.1f} | {s['threads']} | {s['fds']} | "
              f"{s['load']:.1f} |" for name, s in parts.items())]


PARTS = {"cost": (costs, cost_rows), "step": (step, line_rows), "loss": (loss, line_rows),
         "stuck": (stuck, line_rows), "joins": (joins, join_rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="per measurement of cost")
    parser.add_argument("--rounds", type=int, default=1, help="of cost; medians are shown")
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--bitrate", type=int, default=2500, help="kbit/s")
    parser.add_argument("--publish-py", metavar="DIR",
                        help="a checkout of Raspberry.Ninja to compare with")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    Gst.init(None)
    result, rows = {"machine": machine()}, []
    if "cost" in args.only and not args.publish_py:
        rows = ["publish.py is not measured: --publish-py DIR names a checkout of it", ""]
    for name in args.only:
        measured, table = PARTS[name]
        result[name] = measured(args)
        rows += [*table(result[name]), ""]
    print(json.dumps(result))
    print("\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
