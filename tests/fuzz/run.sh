#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tests/fuzz/run.sh BUILD SECONDS: runs each fuzzer of a build made with -Dfuzz=true.
set -euo pipefail
build=$1 seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
corpus=$build/fuzz-corpus
python3 "$here/seed.py" "$here/../vectors" "$corpus"
for target in message decrypt link offer; do
  echo "== $target"
  # GLib frees quark tables never, which LeakSanitizer would report at the end.
  ASAN_OPTIONS=detect_leaks=0 "$build/tests/fuzz/fuzz-$target" -max_total_time="$seconds" \
    -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=0 \
    -artifact_prefix="$build/fuzz-$target-" "$corpus/$target"
done
