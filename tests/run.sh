#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs all tests: installs what is missing, builds, tests, and sums up in one last line.
#
#   tests/run.sh             everything
#   tests/run.sh NAME...     the tests of these names; `meson test -C build --list` has them
#
# As root the tests run in a network of their own, from which there is no way out.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILD_DIR=${BUILD_DIR:-build}
export PATH=/usr/bin:/bin:$PATH

scripts/install-deps.sh tests
scripts/build.sh

# Two at a time: many of them measure time, on what may be a small machine.
log=$BUILD_DIR/meson-logs/testlog.json
rm -f "$log"
tests/support/netns.sh meson test -C "$BUILD_DIR" --no-rebuild --num-processes 2 "$@" ||
  echo "meson test: exit status $?"
exec python3 tests/summary.py "$log"
