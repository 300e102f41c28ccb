#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Measures what README and docs claim, beside shmsink, appsink with Python and publish.py,
# and sums up in one table and one plot:
#
#   tests/bench/run.sh [--publish-py DIR] [--short] [OUTPUT_DIR]     (build/bench)
#
# DIR is a checkout of Raspberry.Ninja; without it the statements of its new_sample() are
# measured, but not the program as a whole. --short is for a look, not for figures. What
# the programs print stays in OUTPUT_DIR/*.txt; table.md and figures.png are made of it.
# Copy those into docs/ (figures.md, images/) when they are from a machine that is idle.
set -euo pipefail
cd "$(dirname "$0")/../.."

publish_py=() frames=200 rounds=2 seconds=6 output=
while [[ $# -gt 0 ]]; do
  case $1 in
  --publish-py)
    publish_py=(--publish-py "${2?--publish-py needs a folder}")
    shift
    ;;
  --short) frames=60 rounds=1 seconds=4 ;;
  -*)
    sed -n '3,11s/^# \?//p' "$0" >&2
    exit 2
    ;;
  *) output=$1 ;;
  esac
  shift
done

export BUILD_DIR=${BUILD_DIR:-build} PATH=/usr/bin:/bin:$PATH
scripts/build.sh gst/libgstvdoninja.so tests/support/vdoninja-{handshake,publisher} \
  tests/bench/{shm-cost,py-writer,decode-beside}
BUILD_ROOT=$(realpath "$BUILD_DIR")
export BUILD_ROOT SOURCE_ROOT=$PWD PYTHONPATH=$PWD/python
export GST_PLUGIN_PATH=$BUILD_ROOT/gst GST_REGISTRY=$BUILD_ROOT/registry.bin
output=${output:-$BUILD_DIR/bench}
mkdir -p "$output"

# measure NAME COMMAND...: a bound that is exceeded is told, and does not end the rest.
measure() {
  local name=$1
  shift
  echo "$name: $*" >&2
  "$@" >"$output/$name.txt" || echo "$name: exit status $?" >&2
}

bench=tests/bench
measure shm /usr/bin/python3 "$bench/shm-python-path.py" "$BUILD_ROOT/tests/bench/shm-cost"
measure latency /usr/bin/python3 "$bench/py-latency.py" --frames "$frames" --rounds "$rounds"
measure decode /usr/bin/python3 "$bench/decode.py" --sizes 1280x720 --frames "$frames"
measure viewer /usr/bin/python3 "$bench/viewer.py" --sizes 1280x720 --rounds "$rounds" \
  --seconds "$seconds" "${publish_py[@]}"
/usr/bin/python3 "$bench/figures.py" "$output"
