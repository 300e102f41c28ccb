#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sums up meson's testlog.json: what was skipped and why, what failed with its output, and
one last line that counts test cases. GstCheck and pytest say how many are in a program; any
other program is one case.
"""
import json
import re
import sys
from typing import Iterator, NamedTuple

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.M)
PYTEST = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s", re.M)
REASON = re.compile(r"^(?:SKIPPED \[|skip: ).*", re.M)
# GstCheck's line with what follows of its message, or pytest's heading.
FAILURE = re.compile(r"^(?:\S+:\d+:[FE]:.*(?:\n(?!\S+:\d+:[FE]:|Check suite |\d+%: ).+){,12}"
                     r"|_+ (?:ERROR |test_).*)", re.M)
SKIPPED = ("SKIP", "EXPECTEDFAIL")


class Count(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Count") -> "Count":  # type: ignore[override]
        return Count(*(a + b for a, b in zip(self, other)))

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def cases(output: str) -> Count:
    """The test cases that a program says it ran; none if it does not say."""
    total = Count()
    for checks, failures, errors in CHECK.findall(output):
        bad = int(failures) + int(errors)
        total += Count(int(checks) - bad, bad)
    for line in PYTEST.findall(output):
        found = dict(reversed(part.split(" ")) for part in line.split(", "))
        number = {name.rstrip("s"): int(count) for name, count in found.items()}
        total += Count(number.get("passed", 0),
                       number.get("failed", 0) + number.get("error", 0),
                       number.get("skipped", 0) + number.get("xfailed", 0))
    return total


def judge(test: dict) -> Count:
    count = cases(test.get("stdout", "") + test.get("stderr", ""))
    if test["result"] == "OK":
        return count if any(count) else Count(passed=1)
    if test["result"] in SKIPPED:
        return count if count.skipped else Count(skipped=1)
    return count if count.failed else count + Count(failed=1)


def read(path: str) -> Iterator[dict]:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                yield json.loads(line)
    except FileNotFoundError:
        pass


def failures(output: str) -> Iterator[str]:
    for message in FAILURE.findall(output):
        for line in message.split("\n"):
            yield line[:160]


def main() -> int:
    total, tests = Count(), list(read(sys.argv[1]))
    for test in tests:
        count, output = judge(test), test.get("stdout", "") + test.get("stderr", "")
        total += count
        if count.skipped:
            reasons = REASON.findall(output) or [output.strip() or "no reason given"]
            print(f"\nSkipped in {test['name']}:", *reasons, sep="\n  ")
    for test in tests:
        if judge(test).failed:
            print(f"\n===== {test['name']}: {test['result']}, exit status "
                  f"{test.get('returncode')}, {test.get('duration', 0):.1f} s =====")
            print(test.get("stdout", "") + test.get("stderr", ""))
            print(f"===== end of {test['name']} =====")
    # Once more in short, for who sees the end of a long log alone.
    print()
    for test in tests:
        if judge(test).failed:
            output = test.get("stdout", "") + test.get("stderr", "")
            print(f"Failed in {test['name']} ({test['result']}):", *failures(output),
                  sep="\n  ")
    if not tests:
        print("\nNo test ran.")
        total = Count(failed=1)
    print(f"\n{total}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
