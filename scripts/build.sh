#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds into build/, or into the folder that BUILD_DIR names. Arguments are targets of
# ninja; without them everything is built.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-build}

# Debian's tools and Python first: another Python on PATH would not see its packages.
export PATH=/usr/bin:/bin:$PATH
if [[ ! -f $build/build.ninja ]]; then
  meson setup "$build"
fi
# A free core keeps a Raspberry Pi usable, and memory is short there.
ninja -C "$build" "$@"
