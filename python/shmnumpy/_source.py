# SPDX-License-Identifier: MIT
"""What readers share: waiting, iterating, closing."""
from __future__ import annotations

import asyncio
import enum
import time
from typing import AsyncIterator, Iterator, Optional, Tuple, TypeVar, Union

from ._frame import Frame

SLICE = 0.25  # seconds between looks at whether the writer is alive or replaced
POLL = 0.02   # seconds between looks for a segment that is not there


class _AsOpened(enum.Enum):
    """Default of an argument that may be None as well: what was said when opening."""

    AS_OPENED = 0


_AS_OPENED = _AsOpened.AS_OPENED
_S = TypeVar("_S", bound="Source")


class Source:
    """What Frames and LegacyFrames share: waiting, iterating, closing."""

    def __init__(self, name: str, timeout: Optional[float], copy: bool) -> None:
        self.name, self.timeout, self.copies = name, timeout, copy
        self.closed = False
        self._greedy = False  # read_async() gave no other task a turn the last time

    def _poll(self, copy: bool) -> Optional[Frame]:
        """The newest frame if it was not returned before. Does not wait."""
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        """Return when something may have happened since the last _poll()."""
        raise NotImplementedError

    async def _wait_async(self, seconds: float) -> None:
        """_wait() without holding up the loop."""
        raise NotImplementedError

    def _ended(self) -> bool:
        return False

    def _wanted(self, timeout: Union[float, None, _AsOpened], copy: Optional[bool]
                ) -> Tuple[Optional[float], bool]:
        """Until when to wait, None = for ever, and whether to copy."""
        timeout = self.timeout if isinstance(timeout, _AsOpened) else timeout
        return (None if timeout is None else time.monotonic() + timeout,
                self.copies if copy is None else copy)

    def read(self, timeout: Union[float, None, _AsOpened] = _AS_OPENED,
             copy: Optional[bool] = None) -> Optional[Frame]:
        """The newest frame that was not returned before, waiting for one if need be.

        timeout: seconds, None = for ever, 0 = do not wait; without it what was said when
        opening. copy: True for memory of its own, False for a view that the writer will
        reuse (see Frame.valid), None for what was said when opening. Returns None when
        the time is over, when the stream has ended and until_eos was asked for, or when
        closed.
        """
        end, copy = self._wanted(timeout, copy)
        while not self.closed:
            frame = self._poll(copy)
            if frame is not None:
                return frame
            left = SLICE if end is None else end - time.monotonic()
            if self._ended() or left <= 0:
                break
            self._wait(min(left, SLICE))
        return None

    def __iter__(self) -> Iterator[Frame]:
        """The newest frame each time, until `timeout` seconds bring none."""
        while (frame := self.read()) is not None:
            yield frame

    async def read_async(self, timeout: Union[float, None, _AsOpened] = _AS_OPENED,
                         copy: Optional[bool] = None) -> Optional[Frame]:
        """read() for asyncio: other tasks of the loop run meanwhile, and no thread of its
        executor is used. One task at a time may wait."""
        end, copy = self._wanted(timeout, copy)
        if self._greedy:
            await asyncio.sleep(0)
        self._greedy = True
        while not self.closed:
            frame = self._poll(copy)
            if frame is not None:
                return frame
            left = SLICE if end is None else end - time.monotonic()
            if self._ended() or left <= 0:
                break
            await self._wait_async(min(left, SLICE))
            self._greedy = False
        return None

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """The same for asyncio; other tasks get their turn at each frame."""
        while (frame := await self.read_async()) is not None:
            yield frame

    def close(self) -> None:
        """Let go of the segment; frames that were handed out stay readable."""
        self.closed = True

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
