#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tests/soak.sh [SECONDS]: two publishers that reload, readers that come, go and crash, for
# so long (300): what the viewing process holds has to stay as it was. See soak.py.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILD_DIR=${BUILD_DIR:-build}
export PATH=/usr/bin:/bin:$PATH

scripts/build.sh gst/libgstvdoninja.so tests/support/vdoninja-{handshake,publisher} >&2
BUILD_ROOT=$(cd "$BUILD_DIR" && pwd)
export BUILD_ROOT GST_PLUGIN_PATH=$BUILD_ROOT/gst GST_REGISTRY=$BUILD_ROOT/soak-registry.bin
exec tests/support/netns.sh python3 tests/soak.py "${1:-300}"
