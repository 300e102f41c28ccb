#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# packages.sh: builds the Debian packages of the last commit on Debian 12, and tries them on
# a clean Debian 12 and a clean Debian 13: install, play, upgrade beside a running pipeline,
# remove, purge. Then Debian 13 builds them, too, on the system that has the tests' packages:
# whether debian/control names all that it takes has been seen by then. Needs root, as
# in-debian.sh does.
#
#   tests/packages.sh                     everything
#   tests/packages.sh build-12 try-13     some of build-12, try-12, try-13, build-13
#
# Downloads are kept in build-packages/ for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
kept=build-packages
names=(gstreamer1.0-vdoninja python3-shmnumpy libshmnumpy-writer0 libshmnumpy-dev)

fail() {
  echo "packages: $1" >&2
  exit 1
}

# Quiet as long as it works.
quietly() {
  local log
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || {
    tail -n 60 "$log" >&2
    fail "failed: $*"
  }
  rm "$log"
}

apt() {
  DEBIAN_FRONTEND=noninteractive quietly apt-get -y --no-install-recommends "$@"
}

keep_downloads() {
  local archives
  archives=$(realpath -m "$kept/apt-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)")
  mkdir -p "$archives/partial"
  echo "Dir::Cache::archives \"$archives\";" >/etc/apt/apt.conf.d/01keep-downloads
  apt update
}

# The same package with a version that anything is an upgrade of.
older() {
  local package tree=/tmp/older
  mkdir -p "$1"
  for package in "${@:2}"; do
    rm -rf "$tree"
    dpkg-deb -R "$package" "$tree"
    sed -i 's/^Version: .*/Version: 0.0.1/' "$tree/DEBIAN/control"
    dpkg-deb -b --root-owner-group "$tree" "$1/$(basename "$package")" >/dev/null
  done
}

versions() {
  dpkg-query -W -f '${Version}\n' "${names[@]}" | sort -u
}

ring_is_read() {
  python3 debian/tests/read-frames.py "$1" >/dev/null || fail "no frames in $1"
}

# Starts a pipeline, $writer, and returns when frames come: it has loaded the plugin then.
write_ring() {
  gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=320,height=180 \
    ! shmnumpysink shm-name="$1" udp-port=0 >/dev/null &
  writer=$!
  ring_is_read "$1"
}

files_of_ours() {
  find / -xdev \( -name '*vdoninja*' -o -name '*shmnumpy*' \) ! -path "$PWD*"
}

# A pipeline of the old version goes on while the new one is installed, and the new one
# takes over what a pipeline of the old version left when it was killed.
try_upgrade() {
  older /tmp/older-packages "$@"
  apt install /tmp/older-packages/*.deb
  [[ $(versions) == 0.0.1 ]] || fail "the older version is not installed: $(versions)"
  write_ring packages-killed
  kill -KILL "$writer"
  wait "$writer" 2>/dev/null || true
  write_ring packages-live
  local live=$writer
  apt install "$@"
  [[ $(versions) == "$(dpkg-deb -f "$1" Version)" ]] || fail "no upgrade: $(versions)"
  ring_is_read packages-live
  write_ring packages-killed
  kill -INT "$live" "$writer"
  wait "$live" "$writer"
  [[ -z $(ls -A /dev/shm) ]] || fail "left in /dev/shm: $(ls -A /dev/shm)"
}

try_removal() {
  local file
  mapfile -t files < <(dpkg -L "${names[@]}" | sort -u)
  apt remove "${names[@]}"
  ! gst-inspect-1.0 vdoninjasrc >/dev/null 2>&1 || fail "the element is still there"
  quietly dpkg --purge "${names[@]}"
  ! dpkg-query -W "${names[@]}" 2>/dev/null | grep . || fail "dpkg still knows them"
  for file in "${files[@]}"; do
    [[ -d $file && ! $file =~ vdoninja|shmnumpy || ! -e $file ]] || fail "left behind: $file"
  done
  rm -rf /tmp/older*
  [[ -z $(files_of_ours) ]] || fail "left behind: $(files_of_ours)"
}

# Inside a clean system.
try_packages() {
  keep_downloads
  apt install "$(realpath "$kept")"/bookworm/*.deb
  apt install g++ iproute2 pkgconf gstreamer1.0-tools
  PROGRAMS=$PWD/$kept/programs debian/tests/play
  quietly dpkg --purge "${names[@]}"
  try_upgrade "$(realpath "$kept")"/bookworm/*.deb
  try_removal
}

build_packages() {
  apt install git lintian
  quietly scripts/build-deb.sh "$kept/$1"
}

build_programs() {
  local programs=(tests/support/vdoninja-{handshake,publisher})
  quietly scripts/build.sh "${programs[@]}"
  mkdir -p "$kept/programs"
  cp "${programs[@]/#/$BUILD_DIR/}" "$kept/programs"
}

# Inside a clean system, too.
build_all() {
  keep_downloads
  build_packages "$1"
  build_programs
}

build_again() {
  apt update
  build_packages "$1"
}

# on_clean RELEASE ARGUMENT...: a function of this script, in a new system.
on_clean() {
  tests/in-debian.sh --fresh "$1" tests/packages.sh --inside "${@:2}"
}

mkdir -p "$kept"
if [[ ${1-} == --inside ]]; then
  "${@:2}"
  exit
fi
[[ $# -gt 0 ]] || set -- build-12 try-12 try-13 build-13
for part in "$@"; do
  begun=$SECONDS
  case $part in
  build-12) on_clean bookworm build_all bookworm ;;
  try-12) on_clean bookworm try_packages ;;
  try-13) on_clean trixie try_packages ;;
  build-13) tests/in-debian.sh trixie tests/packages.sh --inside build_again trixie ;;
  *) fail "what is $part?" ;;
  esac
  echo "packages: $part: ok, $((SECONDS - begun)) s"
done
