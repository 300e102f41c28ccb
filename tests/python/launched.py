# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of shmnumpy.launch() share."""
import glob
import os
import select

from deadlines import seconds

LIVE = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=60/1"


def left(name):
    return glob.glob(f"/dev/shm/{name}*") + glob.glob(f"/dev/shm/.{name}*")


def child(frames):
    return frames._player._process.pid


def ends(pid):
    """Waits until a process has ended, whosever child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds(20))[0])
    finally:
        os.close(descriptor)
