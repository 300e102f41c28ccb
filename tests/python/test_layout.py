# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/shm-format.md and the reader say what shm-layout.h asserts."""
import os
import re

import pytest

import shmnumpy
from shmnumpy import _file, _layout

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


HEADER = read("gst", "shmnumpy", "shm-layout.h")
ASSERTED = {struct: {} for struct in ("shmnumpy_header", "shmnumpy_slot")}
for _struct, _field, _offset in re.findall(
        r"SHMNUMPY_AT_\((shmnumpy_\w+), (\w+), (\w+)\);", HEADER):
    ASSERTED.get(_struct, {})[_field] = int(_offset, 0)


@pytest.mark.parametrize("struct, title", [
    ("shmnumpy_header", "### Header"), ("shmnumpy_slot", "### Slot descriptor")])
def test_document_gives_every_offset(struct, title):
    section = read("docs", "shm-format.md").split(title)[1].split("\n#")[0]
    written = {}
    for offsets, kind, names in re.findall(
            r"^\| ([0-9A-Fa-fx, ]+?)(?: \*a\*)? \| ([^|]+) \| ([^|]*`[^|]*) \|", section,
            re.M):
        places = [int(offset, 0) for offset in offsets.split(", ")]
        for index, field in enumerate(re.findall(r"`(\w+)`", names)):
            written[field] = (places[index] if index < len(places)
                              else places[-1] + 4 * (index - len(places) + 1))
    assert len(written) >= 15
    assert written == {field: ASSERTED[struct].get(field) for field in written}
    unnamed = {"reserved0", "reserved1", "fps_n", "fps_d", "par_n", "par_d"}
    silent = {field for field in ASSERTED[struct] if not field.startswith("stat_")}
    assert silent - unnamed - set(written) == set()


def test_reader_uses_these_offsets():
    header, slot = ASSERTED["shmnumpy_header"], ASSERTED["shmnumpy_slot"]
    assert _layout.LATEST * 4 == header["latest"]
    assert _layout.HEARTBEAT == header["heartbeat"]
    assert _layout.STATE * 4 == header["state"]
    assert _layout.WAKE * 4 == header["wake"]
    assert _layout.HEADER.size == header["writer_start_boottime_ns"] + 8
    assert _layout.SLOT.size == slot["due_monotonic"] + 8


def test_states_and_formats_have_the_names_of_the_layout():
    states = dict(re.findall(r"SHMNUMPY_STATE_(\w+) = (\d)", HEADER))
    assert states == {state.name: str(state.value) for state in shmnumpy.State
                      if state.name != "ABSENT"}
    formats = re.findall(r'_FORMATS "(.*)"', HEADER)
    assert set(", ".join(formats).split(", ")) == set(_layout.FORMATS)


def test_longest_name_is_that_of_the_layout():
    assert _file.LONGEST == int(re.search(r"SHMNUMPY_MAX_NAME (\d+)", HEADER)[1])
