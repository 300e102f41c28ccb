#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the sources with one tool: tests/lint.sh shellcheck|clang-format|codespell|reuse
# Exit status 77, a skip, where the tool is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "skip: $1"
  exit 77
}

command -v "$1" >/dev/null || skip "$1 is not installed"
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
*)
  echo "$0: what is $1?" >&2
  exit 2
  ;;
esac
