# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fixture `name` and the modules of tests/python, tests/support and python."""
import importlib.util
import os
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TESTS, "support"))

_spec = importlib.util.spec_from_file_location(
    "python_conftest", os.path.join(TESTS, "python", "conftest.py"))
_python = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_python)
name = _python.name
