# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program with a small /dev/shm of its own."""
import os
import subprocess
import sys

import pytest

from ring_writer import PACKAGES


def run_with_small_shm(program, size="8m"):
    """Runs a program of Python; skips the test where that cannot be."""
    mount = f"mount -t tmpfs -o size={size} none /dev/shm && exec "
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + '"$0" -c "$1"', sys.executable, program],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": PACKAGES})
    if "unshare failed" in result.stderr or "permission denied" in result.stderr:
        pytest.skip("may not mount a /dev/shm of its own")
    assert result.returncode == 0, result.stdout + result.stderr
