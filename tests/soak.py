#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""soak.py SECONDS [READER]: plays two publishers into shared memory for so long.

Once a minute a publisher reloads its page, in turns with and without a goodbye, and every
fourth time it is killed and another process takes its place. Readers in Python come all the
time; one in three is killed in the middle of it. Each must have read frames, and what the
viewing process holds is compared between the first sixth after a warm-up and the last.

The bounds: threads and descriptors may differ by two, as in vdoninjasrc-reload, since
sessions end on threads of their own; the least of each window is compared. Memory may grow
by 12 MB: a session that stays takes 600 kB, of which there is one in a minute, so that 20
minutes show it; malloc's arenas fill up by less than that and then stay. Files in /dev/shm
may not change at all.
"""
import contextlib
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "python"), os.path.join(HERE, "..", "python")]
import shmnumpy  # noqa: E402
from loopback import Process, Publisher  # noqa: E402

RELOAD_SECONDS, SAMPLE_SECONDS, READERS = 60, 2, 3
LIMIT = 120  # for what takes seconds: the machine may have much else to do
SPARE, SPARE_KB = 2, 12 * 1024
FRAMES = 40  # that a reader wants
WINDOWS = 6


def read_frames(name):
    """The reader: a number of frames, or a failure."""
    with shmnumpy.open(name, timeout=LIMIT) as frames:
        for count, frame in enumerate(frames, 1):
            assert frame.rgb().shape == (180, 320, 3), (frame.format, frame.width)
            if count == FRAMES:
                return 0
    return 1


def held(pid, prefix):
    """What the process holds now."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line[:20])
    kilobytes = {key: int(fields[key].split()[0]) for key in ("Rss", "Pss")}
    return {"rss": kilobytes["Rss"], "pss": kilobytes["Pss"],
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "files": sum(prefix in name for name in os.listdir("/dev/shm"))}


class Readers:
    """Some at a time; who ends is replaced."""

    def __init__(self, names):
        self.names, self.rng = names, random.Random(1)
        self.running, self.done, self.killed, self.failed = [], 0, 0, 0

    def tend(self):
        for reader in self.running[:]:
            process, kill_at = reader
            if kill_at and time.monotonic() > kill_at:
                process.kill()
                process.wait()
                self.killed += 1
            elif process.poll() is None:
                continue
            else:
                self.done += process.returncode == 0
                self.failed += process.returncode != 0
            self.running.remove(reader)
        while len(self.running) < READERS:
            process = subprocess.Popen([sys.executable, __file__, "0",
                                        self.rng.choice(self.names)])
            doomed = self.rng.random() < 1 / 3
            # Importing NumPy takes half a second; 40 frames take some three.
            kill_at = time.monotonic() + self.rng.uniform(0.3, 3) if doomed else 0
            self.running.append((process, kill_at))

    def close(self):
        for process, _ in self.running:
            process.kill()
            process.wait()


class Soak:
    def __init__(self, seconds):
        self.seconds, self.samples, self.reloads, self.missed = seconds, [], 0, []
        self.prefix = f"soak-{secrets.token_hex(4)}"
        self.names = [f"{self.prefix}-{side}" for side in ("left", "right")]

    def launch(self, publisher):
        sinks = " ".join(
            f"src.video_{number} ! queue ! shmnumpysink shm-name={name} "
            f"src.audio_{number} ! fakesink async=false sync=false"
            for number, name in enumerate(self.names))
        line = publisher.source("left,right", "name=src") + sinks
        return Process(["gst-launch-1.0", *line.split()])

    def reload(self, publisher):
        """One of the two; afterwards its stream has to come back."""
        side = ("left", "right")[self.reloads % 2]
        process = publisher.publishers[side]
        if self.reloads % 4 == 3:
            process.process.kill()
            process.close()
            publisher.publishers[side] = Process(process.process.args)
        else:
            process.process.send_signal(signal.SIGHUP)
        self.reloads += 1
        began = time.monotonic_ns()
        with shmnumpy.open(f"{self.prefix}-{side}") as frames:
            while time.monotonic_ns() - began < LIMIT * 1e9:
                frame = frames.read(timeout=1)
                # Two seconds later the frames are of the page that was loaded anew.
                if frame and frame.publish_time > began + 2e9:
                    return
        self.missed.append(f"{side} did not come back from reload {self.reloads}")

    def run(self):
        with Publisher(["left", "right"]) as publisher, self.launch(publisher) as viewer:
            for name in self.names:
                with shmnumpy.open(name) as frames:
                    assert frames.read(timeout=40), "nothing came at all"
            pid, start = viewer.process.pid, time.monotonic()
            with contextlib.closing(Readers(self.names)) as readers:
                reload_at = start + min(RELOAD_SECONDS, self.seconds / 8)
                while time.monotonic() < start + self.seconds:
                    readers.tend()
                    if time.monotonic() > reload_at:
                        self.reload(publisher)
                        reload_at += min(RELOAD_SECONDS, self.seconds / 8)
                    self.samples.append((time.monotonic() - start, held(pid, self.prefix),
                                         self.reloads, readers.done, readers.killed))
                    time.sleep(SAMPLE_SECONDS)
            viewer.interrupt()
            status = viewer.wait()
        left = [name for name in os.listdir("/dev/shm") if self.prefix in name]
        return self.judge(readers, status, left)

    def window(self, number):
        span = self.seconds / WINDOWS
        return [held for at, held, *_ in self.samples
                if number * span <= at < (number + 1) * span]

    def table(self):
        print(f"{'until s':>8}{'reloads':>9}{'readers':>9}{'killed':>8}{'RSS kB':>9}"
              f"{'PSS kB':>9}{'descr.':>8}{'threads':>9}{'files':>7}")
        for number in range(WINDOWS):
            rows = self.window(number)
            last = [s for s in self.samples if s[0] < (number + 1) * self.seconds / WINDOWS]
            least = {key: min(row[key] for row in rows) for key in rows[0]}
            print(f"{(number + 1) * self.seconds / WINDOWS:8.0f}{last[-1][2]:9}"
                  f"{last[-1][3]:9}{last[-1][4]:8}{least['rss']:9}{least['pss']:9}"
                  f"{least['descriptors']:8}{least['threads']:9}{least['files']:7}")
        print("(of what is held: the least of each window)")

    def judge(self, readers, status, left):
        self.table()
        early, late = self.window(1), self.window(WINDOWS - 1)

        def grown(key):
            return min(row[key] for row in late) - min(row[key] for row in early)

        # A new page may need larger slots: then the old file goes a moment later.
        files = {statistics.mode(row["files"] for row in rows) for rows in (early, late)}
        checks = {
            f"every stream came back {self.missed or ''}": not self.missed,
            f"readers that were left alone read frames ({readers.failed} did not)":
                readers.done > 0 and readers.failed == 0,
            "readers were killed": readers.killed > 0,
            f"descriptors {grown('descriptors'):+}": grown("descriptors") <= SPARE,
            f"threads {grown('threads'):+}": grown("threads") <= SPARE,
            f"resident memory {grown('rss'):+} kB": grown("rss") <= SPARE_KB,
            f"proportional memory {grown('pss'):+} kB": grown("pss") <= SPARE_KB,
            f"files in /dev/shm {sorted(files)}": len(files) == 1,
            f"the viewer ends by SIGINT with status {status}": status == 0,
            f"nothing stays in /dev/shm {left or ''}": not left,
        }
        for text, holds in checks.items():
            print(f"{'ok' if holds else 'FAILED'}: {text}")
        failed = sum(not holds for holds in checks.values())
        print(f"{len(checks) - failed} passed, {failed} failed")
        return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(read_frames(sys.argv[2]))
    sys.exit(Soak(float(sys.argv[1])).run())
