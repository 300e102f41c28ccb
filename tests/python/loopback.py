# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other ends of vdoninjasrc, as processes of their own: handshake server and test
publishers on loopback, and launch lines run by gst-launch-1.0 itself."""
import concurrent.futures
import contextlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time

from deadlines import seconds

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = os.path.join(os.environ.get("BUILD_ROOT", os.path.join(ROOT, "build")),
                        "tests", "support")
DEADLINE = seconds(40)


def complaints(text):
    """What ffprobe says of pictures that it cannot decode, from its stderr. mp4mux of
    GStreamer 1.26 begins another sample description with each size; ffmpeg 7 then misses
    parameters for a moment, finds them in the stream and decodes every picture."""
    known = ("non-existing PPS 0 referenced", "Last message repeated")
    return [line for line in text.splitlines() if not any(part in line for part in known)]


class Process:
    """A program whose output is read all the time, so that it never waits for us."""

    def __init__(self, arguments, **options):
        self.lines, self._queue = [], queue.Queue()
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        errors="replace", **options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(line.rstrip())
        self._queue.put(None)

    def text(self):
        """What it said, without what goes on inside webrtcbin."""
        return "\n".join(line for line in self.lines if "GstWebRTCBin:" not in line)

    def expect(self, wanted):
        """The first new line that `wanted` (text or predicate) fits."""
        fits = wanted if callable(wanted) else lambda line: wanted in line
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._queue.get(timeout=max(0.001, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not within {DEADLINE} s: {wanted}\n{self.text()}") \
                    from None
            assert line is not None, f"ended before {wanted}\n{self.text()}"
            self.lines.append(line)
            if fits(line):
                return line

    def skip(self):
        """Passes over what it has said until now."""
        while not self._queue.empty():
            line = self._queue.get()
            if line is None:
                self._queue.put(None)
                break
            self.lines.append(line)

    def wait(self):
        """Exit status, once all output is read."""
        try:
            status = self.process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self._drain()
            raise AssertionError(f"does not end within {DEADLINE} s\n{self.text()}") \
                from None
        self._drain()
        return status

    def _drain(self):
        self._reader.join(timeout=DEADLINE)
        while not self._queue.empty():
            line = self._queue.get()
            if line is not None:
                self.lines.append(line)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=seconds(20))
        finally:
            self.process.kill()
            self._drain()
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.close()
        if failure:
            print(self.text())


class Publisher:
    """Handshake server and test publishers. `codec`: one, or several with commas between
    them, among which the viewer chooses."""

    def __init__(self, ids, codec="vp8", password="", room="", audio=True,
                 ticks=False):
        self.handshake = Process([os.path.join(PROGRAMS, "vdoninja-handshake")])
        self.publishers = {}
        try:
            self.server = self.handshake.expect("ws://")
            for stream_id in ids:
                options = [f"--server={self.server}", f"--stream-id={stream_id}",
                           f"--codec={codec}", "--size=320x180", "--fps=15",
                           "--bitrate=300"]
                options += [f"--password={password}"] if password else []
                options += [f"--room={room}"] if room else []
                options += [] if audio else ["--no-audio"]
                options += ["--ticks"] if ticks else []
                self.publishers[stream_id] = Process(
                    [os.path.join(PROGRAMS, "vdoninja-publisher"), *options])
            for process in self.publishers.values():
                process.expect('"online":true')
        except AssertionError:
            self.close()
            raise

    def source(self, stream_id="abc", properties=""):
        return (f"vdoninjasrc server={self.server} signaling=hosted stream-id={stream_id} "
                f"{properties} ")

    def next_answer(self, stream_id="abc"):
        """The codecs of the next answer that a publisher got, as it read them."""
        line = self.publishers[stream_id].expect('"event":"answer"')
        return json.loads(line)["codecs"]

    def change_size(self, stream_id="abc"):
        """The picture is twice as large from now on, or as large as it was again."""
        self.publishers[stream_id].process.send_signal(signal.SIGUSR2)

    def close(self):
        for process in self.publishers.values():
            process.close()
        self.handshake.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def two_at_once(request, parameter, job, codec):
    """{case: future of job(case, publisher, stream_id)} for the cases of `parameter` that
    are selected in the module of `request`. Each runs with a publisher to itself."""
    cases = [item.callspec.params[parameter] for item in request.session.items
             if item.fspath == request.fspath and
             hasattr(item, "callspec") and parameter in item.callspec.params]
    free = ["left", "right"]
    with Publisher(list(free), codec=codec) as publisher, \
            concurrent.futures.ThreadPoolExecutor(len(free)) as pool:

        def run(case):
            stream_id = free.pop()
            # On a busy machine the case before may have been answered twice.
            publisher.publishers[stream_id].skip()
            try:
                return job(case, publisher, stream_id)
            finally:
                free.append(stream_id)

        yield {case: pool.submit(run, case) for case in cases}


class Launch(Process):
    """gst-launch-1.0 with a description, which tells of caps and properties of pads. What
    the element logs is in a file of its own."""

    def __init__(self, description, *options, **popen):
        # Not to stderr: GStreamer writes a line in pieces, and -v prints between them.
        self._log = tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace")
        environment = {**os.environ, "GST_DEBUG": "vdoninja-pads:4",
                       "GST_DEBUG_NO_COLOR": "1", "GST_DEBUG_FILE": self._log.name}
        super().__init__(["gst-launch-1.0", "-v", *options, *shlex.split(description)],
                         env=environment, **popen)

    def values(self, pad, name):
        """What property `name` of a pad of vdoninjasrc was, one after the other."""
        found = re.compile(rf"GstVdoNinjaSrcPad:{pad}: {name} = (.*)")
        return [match[1] for line in self.lines if (match := found.search(line))]

    def form(self, pad):
        """raw, encoded or rtp, as the element says; None while nothing came. Caps that
        gst-launch-1.0 shows agree; in one of a hundred runs it leaves them out."""
        self._log.seek(0)
        told = re.findall(rf":{pad}> delivering (\w+)", self._log.read())
        kinds = {"video/x-raw": "raw", "audio/x-raw": "raw", "application/x-rtp": "rtp"}
        for caps in self.values(pad, "caps")[-1:]:
            assert kinds.get(re.split(r"[,(]", caps)[0].strip(), "encoded") == told[-1]
        return told[-1] if told else None
