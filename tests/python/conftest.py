# SPDX-License-Identifier: LGPL-2.1-or-later
import glob
import os
import secrets
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "python"))

import pipelines  # noqa: E402
from ring_writer import PACKAGES  # noqa: E402


@pytest.fixture
def name():
    """A name of shared memory that no one else uses; what is left of it is removed."""
    unique = f"test-{secrets.token_hex(6)}"
    yield unique
    for pattern in (f"/dev/shm/{unique}*", f"/dev/shm/.{unique}*"):
        for path in glob.glob(pattern):
            os.unlink(path)


@pytest.fixture
def copied():
    """A folder that every user may read, with nothing in it but a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(os.path.join(PACKAGES, "shmnumpy"), f"{folder}/shmnumpy",
                        ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


@pytest.fixture
def stream(name):
    """The name of a live ring, 320x240 RGB at 60 frames a second, a ball moving."""
    if pipelines.MISSING:
        pytest.skip(pipelines.MISSING)
    with pipelines.Pipeline(
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=RGB,width=320,"
            f"height=240,framerate=60/1 ! shmnumpysink shm-name={name} legacy=never"):
        yield name
