# SPDX-License-Identifier: MIT
"""Order of loads between processes, and sleeping until another wakes us."""
from __future__ import annotations

import ctypes
import platform
import sys
import threading
from typing import Any, Callable, Optional


def lock_fence() -> None:
    """A fence where there is no libatomic: what precedes the release of a lock comes
    before what follows its acquisition.

    A lock is a semaphore of libc. ARMv8 keeps a store-release (stlxr, casl) before a later
    load-acquire (ldaxr, casa), ARMv7 and ARMv6 have a whole barrier in either. A mutex
    would not do: glibc takes it without any of that in a process of one thread. Nor
    sched_yield, which contains a barrier, but takes 10 ms beside busy processes.
    """
    lock = threading.Lock()
    with lock:
        pass
    with lock:
        pass


def pick_fence() -> Callable[[], Any]:
    """Keeps loads before it before loads after it, and stores likewise. x86 does so by
    itself, others need help."""
    if platform.machine() in ("x86_64", "AMD64", "i686", "i386"):
        return lambda: None
    try:  # PyDLL: shorter than letting other threads have the interpreter
        atomic = ctypes.PyDLL("libatomic.so.1").atomic_thread_fence
        return lambda: atomic(5)
    except (OSError, AttributeError):
        return lock_fence


def futex_number() -> Optional[int]:
    """The number of the system call, None where it is not known."""
    machine = platform.machine()
    if sys.maxsize > 2**32:
        return {"x86_64": 202, "aarch64": 98, "riscv64": 98}.get(machine)
    # A 32-bit Python may run on a 64-bit kernel.
    return 240 if machine[:3] in ("arm", "aar", "i68", "i38", "x86") else None


def pick_futex() -> Optional[Callable[[int, int, float], None]]:
    """FUTEX_WAIT(address, value, seconds); None where the call is not known."""
    number = futex_number()
    if number is None or not sys.platform.startswith("linux"):
        return None
    syscall = ctypes.CDLL(None).syscall

    def wait(address: int, value: int, seconds: float) -> None:
        limit = (ctypes.c_long * 2)(int(seconds), int(seconds % 1 * 1e9))
        syscall(ctypes.c_long(number), ctypes.c_void_p(address), 0,
                ctypes.c_uint32(value), limit, None, 0)

    return wait


fence = pick_fence()
futex = pick_futex()
