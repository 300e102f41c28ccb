# SPDX-License-Identifier: MIT
"""Waiting for frames in asyncio: one thread for all readers of the process.

No event loop can poll a futex. A thread of the executor for each reader takes three times
the CPU of this with 50 readers (tests/bench/py-async.py), and the default executor has few
threads. An eventfd would have to be handed to the writer, which does not know its readers.
Linux 5.16 waits for many futexes in one call, so one thread waits for all and tells the
loops; elsewhere it looks each millisecond.
"""
from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import sys
import threading
import time
from typing import Callable, Dict, List, Optional

from ._layout import WAKE
from ._order import futex_number
from ._segment import Segment

_MOST = 127      # futexes besides its own that one call takes
_IDLE = 1.0      # seconds after which nobody is assumed to come back
_POLL = 0.001
_WAITV = 449     # the number of the system call on every machine
_U32_SHARED = 2  # FUTEX_32, without FUTEX_PRIVATE_FLAG
_MONOTONIC = 1


class _Item(ctypes.Structure):
    """struct futex_waitv of the kernel."""

    _fields_ = [("value", ctypes.c_uint64), ("address", ctypes.c_uint64),
                ("flags", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


def _pick_waitv() -> Optional[Callable[[ctypes.Array, int, float], None]]:
    """FUTEX_WAITV(items, how many, seconds); None where the kernel does not have it, or a
    container forbids it."""
    if futex_number() is None or not sys.platform.startswith("linux"):
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    number = ctypes.c_long(_WAITV)
    syscall(number, None, ctypes.c_uint(0), ctypes.c_uint(0), None, ctypes.c_int(0))
    if ctypes.get_errno() != errno.EINVAL:
        return None

    def wait(items: ctypes.Array, count: int, seconds: float) -> None:
        until = time.monotonic_ns() + int(seconds * 1e9)
        limit = (ctypes.c_int64 * 2)(until // 10**9, until % 10**9)
        syscall(number, items, ctypes.c_uint(count), ctypes.c_uint(0), limit,
                ctypes.c_int(_MONOTONIC))

    return wait


waitv = _pick_waitv()
_lock = threading.Lock()  # for the wakers and all that is in them


class Watch:
    """The word of one reader, and the future of who waits for it to change."""

    def __init__(self, segment: Segment) -> None:
        self.segment, self.words = segment, segment.words
        self.value = 0
        self.waker: Optional[_Waker] = None  # that looks at it now
        self.loop: Optional[asyncio.AbstractEventLoop] = None
        self.future: Optional[asyncio.Future] = None


def _finish(futures: List[asyncio.Future]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class _Waker:
    """A thread that looks at up to _MOST words, as long as somebody waits."""

    def __init__(self) -> None:
        self.watches: List[Watch] = []
        self._own = ctypes.c_uint32()  # is counted up to have the thread look at its list
        self._items = (_Item * (_MOST + 1))()
        self._items[0] = _Item(0, ctypes.addressof(self._own), _U32_SHARED, 0)
        threading.Thread(target=self._run, name="shmnumpy", daemon=True).start()

    def add(self, watch: Watch) -> None:
        watch.waker, watch.value = self, watch.words[WAKE]
        self.watches.append(watch)
        self._arrange()
        self._own.value += 1
        if waitv is not None:
            ctypes.CDLL(None).syscall(ctypes.c_long(futex_number() or 0),
                                      ctypes.byref(self._own), 1, 1, None, None, 0)

    def _arrange(self) -> None:
        # The kernel may be reading this. What it finds is the old or the new, all mapped,
        # and after a mixture _own has it come back.
        for index, watch in enumerate(self.watches, 1):
            self._items[index] = _Item(watch.value, watch.segment.wake_address(),
                                       _U32_SHARED, 0)

    def _run(self) -> None:
        look = time.monotonic() + _IDLE
        while True:
            with _lock:
                count = len(self.watches) + 1
                self._items[0].value = self._own.value
            if waitv is not None:
                waitv(self._items, count, _IDLE)
            else:
                time.sleep(_POLL)
            idle = time.monotonic() >= look
            with _lock:
                if not self._tell(idle):
                    _wakers.remove(self)
                    return
            if idle:
                look = time.monotonic() + _IDLE

    def _tell(self, idle: bool) -> bool:
        """Tell those whose word has changed, and drop those for whom nobody waits; returns
        whether any are left."""
        ready: Dict[asyncio.AbstractEventLoop, List[asyncio.Future]] = {}
        dropped = False
        for index, watch in enumerate(self.watches, 1):
            value, future = watch.words[WAKE], watch.future
            if value == watch.value and not idle:
                continue
            if future is None or watch.loop is None:
                watch.waker, dropped = None, True
            elif value != watch.value:
                ready.setdefault(watch.loop, []).append(future)
                watch.future = None
            watch.value = self._items[index].value = value
        for loop, futures in ready.items():
            try:
                loop.call_soon_threadsafe(_finish, futures)
            except RuntimeError:  # the loop is closed
                pass
        if dropped:
            self.watches = [watch for watch in self.watches if watch.waker is self]
            self._arrange()
        return bool(self.watches)


_wakers: List[_Waker] = []


def _add(watch: Watch) -> None:
    waker = next((one for one in _wakers if len(one.watches) < _MOST), None)
    if waker is None:
        waker = _Waker()
        _wakers.append(waker)
    waker.add(watch)


async def changed(watch: Watch, value: int, seconds: float) -> None:
    """Return when the word is not `value` any more, or the time is over."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    with _lock:  # never for longer than the list takes
        watch.loop, watch.future = loop, future
        if watch.waker not in _wakers:
            _add(watch)
    timer = loop.call_later(seconds, _finish, [future])
    try:
        if watch.words[WAKE] == value:
            await future
    finally:
        timer.cancel()
        watch.future = None


def _after_fork() -> None:
    """The threads of the parent are not here, and one of them may have had the lock."""
    global _lock
    _lock = threading.Lock()
    _wakers.clear()


os.register_at_fork(after_in_child=_after_fork)
