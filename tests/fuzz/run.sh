#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tests/fuzz/run.sh BUILD SECONDS [TARGET...]: runs fuzzers for so long, two at a time: those
# that are named, or each. BUILD is a build folder with -Dfuzz=true; it is made if it is not
# there. As root they run in a network of their own: candidates and offers name addresses.
# FUZZ_SEED in the environment makes every run try the same.
set -euo pipefail
if [[ ${1-} == --one ]]; then # BUILD SECONDS TARGET, in a log that is shown on failure
  build=$2 seconds=$3 target=$4 root=$5 seed=${FUZZ_SEED-}
  case $target in
  reader) command=(python3 "$root/tests/fuzz/reader.py" "$seconds" ${seed:+"$seed"}) ;;
  sequences)
    # The stack of an allocation in a library without frame pointers is for suppressions.
    export ASAN_OPTIONS=fast_unwind_on_malloc=0:$ASAN_OPTIONS
    command=("$build/tests/fuzz/sequences" "$seconds" ${seed:+"$seed"})
    ;;
  *)
    # GLib frees its tables of quarks never.
    export ASAN_OPTIONS=detect_leaks=0:$ASAN_OPTIONS
    command=("$build/tests/fuzz/fuzz-$target" -max_total_time="$seconds" -max_len=65536
      -timeout=10 -rss_limit_mb=1024 -seed="${seed:-0}" -artifact_prefix="$build/fuzz-$target-"
      "$build/fuzz-corpus/$target")
    ;;
  esac
  if "${command[@]}" >"$build/fuzz-$target.log" 2>&1; then
    # libFuzzer's last line but one has the coverage, the others have one line.
    printf 'ok: %-10s %s\n' "$target" "$(grep -E 'DONE|^(reader.py|sequences): [0-9]+ (from|rounds)' \
      "$build/fuzz-$target.log" | tail -1)"
    exit 0
  fi
  tail -60 "$build/fuzz-$target.log"
  printf 'FAILED: %-10s see %s\n' "$target" "$build/fuzz-$target.log"
  exit 1
fi

[[ $# -ge 2 ]] || { echo "usage: $0 BUILD SECONDS [TARGET...]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
export PATH=/usr/bin:/bin:$PATH
mkdir -p "$1"
build=$(cd "$1" && pwd) seconds=$2
# The longest first.
targets=(sequences candidate message decrypt link offer ring reader)

if [[ ! -f $build/build.ninja ]]; then
  CC=clang CXX=clang++ meson setup "$build" "$root" -Dfuzz=true -Dexamples=disabled -Doptimization=1 \
    -Db_sanitize=address,undefined -Db_lundef=false
fi
built=("${targets[@]:1:${#targets[@]}-2}")
ninja -C "$build" gst/libgstvdoninja.so tests/fuzz/sequences "${built[@]/#/tests/fuzz/fuzz-}"
python3 "$root/tests/fuzz/seed.py" "$root/tests/vectors" "$build/fuzz-corpus"
[[ $# == 2 ]] || targets=("${@:3}")

# Less in quarantine than the default of 256 MB, which would count against the limit.
export ASAN_OPTIONS=quarantine_size_mb=32:${ASAN_OPTIONS-}
export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# Not the user's, and written by a process without a sanitizer. Ours is then the only
# plugin that is looked into, by the process that uses it: gst-plugin-scanner could not.
export GST_REGISTRY=$build/fuzz-registry.bin
gst-inspect-1.0 webrtcbin >/dev/null
export GST_PLUGIN_PATH=$build/gst GST_REGISTRY_FORK=no
printf '%s\n' "${targets[@]}" |
  "$root/tests/support/netns.sh" xargs -P 2 -I '{}' \
    "$root/tests/fuzz/run.sh" --one "$build" "$seconds" '{}' "$root" |
  tee "$build/fuzz-results" || true
passed=$(grep -c '^ok: ' "$build/fuzz-results" || true)
echo "$passed passed, $((${#targets[@]} - passed)) failed"
[[ $passed == "${#targets[@]}" ]]
