#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps the tables of properties in docs/properties.md equal to what gst-inspect-1.0 says.

meson devenv -C build ../scripts/properties.py           complains about differences
meson devenv -C build ../scripts/properties.py --write   writes the tables
"""
import os
import re
import subprocess
import sys
from typing import Dict, List

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs",
                    "properties.md")
# Element: an element of the same base class, whose properties are left out, and the
# inherited properties that are worth a row all the same.
ELEMENTS = {"vdoninjasrc": ("bin", ()), "vdoninjasink": ("bin", ()),
            "shmnumpysink": ("fakesink", ("sync",)), "shmnumpysrc": ("fakesrc", ())}
HIDDEN = ("show-preroll-frame",)


def inspect(element: str) -> Dict[str, List[str]]:
    """Property -> its lines in the output of gst-inspect-1.0, the description first."""
    result = subprocess.run(["gst-inspect-1.0", "--no-colors", element],
                            capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"gst-inspect-1.0 does not know {element}: is GST_PLUGIN_PATH set?\n"
                 + result.stderr)
    text = result.stdout.partition("\nElement Properties:\n")[2]
    text = text.partition("\nElement Signals:")[0]
    properties: Dict[str, List[str]] = {}
    lines: List[str] = []
    for line in text.splitlines():
        start = re.match(r"  ([a-z0-9-]+) *: (.*)", line)
        if start:
            lines = properties.setdefault(start[1], [start[2]])
        elif line.strip():
            lines.append(line.strip())
    return properties


def kind(name: str, lines: List[str]) -> str:
    """Type and default value, in a few words."""
    text = "\n".join(lines)
    number = re.search(r"(?:Unsigned )?Integer(?:64)?\. Range: (-?\d+) - (\d+) Default: (-?\d+)",
                       text)
    if number:
        most = "or more" if len(number[2]) > 12 else f"to {number[2]}"
        if name == "mode":  # as it may be written, and as everybody knows it
            lowest, highest, usual = (f"0{int(value):o}" for value in number.groups())
            return f"{usual} ({lowest} to {highest})"
        return f"{number[3]} ({number[1]} {most})"
    boolean = re.search(r"Boolean\. Default: (\w+)", text)
    if boolean:
        return boolean[1]
    choice = re.search(r'(Enum|Flags) "\w+" Default: \w+, "([\w-]+)"', text)
    if choice:
        if choice[1] == "Flags":
            return choice[2]
        values = re.findall(r"\(\d+\): ([\w-]+) ", text)
        if "readable\n" in text + "\n" and "writable" not in text:
            return ", ".join(values)
        return ", ".join(f"**{v}**" if v == choice[2] else v for v in values)
    string = re.search(r"String\. Default: (.*?)( Write only)?$", text, re.M)
    if string:
        return "text" if string[1] == "null" else f"`{string[1].strip(chr(34))}`"
    if "GstValueArray" in text:
        return "list"
    named = re.search(r'(?:Object|Boxed pointer) of type "(\w+)"', text)
    return named[1] if named else ""


def when(lines: List[str]) -> str:
    flags = next(line for line in lines if line.startswith("flags:"))
    if "writable" not in flags:
        return "read only"
    return "any time" if "PLAYING" in flags or "changeable" not in flags else "before start"


def table(element: str) -> str:
    base, kept = ELEMENTS[element]
    inherited = set(inspect(base)) - set(kept)
    rows = ["| property | default, other values | set | what it does |", "|---|---|---|---|"]
    for name, lines in sorted(inspect(element).items()):
        if name in HIDDEN or name in inherited and not (name == "stats" and
                                                       element.startswith("vdoninja")):
            continue
        blurb = lines[0].replace("|", "\\|").replace("<", "&lt;")
        rows.append(f"| `{name}` | {kind(name, lines)} | {when(lines)} | {blurb} |")
    return "\n".join(rows)


def main() -> int:
    with open(PAGE, encoding="utf-8") as file:
        old = new = file.read()
    for element in ELEMENTS:
        start, end = f"<!-- properties of {element} -->\n", "\n<!-- end of properties -->"
        before, found, rest = new.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            sys.exit(f"docs/properties.md has no place for the properties of {element}")
        new = before + start + table(element) + end + after
    if new == old:
        return 0
    if "--write" not in sys.argv:
        print("docs/properties.md differs from gst-inspect-1.0; scripts/properties.py --write")
        return 1
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
