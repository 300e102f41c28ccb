# SPDX-License-Identifier: MIT
"""Waiting for frames in asyncio: one inotify descriptor for all readers of a loop.

No event loop can poll a futex, so the writer also writes a byte of the file, of which
inotify tells. That is a hint: what counts is whether `wake` has changed. Where there is no
inotify to be had, or the writer is older than that byte, words are looked at each
millisecond. Considered and left: a thread that waits for all futexes (FUTEX_WAITV), since
each frame then goes by two threads that want the interpreter.
"""
from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import weakref
from typing import Dict, List, Optional, Set, Tuple

from . import _order
from ._layout import WAKE
from ._segment import Segment

_POLL = 0.001      # seconds between looks where nobody tells
_POLLED = 0        # stands for the number of a watch there; the kernel's are from 1
_TOUCHES = 3       # the minor version of the layout since which the writer tells
_MODIFY, _OVERFLOW = 0x2, 0x4000
_EVENT = struct.Struct("iIII")  # without a name, since what is watched is no folder

# Who waits: the word to look at, what it was, and until when, by the loop's clock.
_Waiters = Dict[asyncio.Future, Tuple[memoryview, int, float]]


class Inotify:
    """The calls that Python does not have. They return -1 where they are refused."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self.init = libc.inotify_init1
        self.add, self.remove = libc.inotify_add_watch, libc.inotify_rm_watch


class Watch:
    """What one reader waits for; its own once it has waited in a loop."""

    def __init__(self, segment: Segment) -> None:
        self.segment, self.words = segment, segment.words
        self.number = _POLLED
        self.waiters: Optional[_Waiters] = None


class _Watcher:
    """What all readers of one loop share. The loop alone keeps it, by the descriptor or by
    the timer: one that is closed lets go of it. Thread: that of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rings: Dict[int, _Waiters] = {}
        self._idle: Set[int] = set()  # of these the last frame woke nobody
        self._loop = loop
        self._timer: Optional[asyncio.TimerHandle] = None
        self._descriptor = -1
        try:
            self._inotify = Inotify()
            self._descriptor = self._inotify.init(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor >= 0:
                loop.add_reader(self._descriptor, self._heard)
        except (AttributeError, NotImplementedError, OSError):  # C library, loop, epoll
            self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close

    def waiters_of(self, watch: Watch) -> _Waiters:
        """Those who wait for the same; has its file watched if it is not."""
        waiters = watch.waiters
        if waiters is None or self.rings.get(watch.number) is not waiters:
            watch.number = _POLLED
            if self._descriptor >= 0 and watch.segment.minor >= _TOUCHES:
                path = f"/proc/self/fd/{watch.segment.fileno()}".encode()
                watch.number = max(_POLLED, self._inotify.add(self._descriptor, path,
                                                              _MODIFY))
            waiters = watch.waiters = self.rings.setdefault(watch.number, {})
        return waiters

    def alarm(self, until: float, polled: bool) -> None:
        """See to it that _due() runs then or earlier. Hardly ever anything to do: it is
        later for each frame than for the one before."""
        if polled:
            until = min(until, self._loop.time() + _POLL)
        if self._timer is None or until < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._tell(_POLLED)
        left = [until for waiters in self.rings.values()
                for future, (_, _, until) in waiters.items()
                if not _finished(future, until <= now)]
        if left:
            self.alarm(min(left), bool(self.rings.get(_POLLED)))

    def _heard(self) -> None:
        try:
            events = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        for number, mask, _, _ in _EVENT.iter_unpack(events):
            if mask & _OVERFLOW:
                for each in list(self.rings):
                    self._tell(each)
            elif mask & _MODIFY:
                self._tell(number)
            elif not self.rings.get(number):  # IN_IGNORED: the file is no more
                self.rings.pop(number, None)

    def _tell(self, number: int) -> None:
        """Wake those whose word has changed."""
        waiters = self.rings.get(number)
        if waiters:
            self._idle.discard(number)
            for future, (words, value, _) in waiters.items():
                _finished(future, words[WAKE] != value)
        elif waiters is None or number == _POLLED:
            return
        elif number not in self._idle:
            self._idle.add(number)  # a reader that is a little late
        else:
            # So that nobody is woken for frames that nobody wants; who waits adds it again.
            self._idle.discard(number)
            self._inotify.remove(self._descriptor, number)
            del self.rings[number]


def _finished(future: asyncio.Future, ready: bool) -> bool:
    if ready and not future.done():
        future.set_result(None)
    return future.done()


_watchers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _watcher_of(loop: asyncio.AbstractEventLoop) -> _Watcher:
    known = _watchers.get(loop)
    watcher = None if known is None else known()
    if watcher is None:
        watcher = _Watcher(loop)
        _watchers[loop] = weakref.ref(watcher)
    return watcher


async def changed(watch: Watch, value: int, seconds: float) -> None:
    """Return when the word is not `value` any more, or the time is over."""
    loop = asyncio.get_running_loop()
    watcher = _watcher_of(loop)
    waiters = watcher.waiters_of(watch)
    # Only now: what came before the file was watched has changed the word, what comes
    # after it is told.
    _order.fence()
    if watch.words[WAKE] != value:
        return
    future, until = loop.create_future(), loop.time() + seconds
    waiters[future] = (watch.words, value, until)
    watcher.alarm(until, watch.number == _POLLED)
    del watcher  # or this coroutine would keep the descriptor of a loop that was closed
    try:
        await future
    finally:
        del waiters[future]


def _after_fork() -> None:
    """The descriptors are those of the parent, which hears what is read from them."""
    watchers: List[Optional[_Watcher]] = [known() for known in _watchers.values()]
    _watchers.clear()
    for watcher in watchers:
        if watcher is not None:
            watcher.close()


os.register_at_fork(after_in_child=_after_fork)
