#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What vdoninjasrc costs behind webrtcbin, beside a bare rtph264depay ! h264parse ! avdec_h264.

Plays a test publisher on this machine. Each RTP packet that leaves webrtcbin's
jitterbuffer goes through the element and through the bare chain, from the same thread, in
turns as to which comes first. Latency: from handing over the packet with the marker to
the picture on the element's pad, by way of its playout thread. CPU: of both threads while
a packet is in the way concerned; the loop thread is given besides. The
same is done with encoded output and with a pad that nobody linked, and with decodebin3 as
the other way. Exit status 1 when a bound is exceeded.
"""
import json
import os
import subprocess
import sys

from py_support import BUILD, machine, stream_options
from viewer import publishing, source

BARE = ("rtph264depay name=in ! h264parse ! avdec_h264 ! "
        "fakesink name=out sync=false async=false")
DECODEBIN3 = "identity name=in ! decodebin3 ! video/x-raw ! fakesink name=out sync=false async=false"
# Of an idle machine. The playout stage hands each picture to another thread: 0.03 to 0.08 ms,
# and 4 to 9 % of the CPU that decoding 720p takes.
BOUNDS = {"added": 0.1, "raw": 1.12, "encoded": 0.15, "unlinked": 0.02}


def run(args, to, output, beside):
    line = [*source(*to), "name=src", "video-codecs=<H264>", *output]
    command = [os.path.join(BUILD, "tests", "bench", "decode-beside"),
               str(args.frames), str(args.settle), " ".join(line), beside]
    return json.loads(subprocess.run(command, check=True, text=True,
                                     stdout=subprocess.PIPE).stdout)


def measure(args, size):
    sink = ["!", "fakesink", "sync=false", "async=false"]
    with publishing(args, size) as to:
        raw = run(args, to, ["output-format=raw", *sink], BARE)
        encoded = run(args, to, ["output-format=encoded", *sink], BARE)
        unlinked = run(args, to, [], BARE)
        other = run(args, to, ["output-format=raw", *sink], DECODEBIN3)
    figures = {"added": raw["added"],
               **{name: result["element"]["cpu"] / result["beside"]["cpu"]
                  for name, result in (("raw", raw), ("encoded", encoded),
                                       ("unlinked", unlinked))}}
    print(f"{size} at {args.fps} frames/s, {machine()}")
    for name, way in (("vdoninjasrc", raw["element"]), ("bare chain", raw["beside"]),
                      ("decodebin3", other["beside"])):
        print(f"  {name:12} latency {way['median']:7.3f} ms (p95 {way['p95']:7.3f}), "
              f"{way['pictures']} pictures")
    print(f"  added to the bare chain, median of frames: {figures['added']:.3f} ms")
    print(f"  CPU of the bare chain {raw['beside']['cpu']:.3f} ms/frame; of it: raw "
          f"{figures['raw']:.3f}, encoded {figures['encoded']:.4f}, unlinked "
          f"{figures['unlinked']:.4f}; loop thread {raw['loop']:.4f} ms/frame")
    failed = [name for name, bound in BOUNDS.items() if figures[name] > bound]
    for name in failed:
        print(f"  {name} is above {BOUNDS[name]}")
    return not failed


def main():
    parser = stream_options(__doc__)
    parser.add_argument("--frames", type=int, default=300, help="per run")
    parser.add_argument("--settle", type=int, default=60, help="frames before those")
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    good = [measure(args, size) for size in args.sizes]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
