# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tables of properties in README.md are those of gst-inspect-1.0."""
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def test_readme_has_the_properties_of_this_build():
    result = subprocess.run(
        [sys.executable, os.path.join(ROOT, "scripts", "properties.py")],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
