#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the Debian packages of the last commit, on Debian 12 and 13 and Raspberry Pi OS:
#
#   scripts/build-deb.sh [OUTPUT_DIR]     into OUTPUT_DIR, or into build-deb/
#
# Installs with apt what building needs and is missing. The tree is left as it is: the build
# runs in a copy. The version is Meson's and the time of the commit, so that apt takes a
# later build for an upgrade. lintian, where it is installed, must find nothing.
set -euo pipefail
mkdir -p "${1-$(dirname "$0")/../build-deb}"
output=$(realpath "${1-$(dirname "$0")/../build-deb}")
cd "$(dirname "$0")/.."
# Debian's tools and Python first: another Python on PATH would not see its packages.
export PATH=/usr/bin:/bin:$PATH

if ! dpkg-checkbuilddeps 2>/dev/null; then
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    as_root=(sudo)
  fi
  echo "Installing with apt what debian/control asks for"
  "${as_root[@]}" apt-get update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get build-dep -y --no-install-recommends ./
fi

git() {
  command git -c safe.directory='*' "$@"
}
[[ -z $(git status --porcelain) ]] ||
  echo "There are changes that are not committed; they are not built." >&2
commit=$(git rev-parse --short HEAD)
built=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d.%H%M%S)
date=$(git log -1 --format=%cD)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/gst-vdoninja"
git archive HEAD | tar -x -C "$work/gst-vdoninja"
cd "$work/gst-vdoninja"

version=$(meson introspect --projectinfo meson.build |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')+git$built
{
  printf 'gst-vdoninja (%s) unstable; urgency=medium\n\n' "$version"
  printf '  * Built from commit %s.\n\n' "$commit"
  printf ' -- %s  %s\n\n' "$(dpkg-parsechangelog -S Maintainer)" "$date"
  cat debian/changelog
} >"$work/changelog"
mv "$work/changelog" debian/changelog

# Without packages of debug symbols: `apt install OUTPUT_DIR/*.deb` would install them, too.
DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS-noautodbgsym} dpkg-buildpackage -us -uc
if command -v lintian >/dev/null; then
  lintian --fail-on error,warning --display-info ../*.changes
fi

rm -f "$output"/{gst-vdoninja,gstreamer1.0-vdoninja,python3-shmnumpy,libshmnumpy-writer0,libshmnumpy-dev}_*
cp ../gst*vdoninja_* ../python3-shmnumpy_* ../libshmnumpy-*_* "$output"
echo "Install them with: sudo apt install $output/*.deb"
