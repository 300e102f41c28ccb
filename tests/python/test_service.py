# SPDX-License-Identifier: LGPL-2.1-or-later
"""The systemd unit of docs/recipes.md: systemd accepts it, and its line plays, stops and
leaves what the text says."""
import configparser
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import shmnumpy
from loopback import ROOT, Process, Publisher
from test_readme import adapt

with open(os.path.join(ROOT, "docs", "recipes.md"), encoding="utf-8") as recipes:
    TEXT = recipes.read()
UNIT = re.search(r"```ini\n(.*?)```", TEXT, re.S)[1]
SERVICE = configparser.ConfigParser(interpolation=None)
SERVICE.optionxform = str
SERVICE.read_string(UNIT)
SERVICE = SERVICE["Service"]


def test_systemd_accepts_it(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "vdoninja.service"
    unit.write_text(UNIT)
    checked = subprocess.run(["systemd-analyze", "verify", unit], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.fixture
def service(name):
    """The pipeline of ExecStart, with frames arriving; the program is looked for on PATH."""
    program, *_ = shlex.split(SERVICE["ExecStart"])
    with Publisher(["abc"]) as publisher:
        line = adapt(SERVICE["ExecStart"], publisher.server, name)
        assert f"shm-name={name}" in line
        # A sanitizer would report a crash and exit.
        options = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"
        with Process([os.path.basename(program), *shlex.split(line)],
                     env={**os.environ, "ASAN_OPTIONS": options}) as process:
            with shmnumpy.open(name, timeout=40) as frames:
                assert next(iter(frames)).array.shape == (180, 320, 3)
            yield process


def files(name):
    return {os.path.basename(path) for hidden in ("", ".")
            for path in glob.glob(f"/dev/shm/{hidden}{name}*")}


def test_it_stops_and_leaves_nothing(service, name):
    service.process.send_signal(getattr(signal, SERVICE["KillSignal"]))
    assert service.wait() == 0
    assert files(name) == set()


def test_a_crash_ends_it(service):
    """Or systemd could not restart it: without --no-fault gst-launch-1.0 waits for gdb."""
    service.process.send_signal(signal.SIGSEGV)
    assert service.wait() == -signal.SIGSEGV


def test_what_a_killed_one_leaves_is_removed_as_documented(service, name):
    service.process.terminate()
    service.wait()
    assert files(name) == {name, f"{name}.ring", f".{name}.keep", f".{name}.ring.keep"}
    command = re.search(r"^ *(rm .*/dev/shm/.*)$", TEXT, re.M)[1]
    subprocess.run(["bash", "-c", command.replace("abc", name)], check=True)
    assert files(name) == set()
