# SPDX-License-Identifier: MIT
"""A pipeline as a child of this process, and its frames."""
from __future__ import annotations

import ast
import logging
import marshal
import os
import secrets
import subprocess
import sys
import threading
import time
import weakref
from typing import Any, Dict, Optional

from ._errors import LaunchError
from ._ring import Frames
from ._rings import remove_dead

# Imported, not run as a file, so that it is compiled once.
_PROGRAM = ("import sys; sys.path.append(sys.argv[1]); import _player; _player.main()",
            os.path.dirname(os.path.abspath(__file__)))
_MARSHAL = 2  # its version, which every Python reads
_GRACE = 5.0  # seconds for the element to say itself that its time is over
_STOP = 6.0   # seconds that the child has to end, more than it gives to its elements
_START_POLL = 0.004  # seconds between looks for the ring
_FORMATS = ("auto", "rgb", "bgr", "native")
_log = logging.getLogger("shmnumpy")


def _python() -> str:
    """Which Python plays. The system's, so that GStreamer finds the libraries that it was
    made for: the Python of a conda environment would bring its own GLib."""
    system = "/usr/bin/python3"
    return system if os.access(system, os.X_OK) or not sys.executable else sys.executable


def _stderr() -> Optional[int]:
    """For the child: ours, unless we have none, as a daemon may."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return None


class _Player:
    """The child, and a thread that hears what it says."""

    def __init__(self, name: str, request: Dict[str, Any]) -> None:
        self._owner, self._name = os.getpid(), name
        self._error: Optional[LaunchError] = None
        self._over = threading.Event()
        self._cleaned_up = False  # the child said so, as its last word
        order = marshal.dumps({"parent": self._owner, **request}, _MARSHAL)
        # A session of its own: Ctrl+C is for the program, which then ends the child.
        self._process = subprocess.Popen(
            [_python(), "-I", "-S", "-c", *_PROGRAM], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=_stderr(), start_new_session=True)
        self._thread = threading.Thread(target=self._listen, name=f"shmnumpy {name}",
                                        daemon=True)
        self._thread.start()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(len(order).to_bytes(8, "little") + order)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, which over() tells

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                kind, sentence, details = ast.literal_eval(line.decode())
                if kind == "end":
                    self._cleaned_up = True
                elif kind == "error":
                    self._error = LaunchError(sentence, details)
                else:
                    level = logging.WARNING if kind == "warning" else logging.INFO
                    _log.log(level, "%s: %s", self._name, sentence)
            status = self._process.wait()
            # Not by the status, which is lost where the program ignores SIGCHLD.
            if not self._cleaned_up and self._error is None:
                self._error = LaunchError(
                    f"the pipeline's process ended by itself, with status {status}",
                    "what it said before is on stderr")
        except Exception as error:  # of what logs, or half a line of a process that was killed
            self._error = LaunchError("nobody hears the pipeline's process any more",
                                      repr(error))
        finally:
            self._over.set()

    def over(self) -> bool:
        """Whether the child has ended; raises LaunchError if it failed. In a fork of the
        process that started it nobody hears it, and the state of the ring has to do."""
        if self._owner == os.getpid():
            if not self._over.is_set():
                return False
            if self._error is not None:
                raise self._error
        return True

    def stop(self) -> None:
        """End the child, and wait until it has. A fork of the process leaves it alone."""
        if self._owner != os.getpid():
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        try:  # a byte: forked children of the program may hold the pipe open, too
            self._process.stdin.write(b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(_STOP)
        self._process.stdout.close()
        if not self._cleaned_up:
            remove_dead(self._name)


class LaunchedFrames(Frames):
    """Frames of a pipeline that launch() started; close() ends it. For one thread.

    read() and loops raise LaunchError once the pipeline has failed.
    """

    def __init__(self, name: str, timeout: Optional[float], copy: bool,
                 request: Dict[str, Any]) -> None:
        super().__init__(name, timeout, copy, until_eos=True)
        self._player = _Player(name, request)
        # Also when this was forgotten, and when the interpreter ends.
        self._stop = weakref.finalize(self, self._player.stop)

    def _ended(self) -> bool:
        return (self._segment is None or super()._ended()) and self._player.over()

    def _wait(self, seconds: float) -> None:
        # The ring is about to be there, and its first frame is waited for.
        if self._segment is None:
            time.sleep(min(seconds, _START_POLL))
        else:
            super()._wait(seconds)

    def _await(self, seconds: Optional[float]) -> None:
        """Return when there is a frame."""
        limit = None if seconds is None else seconds + _GRACE
        if self._peek(limit) is None:
            over = self._player.over()
            raise LaunchError(
                "the pipeline ended before its first frame" if over else
                f"no frame came within {seconds:g} s; if that is not long enough: start=60")

    def close(self) -> None:
        super().close()
        self._stop()


def is_link(stream: str) -> bool:
    """Or else a stream id."""
    return "://" in stream or stream.startswith("vdoninja:")


def _plain(value: Any) -> Any:
    """A property as the child takes it: text and lists of text, True and False."""
    if isinstance(value, (list, tuple)):
        return [str(member) for member in value]
    return value if isinstance(value, bool) else str(value)


def _vdoninjasrc(stream: Optional[str], start: Optional[float],
                 properties: Dict[str, Any]) -> Dict[str, Any]:
    """What to set on vdoninjasrc."""
    given = {key.replace("_", "-"): _plain(value) for key, value in properties.items()
             if value is not None}
    if stream is not None:
        given["location" if is_link(stream) else "stream-id"] = stream
    if not {"location", "stream-id", "room"} & set(given):
        raise ValueError("nothing to play: launch() takes a stream id, a link, room=... or "
                         "pipeline=...")
    for key, value in given.items():
        if "\0" in str(value):
            raise ValueError(f"{key} has a zero byte in it")
    if start is not None:
        given["timeout"] = str(max(1, round(start)))
    return given


def launch(stream: Optional[str] = None, *, pipeline: Optional[str] = None,
           start: Optional[float] = 30.0, timeout: Optional[float] = None,
           copy: bool = True, format: str = "auto", **properties: Any) -> LaunchedFrames:
    """Play a stream of VDO.Ninja, or any pipeline, in a process of its own, and return its
    frames once there is one. Needs the GStreamer plugins, but no bindings of GStreamer.

    stream: a stream id, or a link as pasted from a browser. properties: those of
    vdoninjasrc, with underscores: password="secret", room="NAME" (without a stream: whoever
    is there), server="wss://host:port", turn_servers=["turn://..."]. None of it is syntax,
    whatever characters it has, and none can be seen in the list of processes.
    pipeline: instead of those, what gst-launch-1.0 takes in front of "! shmnumpysink";
    what is not live is played at its own pace.

    start: seconds within which the first frame has to come, None = for ever. timeout and
    copy are those of open(). format: "rgb", "bgr", "native" or "auto", which is RGB or BGR
    as it comes.

    The pipeline ends with close(), with the `with` block, when nothing refers to the frames
    any more, and with this process in whichever way that ends. Loops end with the pipeline.
    Raises LaunchError, here and when reading, if it fails: the text is the element's.
    Progress is logged by the logger "shmnumpy" as INFO, warnings of elements as WARNING.
    """
    if format not in _FORMATS:
        raise ValueError(f"format={format!r} is none of {', '.join(_FORMATS)}")
    name = f"shmnumpy-{os.getpid()}-{secrets.token_hex(6)}"
    sink = f"sink-{name}"
    request: Dict[str, Any] = {"properties": {
        sink: {"shm-name": name, "format": format, "legacy": "never"}}}
    if pipeline is None:
        request["description"] = f"vdoninjasrc name=vdoninjasrc ! shmnumpysink name={sink}"
        request["properties"]["vdoninjasrc"] = _vdoninjasrc(stream, start, properties)
    elif stream is not None or properties:
        raise ValueError("a pipeline has everything in its own text; leave out "
                         + ", ".join([*properties] or [repr(stream)]))
    elif "\0" in pipeline:
        raise ValueError("the pipeline has a zero byte in it")
    else:
        request["description"] = f"{pipeline} ! videoconvert ! shmnumpysink name={sink}"
        request["pace"] = sink
    frames = LaunchedFrames(name, timeout, copy, request)
    try:
        frames._await(start)
    except BaseException:
        frames.close()
        raise
    return frames
