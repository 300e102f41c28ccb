#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each stream costs who plays many: one process with 1, 4 and 16 `vdoninjasrc`, each
with a connection of its own, over a line that loses packets.

  cost    CPU of the receiving process for each stream, in percent of a core, and beside
          that of one stream alone
  frames  a second, of the stream that got fewest

Prints JSON and a table. What is compared runs in the same minutes; the median of --rounds.
"""
import json
import os
import statistics
import sys
import time

from publish import Crowd
from py_support import BUILD, machine, stream_options, wait_for
from viewer import publishing

import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def play(args, many):
    """CPU seconds a second, and frames a second of the slowest."""
    to_publisher = ["--password", "off", "--socket-signaling", "--local-address",
                    "127.0.0.1"]
    with publishing(args, args.sizes[0], ["--line", args.line], to_publisher) as to:
        crowd = Crowd(*to, many, args.output)
        try:
            crowd.pipeline.set_state(Gst.State.PLAYING)
            wait_for(f"{many} streams",
                     lambda: min(crowd.shown()) >= args.settle * args.fps)
            used, had = time.process_time(), crowd.shown()
            time.sleep(args.seconds)
            used, has = time.process_time() - used, crowd.shown()
        finally:
            crowd.pipeline.set_state(Gst.State.NULL)
    fewest = min(now - then for now, then in zip(has, had))
    return used / args.seconds, fewest / args.seconds


def main():
    parser = stream_options(__doc__)
    parser.set_defaults(sizes=["640x360"], bitrate=1500)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--line", default="loss2")
    parser.add_argument("--output", choices=["raw", "encoded"], default="raw")
    parser.add_argument("--settle", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    Gst.init(None)
    runs = {many: [] for many in args.streams}
    for _ in range(args.rounds):
        for many, of in runs.items():
            of.append(play(args, many))
    rows = [{"streams": many, "cost": statistics.median(cpu for cpu, _ in of) / many,
             "frames": statistics.median(fps for _, fps in of)}
            for many, of in runs.items()]
    print(json.dumps({"machine": machine(), "runs": runs, "medians": rows}))
    print("| streams | CPU of each, % of a core | beside one | frames/s |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['streams']} | {row['cost'] * 100:.2f} | "
              f"{row['cost'] / rows[0]['cost']:.2f} | {row['frames']:.1f} |")


if __name__ == "__main__":
    sys.exit(main())
