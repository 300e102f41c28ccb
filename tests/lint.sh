#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the sources with one tool: tests/lint.sh shellcheck|clang-format|codespell|reuse|
# cppcheck|clang-tidy. The last takes the compiler's arguments from the build folder
# (BUILD_ROOT, build/).
# Exit status 77, a skip, where the tool is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "skip: $1"
  exit 77
}

tool=$1
command -v "$tool" >/dev/null || skip "$tool is not installed"
[[ -e .git ]] || skip "not a clone: the list of files comes from git"
files() {
  git -c safe.directory='*' ls-files -z --cached --others --exclude-standard -- "$@"
}

case $1 in
shellcheck)
  mapfile -d '' -t scripts < <(files '*.sh' .ci/run debian/tests/play)
  shellcheck "${scripts[@]}"
  ;;
clang-format)
  # Layout differs from version to version.
  clang-format --version | grep -q 'version 14\.' ||
    skip "clang-format is not version 14: $(clang-format --version)"
  mapfile -d '' -t sources < <(files '*.cpp' '*.h' '*.hpp' '*.c')
  clang-format --dry-run -Werror "${sources[@]}"
  ;;
codespell)
  mapfile -d '' -t texts < <(files ':!*.jsonl' ':!*.json' ':!*.png' ':!LICENSES')
  codespell --ignore-words-list=inout,nin "${texts[@]}"
  ;;
reuse)
  reuse lint
  if grep -vxFf debian/copyright .reuse/dep5; then
    echo "debian/copyright does not say this"
    exit 1
  fi
  ;;
cppcheck)
  cppcheck --version | grep -q ' 2\.10' ||
    skip "cppcheck is not version 2.10, and every one finds something else: $(cppcheck --version)"
  mapfile -d '' -t sources < <(files 'gst/*.cpp' 'gst/*.hpp')
  includes=(gst/common gst/shmnumpy gst/shmnumpy/writer
    gst/vdoninja/{protocol,sdp,signaling,peer,viewing,pads,inputs,pacing,publishing,element,source,sink})
  cppcheck --quiet -j 2 --std=c++17 --language=c++ --error-exitcode=1 \
    --enable=warning,performance,portability --suppressions-list=tests/cppcheck.supp \
    "${includes[@]/#/-I}" "${sources[@]}"
  ;;
clang-tidy)
  # What a version warns of differs, too.
  clang-tidy --version | grep -q 'version 14\.' ||
    skip "clang-tidy is not version 14: $(clang-tidy --version | grep version)"
  # Its "N warnings generated" are of headers that are not ours.
  files 'gst/*.cpp' | xargs -0 -P 2 -n 3 \
    clang-tidy -p "${BUILD_ROOT:-build}" --quiet 2> >(grep -v 'warnings\? generated' >&2)
  ;;
*)
  echo "$0: what is $1?" >&2
  exit 2
  ;;
esac
