# SPDX-License-Identifier: MIT
"""Names and descriptors of shared memory."""
from __future__ import annotations

import os
import stat
from typing import Callable, Optional

from ._errors import FormatError

DIRECTORY = "/dev/shm"
LONGEST = 244  # bytes of a name: SHMNUMPY_MAX_NAME


class File:
    """A descriptor that is closed when nothing refers to it any more: frames that were
    handed out may need it longer than the reader that opened it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._descriptor)


def open_file(path: str) -> Optional[File]:
    """The segment opened for reading only, or None if it does not exist.

    Not SharedMemory: before Python 3.13 its resource tracker unlinks what it only read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = File(os.open(path, flags))
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise FormatError(f"{path} is not a regular file")
    return file


def is_name(name: str) -> bool:
    """Whether a writer can have it: what it adds has to fit into a file's name, too."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return (0 < length <= LONGEST and name not in (".", "..") and "/" not in name
            and "\0" not in name)


def plain_name(name: str) -> str:
    """Without the slash in front that shm_open() has; raises ValueError for what is none."""
    plain = name[1:] if name.startswith("/") else name
    if not is_name(plain):
        raise ValueError(f"{plain!r} is no name of shared memory: 1 to {LONGEST} bytes, "
                         "no slash and no NUL")
    return plain


def segment_path(name: str, suffix: str = "") -> str:
    return f"{DIRECTORY}/{plain_name(name)}{suffix}"
