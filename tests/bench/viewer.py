#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `vdoninjasrc ! shmnumpysink` costs, end to end, beside bare decoding and publish.py.

Starts the handshake server and the test publisher of this repository on this machine and
plays the stream with gst-launch-1.0 into shared memory. Measured for each size:

  landed   frames that reached the segment, of those that were published
  latency  from painting the frame to having read it in another process
  CPU      of the whole receiving process per frame, and what it is spent on: the same
           encoded frames are decoded, and decoded into the segment, by filesrc pipelines
           at the same pace, so the rest is receiving
  first    from starting the process to its first frame, with a warm plugin registry

With --publish-py DIR, a checkout of Raspberry.Ninja, `publish.py --framebuffer` receives
the same stream in turns with ours, and the figures are given as ratios too. All that is
compared runs in the same minutes on the same machine; on a busy one, trust ratios only.
"""
import contextlib
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from py_support import BUILD, ROOT, machine, stream_options

import shmnumpy

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import stamp  # noqa: E402

SUPPORT = os.path.join(BUILD, "tests", "support")
REPLACED = "psm_raspininja_streamid"  # publish.py knows no other name
# publish.py asks for GStreamer's version before gst_init(), which some bindings refuse;
# and to it Bin.add() has failed, with --multiviewer, where those return nothing.
PUBLISH_PY = """
import os, sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
add = Gst.Bin.add
Gst.Bin.add = lambda self, *elements: add(self, *elements) or True
sys.argv = sys.argv[1:]
__file__ = sys.argv[0]
sys.path.insert(0, os.path.dirname(__file__))
exec(compile(open(__file__).read(), __file__, "exec"))
"""


@contextlib.contextmanager
def running(command, **options):
    """A process that is ended with SIGINT, and killed when that does not help."""
    process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, **options})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def publishing(args, size, to_server=(), to_publisher=(), last_words=None):
    """A live publisher; gives (server, stream id). Both programs take further arguments;
    last_words(text) is called with what the server prints in the end."""
    stream_id = "bench" + secrets.token_hex(4)
    with running([os.path.join(SUPPORT, "vdoninja-handshake"), "--dialect", "custom",
                  *to_server], stdout=subprocess.PIPE, text=True) as handshake:
        server = handshake.stdout.readline().strip()
        with running([os.path.join(SUPPORT, "vdoninja-publisher"), "--server", server,
                      "--dialect", "custom", "--stream-id", stream_id, "--no-audio",
                      "--codec", args.codec, "--size", size, "--fps", str(args.fps),
                      "--bitrate", str(args.bitrate), "--slices", str(args.slices),
                      "--pattern", args.pattern, *to_publisher],
                     stdout=subprocess.PIPE, text=True) as publisher:
            line = publisher.stdout.readline()
            if not line or not json.loads(line)["online"]:
                raise SystemExit("the test publisher does not start")
            yield server, stream_id
    if last_words:
        last_words(handshake.stdout.read())


def source(server, stream_id):
    return ["vdoninjasrc", f"stream-id={stream_id}", f"server={server}",
            "signaling=custom"]


def cpu_seconds(pid):
    """CPU time of the process, and of its living threads by name."""
    tick = os.sysconf("SC_CLK_TCK")

    def used(path):
        with open(path, encoding="utf-8") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        fields = rest.split()
        return name, (int(fields[11]) + int(fields[12])) / tick

    threads = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            name, seconds = used(f"/proc/{pid}/task/{task}/stat")
            threads[name] = threads.get(name, 0) + seconds
    return used(f"/proc/{pid}/stat")[1], threads


class Counts:
    """What the stamps of the frames say."""

    def __init__(self):
        self.read = self.landed = self.published = self.broken = 0
        self.latency = []
        self.last = None

    def see(self, frame):
        array = frame.array
        top, bottom = stamp.read(array), stamp.read(array, True)
        age = stamp.age_ms(top[1]) if top else None
        if not frame.valid():
            top = None
        if not top or top != bottom:
            self.broken += 1
            self.last = None
            return
        self.read += 1
        self.latency.append(age)
        if self.last is not None:
            self.published += (top[0] - self.last) % 256
            self.landed += 1 + frame.missed
        self.last = top[0]


def receive(command, frames, seconds, settle):
    """Run a receiver and read what it puts into shared memory."""
    started = time.monotonic()
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        if frames.read(timeout=30) is None:
            raise SystemExit(f"no frame came within 30 s: {command}")
        first = time.monotonic() - started
        end = time.monotonic() + settle
        while time.monotonic() < end:
            frames.read(timeout=1)
        counts, (before, threads_before) = Counts(), cpu_seconds(process.pid)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = frames.read(timeout=1)
            if frame is not None:
                counts.see(frame)
        after, threads = cpu_seconds(process.pid)
    if not counts.landed:
        raise SystemExit(f"no stamp was readable: {command}")
    threads = {name: (value - threads_before.get(name, 0)) / counts.landed * 1e3
               for name, value in threads.items()}
    return {"first": first, "landed": 100 * counts.landed / counts.published,
            "latency": counts.latency, "broken": counts.broken,
            "cpu": (after - before) / counts.landed * 1e3,
            "threads": {name: value for name, value in threads.items() if value > 0.02}}


def ours(args, server, stream_id):
    name = f"bench-{secrets.token_hex(6)}"
    command = ["gst-launch-1.0", "-q", *source(server, stream_id), "!", "shmnumpysink",
               f"shm-name={name}", "legacy=never", "udp-port=0"]
    with shmnumpy.open(name, copy=False) as frames:
        return receive(command, frames, args.seconds, args.settle)


def publish_py(folder, server, *options):
    """The command that runs publish.py, with video in H.264 only."""
    return [sys.executable, "-c", PUBLISH_PY, os.path.join(folder, "publish.py"), "--h264",
            "--noaudio", "--server", server, "--stun-server", "false", *options]


def replaced(args, server, stream_id, extra):
    if os.path.exists(f"/dev/shm/{REPLACED}"):
        raise SystemExit(f"/dev/shm/{REPLACED} is in use")
    command = publish_py(args.publish_py, server, "--framebuffer", stream_id, *extra)
    try:
        with shmnumpy.open_legacy(REPLACED) as frames:
            return receive(command, frames, args.seconds, args.settle)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/shm/{REPLACED}")


def record(args, server, stream_id, path):
    """The encoded stream as a file, longer than paced_cost() needs."""
    with running(["gst-launch-1.0", "-q", *source(server, stream_id), "!", "video/x-h264",
                  "!", "filesink", f"location={path}"], stdout=subprocess.DEVNULL):
        time.sleep(args.seconds + 12)  # some of it goes by before the first frame


def paced_cost(args, elements):
    """CPU ms per frame of a pipeline with a sink that keeps time, without its start."""
    with running(["gst-launch-1.0", "-q", *elements, "sync=true", "max-lateness=-1"],
                 stdout=subprocess.DEVNULL) as process:
        time.sleep(1)
        start, before = time.monotonic(), cpu_seconds(process.pid)[0]
        time.sleep(args.seconds)
        elapsed, after = time.monotonic() - start, cpu_seconds(process.pid)[0]
        if process.poll() is not None:
            raise SystemExit("the recording was too short to measure decoding")
    # Less than the kernel counts in is taken for as much.
    return max(after - before, 1 / os.sysconf("SC_CLK_TCK")) / elapsed / args.fps * 1e3


def parts(args, path):
    """ms per frame of decoding, and of converting into the segment, at the live pace."""
    name = f"bench-{secrets.token_hex(6)}"
    parse = ["filesrc", f"location={path}", "!", "h264parse", "!",
             "video/x-h264,stream-format=byte-stream,alignment=au", "!"]
    decode = [*parse, "avdec_h264", "thread-type=slice", "!"]
    parse_ms = paced_cost(args, [*parse, "fakesink"])
    decode_ms = paced_cost(args, [*decode, "fakesink"])
    convert_ms = paced_cost(args, [*decode, "shmnumpysink", f"shm-name={name}",
                                   "legacy=never", "udp-port=0"])
    return {"decode": decode_ms - parse_ms, "convert": convert_ms - decode_ms}


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def summary(runs):
    middle = {key: statistics.median(run[key] for run in runs)
              for key in ("first", "landed", "cpu")}
    latency = [value for run in runs for value in run["latency"]]
    middle["latency"] = statistics.median(latency)
    middle["p95"] = percentile(latency, 0.95)
    middle["broken"] = sum(run["broken"] for run in runs)
    return middle


def show(name, figures):
    print(f"  {name:24} landed {figures['landed']:5.1f} %   latency {figures['latency']:4.0f}"
          f" ms (p95 {figures['p95']:4.0f})   CPU {figures['cpu']:6.2f} ms/frame   first"
          f" frame {figures['first']:5.2f} s"
          + (f"   {figures['broken']} broken" if figures["broken"] else ""))


def compare(figures, other, name):
    ratios = {key: figures[key] / other[key] for key in ("latency", "cpu", "first")}
    print(f"  of {name}: latency {ratios['latency']:.2f}, CPU {ratios['cpu']:.2f}, first"
          f" frame {ratios['first']:.2f}")


def measure(args, size):
    ways = {"vdoninjasrc, shmnumpysink": lambda *to: ours(args, *to)}
    if args.publish_py:
        ways["publish.py --buffer 50"] = lambda *to: replaced(args, *to, ["--buffer", "50"])
        ways["publish.py"] = lambda *to: replaced(args, *to, [])
    runs, shares = {name: [] for name in ways}, []
    with publishing(args, size) as to, tempfile.NamedTemporaryFile(suffix=".h264") as file:
        record(args, *to, file.name)
        for _ in range(args.rounds):
            for name, way in ways.items():
                runs[name].append(way(*to))
            shares.append(parts(args, file.name))
    print(f"{size} at {args.fps} frames/s, {args.codec}, {machine()}")
    figures = {name: summary(of) for name, of in runs.items()}
    for name, of in figures.items():
        show(name, of)
    mine, *others = figures.items()
    cpu = mine[1]["cpu"]
    share = {part: statistics.median(of[part] for of in shares) for part in shares[0]}
    rest = cpu - share["decode"] - share["convert"]
    print(f"  CPU of ours: decoding {share['decode']:.2f}, conversion into the segment "
          f"{share['convert']:.2f}, receiving and the rest {rest:.2f} ms/frame; "
          f"{cpu / share['decode']:.2f} of bare decoding")
    threads = sorted(runs[mine[0]][-1]["threads"].items(), key=lambda item: -item[1])
    print("  by thread: " + ", ".join(f"{name} {value:.2f}" for name, value in threads[:6]))
    for name, other in others:
        compare(mine[1], other, name)
    return mine[1]["landed"] >= 99 and not mine[1]["broken"]


def main():
    parser = stream_options(__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="per run")
    parser.add_argument("--settle", type=float, default=2, help="before each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--publish-py", metavar="DIR",
                        help="a checkout of Raspberry.Ninja to compare with")
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    subprocess.run(["gst-inspect-1.0", "vdoninjasrc"], check=True,
                   stdout=subprocess.DEVNULL)  # fills the registry
    good = [measure(args, size) for size in args.sizes]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
