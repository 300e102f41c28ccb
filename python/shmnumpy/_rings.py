# SPDX-License-Identifier: MIT
"""What is in /dev/shm, and removing what dead writers left there."""
from __future__ import annotations

import fcntl
import os
from typing import Iterator, List, Optional

from ._errors import FormatError
from ._file import DIRECTORY, File, is_name, open_file, segment_path
from ._layout import MAGIC


def hidden_link(path: str) -> str:
    """The second link by which the writer keeps a file whose name somebody removed."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.keep"


def names() -> List[str]:
    """Of all rings, also those whose visible name somebody removed. Anybody may have made
    them: they need not be UTF-8, nor fit to be printed."""
    found = set()
    for entry in os.listdir(DIRECTORY):
        if entry.startswith(".") and entry.endswith(".ring.keep"):
            entry = entry[1:-len(".keep")]
        if entry.endswith(".ring") and not entry.startswith("."):
            found.add(entry[:-len(".ring")])
    return sorted(filter(is_name, found))


def _open_link(path: str) -> Optional[File]:
    try:
        return open_file(path)
    except (OSError, FormatError):  # somebody else's, whatever it is
        return None


def _dead(path: str) -> Iterator[File]:
    """Files of a ring under both of its links that no writer holds. The lock is ours as
    long as they are open, so that no new writer takes the name meanwhile."""
    for link in (path, hidden_link(path)):
        file = _open_link(link)
        if file is None or os.pread(file.fileno(), 8, 0) != MAGIC:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        yield file


def _unlink(path: str, inode: int) -> None:
    """Remove the links of a file, and nothing that has the names by now."""
    for link in (path, hidden_link(path)):
        try:
            if os.lstat(link).st_ino == inode:
                os.unlink(link)
        except FileNotFoundError:
            pass


def remove_dead(name: str) -> int:
    """Remove what a dead writer left under this name; returns bytes that were freed, 0 if
    the writer lives or there is nothing. Raises PermissionError for another user's."""
    ring, legacy = segment_path(name, ".ring"), segment_path(name)
    freed, held = 0, []
    for file in _dead(ring):
        held.append(file)  # and with it the lock
        about = os.fstat(file.fileno())
        _unlink(ring, about.st_ino)
        freed += about.st_blocks * 512
    kept = _open_link(hidden_link(legacy)) if held else None
    if kept is not None:  # one without our link is another program's
        about = os.fstat(kept.fileno())
        _unlink(legacy, about.st_ino)
        freed += about.st_blocks * 512
    return freed
