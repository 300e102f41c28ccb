# SPDX-License-Identifier: LGPL-2.1-or-later
"""README.md and docs/elements.md name what gst-inspect-1.0 shows of this build."""
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def test_readme_has_the_properties_of_this_build():
    result = subprocess.run(
        [sys.executable, os.path.join(ROOT, "scripts", "properties.py")],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_docs_name_every_signal_action_and_pad_property():
    result = subprocess.run(["gst-inspect-1.0", "--no-colors", "vdoninjasrc"],
                            capture_output=True, text=True, check=True)
    inherited = {"pad-added", "pad-removed", "no-more-pads"}
    names = set(re.findall(r'^  "([a-z-]+)" (?::|->)', result.stdout, re.M)) - inherited
    names |= set(re.findall(r"^      ([a-z-]+) +: ", result.stdout, re.M))
    assert {"on-message", "get-stats", "stream-id"} <= names, result.stdout
    with open(os.path.join(ROOT, "docs", "elements.md"), encoding="utf-8") as file:
        text = file.read()
    missing = sorted(name for name in names if f"`{name}`" not in text)
    assert not missing, missing
