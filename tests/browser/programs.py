# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that a test of the browser runs: each ends with its `with` block."""
import json
import os
import queue
import signal
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD_ROOT", os.path.join(HERE, "..", "..", "build"))
HANDSHAKE = os.path.join(BUILD, "tests", "support", "vdoninja-handshake")
END_S = 20


class Program:
    """Its lines are read as they come, so that it never waits for us."""

    END_SIGNAL = signal.SIGTERM

    def __init__(self, *command):
        self.lines = queue.Queue()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            print(line, end="", flush=True)
            self.lines.put(line.strip())
        self.lines.put(None)

    def line(self, deadline):
        """The next line, until time.monotonic() is `deadline`."""
        try:
            line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{self.process.args[0]} said nothing more") from None
        assert line is not None, f"{self.process.args[0]} has ended"
        return line

    def running(self):
        return self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.send_signal(self.END_SIGNAL)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join(END_S)


class Server(Program):
    def __init__(self, dialect):
        super().__init__(HANDSHAKE, "--dialect", dialect)
        self.url = self.line(time.monotonic() + END_S)


class Browser(Program):
    FLAGS = ()

    def __init__(self, server, stream_id, **options):
        chosen = [text for key, value in options.items() if value is not None
                  for text in (f"--{key}", value)]
        super().__init__("node", os.path.join(HERE, "publish.mjs"), "--server",
                         server.url, "--stream-id", stream_id, *self.FLAGS, *chosen)

    def wait_for(self, event, seconds, **wanted):
        """The next event of this name that has these members."""
        deadline = time.monotonic() + seconds
        while True:
            found = json.loads(self.line(deadline))
            assert found["event"] not in ("fatal", "error"), found
            if found["event"] == event and wanted.items() <= found.items():
                return found

    def reload(self):
        self.process.stdin.write("reload\n")
        self.process.stdin.flush()


class Viewer(Browser):
    FLAGS = ("--watch",)

    def pictures(self, wanted, seconds):
        """How many were shown, as soon as these are."""
        deadline, shown = time.monotonic() + seconds, 0
        while shown < wanted:
            found = json.loads(self.line(deadline))
            assert found["event"] not in ("fatal", "error"), found
            shown += len(found.get("pictures", []))
        return shown

    def painted_after(self, ms, wanted, seconds, **size):
        """Until as many were shown that were painted after this time, in ms since 1970,
        while pictures had this size."""
        deadline, shown = time.monotonic() + seconds, 0
        while shown < wanted:
            found = self.wait_for("pictures", deadline - time.monotonic(), **size)
            shown += sum(age is not None and when - age > ms
                         for when, age in found["pictures"])

    def hears(self, ticks, seconds):
        """Until so many were heard."""
        deadline, heard = time.monotonic() + seconds, 0
        while heard < ticks:
            heard += len(self.wait_for("pictures", deadline - time.monotonic())["ticks"])


class Launch(Program):
    """gst-launch-1.0 with a pipeline, one argument for each part of it."""

    END_SIGNAL = signal.SIGINT  # the only one at which it stops the pipeline

    def __init__(self, *pipeline):
        super().__init__("gst-launch-1.0", "--no-position", *pipeline)
