# SPDX-License-Identifier: LGPL-2.1-or-later
"""By how much a deadline is longer than a test says: VDN_TEST_TIME_FACTOR, for machines on
which everything takes longer. Only for how long a test waits before it gives up, never
for what it measures. tests/support/time-factor.h has the same for C++."""
import os

_FACTOR = max(1, int(os.environ.get("VDN_TEST_TIME_FACTOR") or 1))


def seconds(usual):
    """How long to wait for what usually comes within that many seconds."""
    return usual * _FACTOR
