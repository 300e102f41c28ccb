# SPDX-License-Identifier: LGPL-2.1-or-later
"""The documents name what gst-inspect-1.0 shows of this build, and GStreamer takes each value
of a property that they or the messages of the elements show."""
import glob
import os
import re
import shlex
import subprocess
import sys

import pytest

import pipelines

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ELEMENTS = ("vdoninjasrc", "vdoninjasink", "shmnumpysink", "shmnumpysrc")
CODE = re.compile(r"^ *```.*?^ *```|(?<!`)`[^`\n]+`", re.M | re.S)
PYTHON = re.compile(r"^ *```python\n.*?^ *```$", re.M | re.S)  # test_readme runs them
# NAME=VALUE as a word of a command line: not a field of caps, nor a parameter of a link.
SETTING = re.compile(r"""(?<![^\s`])([a-z][a-z-]*)=((?:"[^"]*"|'[^']*'|[^\s"'`])+)""")


def settings_shown():
    """Each NAME=VALUE that somebody may copy, once."""
    found = {}
    for path in (glob.glob(os.path.join(ROOT, "*.md")) +
                 glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        with open(path, encoding="utf-8") as file:
            for code in CODE.findall(PYTHON.sub("", file.read())):
                found.update(dict.fromkeys(match[0] for match in SETTING.finditer(code)))
    for path in glob.glob(os.path.join(ROOT, "gst", "vdoninja", "**", "*.cpp"),
                          recursive=True):
        with open(path, encoding="utf-8") as file:
            for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', file.read()):
                text = text.replace('\\"', '"')
                found.update(dict.fromkeys(match[0].rstrip(",;")
                                           for match in SETTING.finditer(text)))
    return sorted(found)


def settings_of_ours():
    """(elements, name, as it is typed) of those that are properties of our elements."""
    if pipelines.MISSING:
        return
    elements = [pipelines.Gst.ElementFactory.make(name) for name in ELEMENTS]
    for text in settings_shown():
        name = text.partition("=")[0]
        kinds = [kind for kind, element in zip(ELEMENTS, elements)
                 if element is not None and element.find_property(name)]
        if kinds:
            yield kinds, name, text


SETTINGS = list(settings_of_ours())


@pipelines.needs_element
def test_settings_are_found():
    names = {name for _, name, _ in SETTINGS}
    assert {"turn-servers", "video-codecs", "stream-id", "password", "latency",
            "shm-name"} <= names


@pytest.mark.parametrize("kinds,name,text", SETTINGS, ids=[text for *_, text in SETTINGS])
def test_value_shown_is_taken(kinds, name, text):
    """By one of the elements that have the property: a name may be that of several, whose
    values differ."""
    refusals = [refusal for kind in kinds if (refusal := refusal_of(kind, name, text))]
    assert len(refusals) < len(kinds), refusals


def refusal_of(kind, name, text):
    """Why the element does not take it as a shell hands it to gst-launch-1.0, or None."""
    try:
        element = pipelines.Gst.parse_launchv([kind, *shlex.split(text)])
    except pipelines.GLib.Error as error:
        return error.message
    shown = shlex.split(text)[0].partition("=")[2]
    pspec = element.find_property(name)
    if pspec.value_type.name == "GstValueArray":
        try:
            items = list(element.get_property(name))
        except TypeError:  # PyGObject reads no lists without python3-gst-1.0
            return None
        good = items and not any(mark in item for item in items for mark in '<>", ')
        return None if good else f"{text} is {items}"
    if pspec.value_type.name in ("guint", "gint", "guint64"):
        base = 8 if shown.startswith("0") else 10  # as for chmod
        value = element.get_property(name)  # out of range it is another
        return None if value == int(shown, base) else f"{text} is {value}"
    return None


def test_tables_have_the_properties_of_this_build():
    result = subprocess.run(
        [sys.executable, os.path.join(ROOT, "scripts", "properties.py")],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("element,some", [
    ("vdoninjasrc", {"on-message", "get-stats", "stream-id"}),
    ("vdoninjasink", {"viewer-joined", "kick", "encoder-setup"})])
def test_docs_name_every_signal_action_and_pad_property(element, some):
    result = subprocess.run(["gst-inspect-1.0", "--no-colors", element],
                            capture_output=True, text=True, check=True)
    inherited = {"pad-added", "pad-removed", "no-more-pads"}
    names = set(re.findall(r'^  "([a-z-]+)" (?::|->)', result.stdout, re.M)) - inherited
    names |= set(re.findall(r"^      ([a-z-]+) +: ", result.stdout, re.M))
    assert some <= names, result.stdout
    with open(os.path.join(ROOT, "docs", "elements.md"), encoding="utf-8") as file:
        text = file.read()
    missing = sorted(name for name in names if f"`{name}`" not in text)
    assert not missing, missing
