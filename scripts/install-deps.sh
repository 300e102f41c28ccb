#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the Debian packages that are missing, and nothing when none is.
#
#   scripts/install-deps.sh          what building and the demo need
#   scripts/install-deps.sh tests    and what the tests need as well
#   scripts/install-deps.sh arm64    what tests/emulated.sh arm64 needs; armhf likewise
#   scripts/install-deps.sh debian   what tests/in-debian.sh needs
#
# For Debian 12 and 13 and Raspberry Pi OS; elsewhere it says what is wanted and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(
  g++ meson ninja-build pkgconf
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev
  libsoup-3.0-dev libjson-glib-dev libssl-dev libgnutls28-dev libyuv-dev
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-nice
  python3 python3-numpy python3-pil
  ca-certificates glib-networking
)
tests=(
  libopencv-dev python3-opencv opencv-data python3-gi python3-pytest python3-venv
  python3-setuptools python3-wheel python3-redis redis-server libglib2.0-dev
  openssl iproute2 procps coturn
  ffmpeg gstreamer1.0-plugins-base-apps chromium shellcheck clang-format codespell reuse git
  clang clang-tidy cppcheck libclang-rt-dev
)

# A cross compiler brings nothing of the other processor's but its C library.
emulated=(meson ninja-build pkgconf mmdebstrap qemu-user-static iproute2 python3)

# Chromium is driven by playwright-core, at the version of the lock file.
lacks_playwright() {
  [[ ${1-} == tests && -f tests/browser/package-lock.json &&
    tests/browser/node_modules/.package-lock.json -ot tests/browser/package-lock.json ]]
}

# Node may come from elsewhere, and brings npm then. Debian's npm is hundreds of packages.
command -v node >/dev/null || tests+=(nodejs)
if lacks_playwright "$@" && ! command -v npm >/dev/null; then
  tests+=(npm)
fi

case ${1-build} in
build) wanted=("${build[@]}") ;;
tests) wanted=("${build[@]}" "${tests[@]}") ;;
arm64) wanted=("${emulated[@]}" g++-aarch64-linux-gnu) ;;
armhf) wanted=("${emulated[@]}" g++-arm-linux-gnueabihf) ;;
debian) wanted=(debootstrap) ;;
*)
  echo "usage: $0 [build|tests|arm64|armhf|debian]" >&2
  exit 2
  ;;
esac

# Without a registry the browser tests are left out, and say so; CI wants them.
install_npm() {
  lacks_playwright "$@" || return 0
  # Another system may share this tree, and be at it.
  local lock
  exec {lock}<tests/browser
  flock "$lock"
  lacks_playwright "$@" || return 0
  echo "Installing from npm, into tests/browser/node_modules: playwright-core"
  if npm ci --prefix tests/browser --no-audit --no-fund; then
    touch tests/browser/node_modules/.package-lock.json
    return
  fi
  echo "npm did not bring playwright-core: the tests in a browser will be skipped" >&2
  [[ ${CI-} != true ]]
}

if ! command -v dpkg-query >/dev/null; then
  echo "This is not Debian. These Debian packages, or what they are called here, are" \
    "needed: ${wanted[*]}"
  install_npm "$@"
  exit 0
fi

installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
  sed -n 's/^installed //p' | sort -u || true)
mapfile -t missing < <(
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) <(printf '%s\n' "$installed"))

if [[ ${#missing[@]} -gt 0 ]]; then
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "There is no sudo here. As root: apt install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "Installing with apt: ${missing[*]}"
  # Tests start their own; as a service it would relay for whoever finds the machine.
  unit=/etc/systemd/system/coturn.service
  if [[ " ${missing[*]} " == *" coturn "* && ! -e $unit ]]; then
    "${as_root[@]}" mkdir -p "${unit%/*}"
    "${as_root[@]}" ln -s /dev/null "$unit"
  fi
  # apt refuses to run twice at a time: whoever else installs with this script is waited for.
  apt=("${as_root[@]}" flock /var/lib/apt/lists env DEBIAN_FRONTEND=noninteractive apt-get)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
fi
install_npm "$@"
