# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/loop.py: a stream through a function and out again, as a viewer sees it."""
import argparse
import os
import re
import subprocess
import sys

import pytest

import pipelines
import shmnumpy
from deadlines import seconds
from loopback import ROOT, Process, Publisher
from pipelines import needs_element

LOOP = os.path.join(ROOT, "examples", "loop.py")
sys.path.insert(0, os.path.dirname(LOOP))

from loop import pipeline  # noqa: E402


@needs_element
def test_viewer_sees_what_the_function_made(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def paint(picture):\n"
        "    assert picture.shape == (180, 320, 3)\n"
        "    return np.full((240, 320, 3), (0, 255, 0), np.uint8)\n")
    password = 'a "b\\" ! c d\''  # what would be syntax in the text of a pipeline
    with Publisher(["abc"], password=password) as publisher, Process(
            [sys.executable, LOOP, "--server", publisher.server, "--view", "abc", "--push",
             "result", "--work", "mine:paint", "--password", password], cwd=tmp_path) as loop:
        link = loop.expect("Open ")
        assert "view=result" in link and publisher.server.split("://")[1] in link
        loop.expect("added latency")
        with shmnumpy.launch("result", server=publisher.server, signaling="hosted",
                             password=password, timeout=seconds(20)) as frames:
            frame = frames.read()
            red, green, blue = frame.rgb().reshape(-1, 3).mean(0)
            assert frame.height == 240 and green > 200 and red < 60 and blue < 60
        loop.close()
    left = f"loop-{loop.process.pid}"
    assert not [file for file in os.listdir("/dev/shm") if left in file]


TEXTS = ["a b", 'a" ! fakesink name="b', "back\\slash\\", '"quotes"', '"', "NULL", "a\nb", "é!"]


@needs_element
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_given_is_no_syntax(text):
    args = argparse.Namespace(view=text, push=text, server=text, password=text, no_sound=True)
    playing = pipelines.Gst.parse_launch(pipeline(args, "ring") + " ! fakesink")
    for element in map(playing.get_by_name, ("in", "out")):
        assert element.get_property("stream-id") == text
        assert element.get_property("server") == text


@pytest.mark.parametrize("arguments,told", [
    (["--view", "abc"], "--local has its own"),
    (["--view", "abc", "--push", "abc"], "needs another id"),
    (["--view", "a", "--push", "b", "--work", "paint"], "MODULE:FUNCTION"),
    (["--view", "a", "--push", "b", "--work", "os:nothing"], "os:nothing: .*MODULE:FUNCTION"),
    (["--view", "a", "--push", "b", "--work", "nowhere:a"], "No module named 'nowhere'; give"),
    (["--view", "a", "--push", "b", "--work", "os:name"], "no function but str; give"),
])
def test_options_that_cannot_be_are_named(arguments, told):
    result = subprocess.run([sys.executable, LOOP, *arguments], capture_output=True,
                            text=True)
    assert result.returncode and re.search(told, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
