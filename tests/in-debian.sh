#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# in-debian.sh [--fresh] RELEASE COMMAND...: runs COMMAND, in this tree, on another Debian.
#
#   tests/in-debian.sh trixie tests/run.sh           the suite on Debian 13
#   tests/in-debian.sh trixie bash                   a shell there
#   tests/in-debian.sh --fresh bookworm COMMAND...   with nothing but the base system
#
# The system is made once by debootstrap, below ~/.cache/gst-vdoninja. What COMMAND installs
# is kept for the next run in a layer on top of it, or thrown away with --fresh. The tree is
# the one outside, with a build folder of the release's own: BUILD_DIR is build-RELEASE.
# Processes that COMMAND leaves behind end with it. Needs root; exit status 77 without.
set -euo pipefail

skip() {
  echo "skip: $1"
  exit 77
}

# In a mount and process namespace of its own: nothing has to be undone.
inside() {
  local system=$1 layer=$2 release=$3
  shift 3
  local root=$layer/root tree=/gst-vdoninja
  mkdir -p "$layer"/{changes,work,root}
  mount -t overlay -o "lowerdir=$system,upperdir=$layer/changes,workdir=$layer/work" \
    "in-debian-$release" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mkdir -p "$root$tree"
  mount --bind . "$root$tree"
  # What this machine trusts and where its npm looks, or nothing could be installed there.
  cp /etc/resolv.conf "$root/etc/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  local npmrc
  npmrc=$(npm config get globalconfig 2>/dev/null) && [[ -f $npmrc ]] &&
    install -D "$npmrc" "$root/etc/npmrc" &&
    export npm_config_globalconfig=/etc/npmrc
  unset TMPDIR XDG_CACHE_HOME XDG_RUNTIME_DIR PIP_FIND_LINKS
  export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin BUILD_DIR="build-$release"
  # shellcheck disable=SC2016 # expanded inside
  exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$tree" "$@"
}

make_system() {
  local release=$1 system=$2
  [[ -d $system ]] && return
  command -v debootstrap >/dev/null || scripts/install-deps.sh debian ||
    skip "debootstrap is not installed, and cannot be"
  echo "Making a Debian $release in $system"
  rm -rf "$system.new"
  mkdir -p "$system.new"
  debootstrap --variant=minbase --include=ca-certificates "$release" "$system.new" \
    >"$system.log" || { cat "$system.log"; exit 1; }
  # Services stay off; and what breaks is made anew, so nobody has to wait for the disk.
  printf '#!/bin/sh\nexit 101\n' >"$system.new/usr/sbin/policy-rc.d"
  chmod +x "$system.new/usr/sbin/policy-rc.d"
  echo force-unsafe-io >"$system.new/etc/dpkg/dpkg.cfg.d/unsafe-io"
  mv "$system.new" "$system"
}

if [[ ${1-} == --inside ]]; then
  shift
  inside "$@"
fi
fresh=false
if [[ ${1-} == --fresh ]]; then
  fresh=true
  shift
fi
if [[ $# -lt 2 ]]; then
  echo "usage: in-debian.sh [--fresh] RELEASE COMMAND..." >&2
  exit 2
fi
[[ $EUID == 0 ]] || skip "only root can change into another Debian"
unshare --mount true 2>/dev/null || skip "no mount namespaces here"

release=$1
shift
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gst-vdoninja
mkdir -p "$cache"
# One at a time makes the system, and one at a time has the layer that is kept.
(
  flock 9
  make_system "$release" "$cache/$release"
) 9>"$cache/$release.lock"
if $fresh; then
  layer=$(mktemp -d "$cache/$release.XXXXXX")
  trap 'rm -rf "$layer"' EXIT
else
  layer=$cache/$release.layer
  exec {lock}>"$layer.lock"
  flock "$lock"
fi
unshare --mount --pid --fork --kill-child \
  tests/in-debian.sh --inside "$cache/$release" "$layer" "$release" "$@"
