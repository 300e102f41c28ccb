# SPDX-License-Identifier: MIT
"""The reader of a ring."""
from __future__ import annotations

import asyncio
import time
from typing import Optional, Tuple

from . import _order
from ._errors import Overwritten
from ._file import segment_path
from ._frame import Frame
from ._layout import LATEST, WAKE, State
from ._segment import Segment
from ._source import POLL, SLICE, Source
from ._watch import Watch, changed


class Frames(Source):
    """The frames of one ring, newest first come; made by open(). For one thread."""

    def __init__(self, name: str, timeout: Optional[float], copy: bool,
                 until_eos: bool) -> None:
        super().__init__(name, timeout, copy)
        self._path = segment_path(name, ".ring")
        self._until_eos = until_eos
        self._last: Tuple[object, int] = (None, 0)  # writer and number of the last frame
        self._number = self._wake = 0
        self._look = 0.0  # when to look at the name and the lock again
        self._segment: Optional[Segment] = None
        self._watch: Optional[Watch] = None
        self._state = State.ABSENT
        self._attach()

    def _attach(self) -> bool:
        fresh = Segment.attach(self._path)
        if fresh is not None:
            self._segment, self._number = fresh, 0
            self._look = time.monotonic() + SLICE
        return fresh is not None

    @property
    def state(self) -> State:
        """What the writer is doing now, whether or not read() has followed it."""
        if self.closed:
            return State.ABSENT
        segment, state = self._segment, State.ABSENT
        if segment is not None:
            segment.check_size()
            state = State.ABSENT if segment.dead() else segment.state()
        if state in (State.RETIRED, State.STOPPED, State.ABSENT) and (
                segment is None or segment.replaced()):
            # Looked at and let go: the last frames of the old one are still read()'s.
            fresh = Segment.attach(self._path)
            state = State.ABSENT if fresh is None else fresh.state()
        return state

    def _peek(self, seconds: Optional[float]) -> Optional[Frame]:
        """A view of the first frame, waiting for it; the next read() gives it as well."""
        frame = self.read(seconds, copy=False)
        self._last, self._number = (None, 0), 0
        return frame

    def _poll(self, copy: bool) -> Optional[Frame]:
        while self._segment is not None or self._attach():
            segment = self._segment
            assert segment is not None
            segment.check_size()
            # Before the look at `latest`, so that a frame or state after it changes
            # `wake`, and so that the last frame before the end of a stream is not lost.
            self._wake = segment.words[WAKE]
            _order.fence()
            state = segment.state()
            _order.fence()
            frame = self._newest(segment, copy)
            if frame is not None:
                return frame
            if not self._moved_on(segment, state):
                break
        return None

    def _newest(self, segment: Segment, copy: bool) -> Optional[Frame]:
        while segment.words[LATEST] >> 8 != self._number:
            frame = segment.newest()
            if frame is None:
                break
            try:
                frame = frame.copy() if copy else frame
            except Overwritten:  # hence there is a newer one
                continue
            writer = (segment.pid, segment.writer_start)
            known, last = self._last
            frame.missed = max(0, frame.number - last - 1) if known == writer else 0
            self._last = (writer, frame.number)
            self._number = frame.number & 0xFFFFFF
            return frame
        return None

    def _moved_on(self, segment: Segment, state: State) -> bool:
        """Go over to the segment that has the name now, if it is another."""
        gone = state in (State.RETIRED, State.STOPPED) or self._state == State.ABSENT
        self._state = state
        if gone or time.monotonic() >= self._look:
            self._look = time.monotonic() + SLICE
            if segment.replaced() and self._attach():
                return True
            if segment.dead():
                self._state = State.ABSENT
        return False

    def _wait(self, seconds: float) -> None:
        segment = self._segment
        if segment is None or self._state in (State.RETIRED, State.STOPPED, State.ABSENT):
            time.sleep(min(seconds, POLL))
        else:
            segment.wait(self._wake, seconds)

    async def _wait_async(self, seconds: float) -> None:
        segment = self._segment
        if segment is None or self._state in (State.RETIRED, State.STOPPED, State.ABSENT):
            await asyncio.sleep(min(seconds, POLL))
            return
        if self._watch is None or self._watch.segment is not segment:
            self._watch = Watch(segment)
        await changed(self._watch, self._wake, seconds)

    def _ended(self) -> bool:
        gone = self._state == State.ABSENT and self._segment is not None
        return self._until_eos and (gone or self._state in (State.EOS, State.STOPPED))

    def close(self) -> None:
        super().close()
        self._segment = self._watch = None
