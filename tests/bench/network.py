#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How late and how smooth pictures come over bad lines, beside Chromium's own viewer.

With --rig DIR, a checkout of the rig that is set up (`DIR/bin/setup`), its
tools/netcompare.py shows the same publisher, VDO.Ninja's web client, to both viewers, one
after the other in each round: same codec, same bitrate wish. Needs root. Without it the
test publisher of this repository is seen through the relay of the tests, by ours and by
the page of tests/browser where that can be; it adapts to no line, as the other does:

  p50, p95   age of the stamp when the picture is read in another process, ms
  freezes    a minute; intervals longer than max(3 x mean, mean + 150 ms), as in the W3C's
             statistics, and the longest
  / C        of Chromium's figure; "!" where it is above what we aim at (BOUNDS)

A round is a run of each viewer on each line; figures are medians of the rounds. Prints
JSON with all runs, and a table. Only runs in the same minutes on a machine that does
nothing else may be compared. Exit status 1 where "!" is shown of the rig.
"""
import argparse
import contextlib
import glob
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time

from py_support import BUILD, ROOT, machine
from viewer import cpu_seconds, percentile, publishing, running, source

import shmnumpy
import stamp

BROWSER = os.path.join(ROOT, "tests", "browser")
# As --line of vdoninja-handshake and the rig know them. The test publisher does not adapt
# to a line that is thinner than its picture.
ALONE = ["lan", "wifi", "loss2", "loss5", "loss10", "burst", "lte", "rtt100", "reorder"]
BESIDE = [*ALONE, "thin"]
# Per line: p50 and p95 of Chromium's, freezes a minute more than it.
BOUNDS = {"wifi": (0.7, 0.8, 0), "loss2": (0.9, 1, 0.5), "loss5": (0.9, 1, 0.5),
          "burst": (0.9, 0.95, 0.5), "loss10": (1, 1.05, 2), "lte": (0.9, 0.9, 0),
          "rtt100": (0.9, 0.9, 0), "thin": (0.8, 1, 0.5), "reorder": (1.1, 1.1, 0)}
FIGURES = ["p50", "p95", "freezes", "longest", "fps", "mbit_s", "cpu"]


def told(run):
    """Each run as it ends."""
    print(json.dumps(run), file=sys.stderr, flush=True)
    return run


# --- with the rig ---

def beside_chromium(args):
    """One round."""
    environment = {**os.environ, "PLUGIN": os.path.join(BUILD, "gst"),
                   "SHMNUMPY": os.path.join(ROOT, "python"), "BITRATE": str(args.bitrate)}
    # The rig hands this to a shell.
    wishes = f"video-bitrate={args.bitrate} video-codecs='<{args.codec.upper()}>'"
    command = ["/usr/bin/python3", os.path.join(args.rig, "tools", "netcompare.py"),
               "--size", args.size, "--secs", str(args.seconds), "--settle",
               str(args.settle), "--codec", args.codec, "--ours",
               f"{wishes} {args.properties}", *args.lines]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                          text=True) as process:
        for text in process.stdout:
            run = json.loads(text)
            if "error" in run or "lat_p50" not in run:  # an hour of others is kept
                print(f"this run measured nothing: {run}", file=sys.stderr)
                continue
            yield told(translated(run))
    if process.returncode:
        raise SystemExit(f"the rig's comparison failed: {command}")


def translated(run):
    """A line of netcompare.py in our terms."""
    names = {"p50": "lat_p50", "p95": "lat_p95", "freezes": "freezes_per_min",
             "longest": "longest_ms"}
    return {"line": run["cond"], "viewer": run["viewer"], "load": os.getloadavg()[0],
            "size": run["size"], "fps": run["fps"], "cpu": run["cpu"],
            "mbit_s": (run.get("kbit_s") or 0) / 1000,
            **{ours: run[theirs] for ours, theirs in names.items()}}


def with_rig(args):
    """All runs; what was started for them ends with them."""
    programs, started = os.path.join(args.rig, "bin"), []
    for program, names in (("setup-netns", []), ("start-signaling", ["signaling", "web"]),
                           ("start-badlink", ["badlink", "forward-a", "forward-b",
                                              "web-v"])):
        output = subprocess.run([os.path.join(programs, program)], stdout=subprocess.PIPE,
                                text=True, check=False).stdout
        started += [name for name in names if f"{name} pid " in output]
    try:
        return [run for _ in range(args.rounds) for run in beside_chromium(args)]
    finally:
        # An interrupted comparison leaves viewers; without us there was nobody.
        names = ["all"] if "signaling" in started else reversed(started)
        subprocess.run([os.path.join(programs, "stop"), *names], check=True,
                       stdout=subprocess.DEVNULL)


# --- without ---

class Pictures:
    """When pictures were read, and how old they were then, from `start` on; in ms.
    `pid`: of who shows them, alive until figures() is called."""

    def __init__(self, start, pid):
        self.start, self.pid, self.used = start, pid, cpu(pid)
        self.when, self.ages = [], []

    def see(self, when, age):
        self.when.append(when)
        if age is not None:
            self.ages.append(age)

    def figures(self, seconds):
        if len(self.when) < 2 or not self.ages:
            raise SystemExit("no picture with a readable stamp came")
        gaps = [b - a for a, b in zip(self.when, self.when[1:])]
        longest = max(*gaps, self.when[0] - self.start,
                      self.start + seconds * 1000 - self.when[-1])
        mean = statistics.mean(gaps)
        frozen = sum(gap > max(3 * mean, mean + 150) for gap in gaps)
        return {"p50": statistics.median(self.ages), "p95": percentile(self.ages, 0.95),
                "freezes": frozen / seconds * 60, "longest": longest,
                "fps": len(self.when) / seconds,
                "cpu": (cpu(self.pid) - self.used) / seconds}


def cpu(pid):
    """Seconds of a process and of those that it started and that live."""
    total = 0
    with contextlib.suppress(OSError):
        total = cpu_seconds(pid)[0]
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with open(path, encoding="utf-8") as children:
                total += sum(cpu(int(child)) for child in children.read().split())
    return total


def by_ours(args, to):
    name = f"bench-{secrets.token_hex(6)}"
    command = ["gst-launch-1.0", "-q", *source(*to), "password=false", "enable-audio=false",
               *args.properties.split(), "!", "shmnumpysink", f"shm-name={name}",
               "legacy=never", "udp-port=0"]
    with running(command) as process, shmnumpy.open(name, copy=False) as frames:
        if frames.read(timeout=30) is None:
            raise SystemExit(f"no frame came within 30 s: {command}")
        end = time.monotonic() + args.settle
        while time.monotonic() < end:
            frames.read(timeout=1)
        pictures = Pictures(time.time() * 1000, process.pid)
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            frame = frames.read(timeout=0.1)
            if frame is not None:
                found = stamp.read(frame.array)
                age = stamp.age_ms(found[1]) if found else None
                pictures.see(time.time() * 1000, age if frame.valid() else None)
        return pictures.figures(args.seconds)


def by_chromium(args, to):
    command = ["node", os.path.join(BROWSER, "publish.mjs"), "--watch", "--server", to[0],
               "--stream-id", to[1], "--dialect", "custom", "--password", "off"]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 text=True) as process:
        seen = shown(process.stdout)
        first = next(seen)[0]
        start = next(when for when, _ in seen if when >= first + args.settle * 1000)
        pictures = Pictures(start, process.pid)
        for when, age in seen:
            if when >= start + args.seconds * 1000:
                break
            pictures.see(when, age)
        return pictures.figures(args.seconds)


def shown(lines):
    """(when, age) of each picture, as the page tells once a second."""
    for text in lines:
        event = json.loads(text)
        if event["event"] == "fatal":
            raise SystemExit(f"the page fails: {event}")
        yield from event.get("pictures", [])
    raise SystemExit("the browser has ended")


def missing():
    """What a page in Chromium wants here."""
    names = [name for name in ("node", "chromium") if not shutil.which(name)]
    if not os.path.isdir(os.path.join(BROWSER, "node_modules", "playwright-core")):
        names.append("node_modules: npm ci --prefix tests/browser")
    return names


def watchers():
    """Those that can be run here."""
    if wanting := missing():
        print("skipped: Chromium, for want of", *wanting, file=sys.stderr)
        return {"ours": by_ours}
    return {"ours": by_ours, "chromium": by_chromium}


def without_rig(args):
    run_by = watchers()
    return [told(through_relay(args, line, str(seed + 1), viewer, watch))
            for seed in range(args.rounds) for line in args.lines
            for viewer, watch in run_by.items()]


def through_relay(args, line, seed, viewer, watch):
    name, _, words = line.partition(":")
    on_wire = []
    with publishing(args, args.size, ["--line", words or name, "--seed", seed],
                    ["--password", "off", "--socket-signaling", "--local-address",
                     "127.0.0.1"], on_wire.append) as to:
        run = watch(args, to)
    wire = json.loads(on_wire[0])
    return {"line": name, "viewer": viewer, "load": os.getloadavg()[0],
            "mbit_s": wire["kbit_s"] / 1000, "relay_late_ms": wire["late_ms"], **run}


# --- both ---

def medians(runs):  # {line: {viewer: {figure: ...}}}
    result = {}
    for run in runs:
        result.setdefault(run["line"], {}).setdefault(run["viewer"], []).append(run)
    return {line: {viewer: {name: statistics.median(run[name] for run in of)
                            for name in FIGURES} for viewer, of in viewers.items()}
            for line, viewers in result.items()}


def judged(line, viewers):
    """p50, p95 and freezes of ours beside Chromium's: texts, with "!" beyond a bound."""
    if set(viewers) != {"ours", "chromium"}:
        return ["", "", ""]
    ours, other = viewers["ours"], viewers["chromium"]
    values = [ours["p50"] / other["p50"], ours["p95"] / other["p95"],
              ours["freezes"] - other["freezes"]]
    bounds = BOUNDS.get(line, [float("inf")] * 3)
    return [text.format(value) + (" !" if value > bound + 1e-6 else "")
            for text, value, bound in zip(["{:.2f}", "{:.2f}", "{:+.1f}"], values, bounds)]


def table(figures):
    yield ("| line | viewer | p50, ms | p95, ms | freezes a minute | longest, ms | "
           "frames/s | Mbit/s | CPU, cores | p50 / C | p95 / C | freezes - C |")
    yield "|---|---|" + "---:|" * 10
    for line, viewers in figures.items():
        for viewer, of in viewers.items():
            beside = judged(line, viewers) if viewer == "ours" else ["", "", ""]
            cells = [line, viewer, f"{of['p50']:.0f}", f"{of['p95']:.0f}",
                     f"{of['freezes']:.1f}", f"{of['longest']:.0f}", f"{of['fps']:.1f}",
                     f"{of['mbit_s']:.1f}", f"{of['cpu']:.2f}", *beside]
            yield "| " + " | ".join(cells) + " |"


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", metavar="DIR", help="a checkout of the rig, set up")
    parser.add_argument("--lines", nargs="+", metavar="LINE",
                        help="by name, or as 'NAME:loss=0.05 delay=20|delay=20'")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="per run")
    parser.add_argument("--settle", type=float, default=8, help="before each measurement")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--codec", choices=["h264", "vp8"], default="h264")
    parser.add_argument("--bitrate", type=int, help="kbit/s: wished of the rig's publisher"
                        " (4000), or sent by ours (2500)")
    parser.add_argument("--properties", default="", help="more of vdoninjasrc")
    args = parser.parse_args()
    args.bitrate = args.bitrate or (4000 if args.rig else 2500)
    args.lines = args.lines or (BESIDE if args.rig else ALONE)
    # The test publisher's picture; noise takes all the bits there are.
    args.fps, args.slices, args.pattern = 30, 1, "snow"
    return args


def main():
    args = options()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    # Fills the registry.
    subprocess.run(["gst-inspect-1.0", "vdoninjasrc"], check=True, stdout=subprocess.DEVNULL)
    runs = with_rig(args) if args.rig else without_rig(args)
    figures = medians(runs)
    print(json.dumps({"medians": figures, "runs": runs}))
    rows = list(table(figures))
    print("\n".join(["", *rows]))
    print(f"\n{args.size} at {args.fps} frames/s, {args.codec}, {args.bitrate} kbit/s, "
          f"{args.rounds} x {args.seconds:g} s, {machine()}, up to "
          f"{max(run['load'] for run in runs):.1f} in the runs")
    return 1 if args.rig and any(" ! " in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
