#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs tests so that mistakes with memory or threads are found:
#
#   tests/sanitize.sh address [NAME...]    AddressSanitizer, its leak check, and
#                                          UndefinedBehaviorSanitizer; all tests but lint
#                                          and browser (Chromium cannot be preloaded)
#   tests/sanitize.sh thread [NAME...]     ThreadSanitizer, with GLib and GStreamer's core
#                                          built for it; play, rooms, crowd and null
#   tests/sanitize.sh valgrind [NAME...]   memcheck on the ordinary build; vdoninjasrc
#
# The first two have build folders of their own. What is no mistake, or not ours, is in
# lsan.supp, tsan.supp and valgrind.supp. VDN_TEST_TIME_FACTOR in the environment gives a
# machine that is busy or small more time than the 8 (valgrind: 20) fold.
set -euo pipefail
kind=${1-}
root=$(cd "$(dirname "$0")/.." && pwd)

# Before a program: "sanitize.sh --run KIND COMMAND...".
if [[ $kind == --run ]]; then
  kind=$2
  shift 2
  case $kind in
  valgrind)
    exec valgrind --quiet --error-exitcode=99 --num-callers=40 \
      --suppressions="$root/tests/valgrind.supp" "$@"
    ;;
  thread)
    # Only here: programs without ThreadSanitizer cannot load these.
    export LD_LIBRARY_PATH=$SANITIZED_LIBS/lib:${LD_LIBRARY_PATH-}
    # A process for each test, as there is no fork: one that fails leaves threads and a
    # stack behind, at which the next would show races that are none, and for whose end
    # GStreamer waits at exit.
    source=$root/tests/check/${1##*/check-}.cpp
    if [[ -f $source && -z ${GST_CHECKS-} ]]; then
      mapfile -t tests < <(sed -n 's/^GST_START_TEST(\(.*\)) *{.*/\1/p' "$source")
      status=0
      for test in "${tests[@]}"; do
        GST_CHECKS=$test timeout -s KILL $((60 * CK_TIMEOUT_MULTIPLIER)) "$@" || status=1
      done
      exit "$status"
    fi
    ;;
  address)
    # A program without the sanitizer loads a plugin that has it; what it leaks is its own.
    # The sanitizer looks for the throw of C++ at once, and a C program has none yet.
    if ! ldd "$(command -v "$1")" 2>/dev/null | grep -q libasan; then
      LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
      export LD_PRELOAD ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-}
    fi
    ;;
  esac
  exec "$@"
fi

[[ $# == 0 ]] || shift
cd "$root"
export PATH=/usr/bin:/bin:$PATH
build=$root/build-$kind
names=("$@")
sanitizers='' scale=${VDN_TEST_TIME_FACTOR:-8} suites=()
case $kind in
address)
  sanitizers=address,undefined
  # Libraries have no frame pointers: only the slow unwinder sees through them. And gcc 12
  # guesses wrong where threads' memory of libraries that were loaded late ends: the search
  # for leaks crashes once glib-networking is loaded.
  ASAN_OPTIONS=fast_unwind_on_malloc=0:quarantine_size_mb=64:intercept_tls_get_addr=0
  export ASAN_OPTIONS
  export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  suites=(--no-suite lint --no-suite browser)
  ;;
thread)
  sanitizers=thread
  SANITIZED_LIBS=$(tests/tsan-libs.sh)
  system_plugins=$(pkg-config --variable=pluginsdir gstreamer-1.0)
  export SANITIZED_LIBS
  export GST_PLUGIN_SYSTEM_PATH_1_0=$SANITIZED_LIBS/lib/gstreamer-1.0:$system_plugins
  export GST_REGISTRY_FORK=no # the scanner is not instrumented
  export G_SLICE=always-malloc # or objects of one slab look like the same
  # The child of a fork would make threads that look like those of its parent.
  export CK_FORK=no
  # gcc's own does not find every function of a plugin, LLVM's does.
  symbolizer=$(command -v llvm-symbolizer || true)
  TSAN_OPTIONS=suppressions=$root/tests/tsan.supp:history_size=7
  export TSAN_OPTIONS+=${symbolizer:+:external_symbolizer_path=$symbolizer}
  [[ ${#names[@]} -gt 0 ]] || names=(vdoninjasrc-{play,rooms,crowd,null})
  ;;
valgrind)
  build=$root/${BUILD_DIR:-build}
  export G_SLICE=always-malloc CK_FORK=no
  scale=${VDN_TEST_TIME_FACTOR:-20}
  command -v valgrind >/dev/null || {
    echo "sanitize.sh: valgrind is missing; apt install valgrind" >&2
    exit 1
  }
  [[ ${#names[@]} -gt 0 ]] || names=(vdoninjasrc)
  ;;
*)
  sed -n '3,17s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

[[ -f $build/build.ninja ]] ||
  meson setup "$build" ${sanitizers:+"-Db_sanitize=$sanitizers" -Db_lundef=false}
# Only what the named tests need, where each is a program of GstCheck's.
targets=()
for name in "${names[@]}"; do
  [[ -f tests/check/$name.cpp ]] || { targets=() && break; }
  targets+=("tests/check/check-$name")
done
[[ ${#targets[@]} == 0 ]] ||
  targets+=(gst/libgstvdoninja.so tests/support/vdoninja-{handshake,publisher})
ninja -C "$build" -j 2 "${targets[@]}"
if [[ $kind == address ]]; then
  # Programs without the sanitizer that are started by tests, and load the plugin.
  mkdir -p "$build/bin"
  scanners=$(pkg-config --variable=pluginscannerdir gstreamer-1.0)
  for program in "$scanners/gst-plugin-scanner" /usr/bin/gst-launch-1.0; do
    wrapper=$build/bin/$(basename "$program")
    printf '#!/bin/sh\nexec %s --run %s %s "$@"\n' "$root/tests/sanitize.sh" "$kind" \
      "$program" >"$wrapper"
    chmod +x "$wrapper"
  done
  export PATH=$build/bin:$PATH GST_PLUGIN_SCANNER_1_0=$build/bin/gst-plugin-scanner
elif [[ $kind == thread ]]; then
  # The system's plugins are looked into outside: what they load has mistakes of its own.
  env -u GST_REGISTRY_FORK GST_PLUGIN_SYSTEM_PATH_1_0="$system_plugins" \
    GST_REGISTRY="$build/tests/registry.bin" gst-inspect-1.0 webrtcbin >/dev/null
else
  GST_PLUGIN_PATH=$build/gst GST_REGISTRY=$build/tests/registry.bin \
    gst-inspect-1.0 vdoninjasrc >/dev/null
fi
log=$build/meson-logs/testlog-sanitize.sh.json # meson names it after the wrapper
rm -f "$log"
# Everything takes several times as long.
export CK_TIMEOUT_MULTIPLIER=$scale VDN_TEST_TIME_FACTOR=$scale
tests/support/netns.sh meson test -C "$build" --no-rebuild --num-processes 2 \
  --timeout-multiplier "$scale" --wrapper "$root/tests/sanitize.sh --run $kind" \
  "${suites[@]}" "${names[@]}" || echo "meson test: exit status $?"
exec python3 tests/summary.py "$log"
