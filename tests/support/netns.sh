#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# netns.sh COMMAND...: runs COMMAND in a network namespace of its own, with loopback and one
# address that is not (Chromium and libnice gather no loopback candidates) and no way out.
# Without root it says so and runs COMMAND in place.
set -euo pipefail

if [[ ${1:-} == --inside ]]; then
  shift
  ip link set lo up
  # Both ends stay here; the kernel delivers 10.77.0.1 to itself over loopback.
  ip link add vdn0 type veth peer name vdn1
  ip addr add 10.77.0.1/24 dev vdn0
  ip link set vdn0 up
  ip link set vdn1 up
  exec "$@"
fi

[[ $# -gt 0 ]] || { echo "usage: netns.sh COMMAND..." >&2; exit 2; }
if [[ $EUID -ne 0 ]] || ! command -v ip >/dev/null || ! unshare -n true 2>/dev/null; then
  echo "netns.sh: not root, or no network namespaces here: running in place" >&2
  exec "$@"
fi
exec unshare -n "$(readlink -f "$0")" --inside "$@"
