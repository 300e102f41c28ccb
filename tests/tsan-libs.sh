#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds GLib and GStreamer's core with ThreadSanitizer, from Debian's sources of the
# versions that are installed, and prints the folder that they are in. Without that every
# GMutex is a race to it. Kept in the user's cache; made once, in ten minutes or so. What
# was interrupted goes on where it stopped.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gst-vdoninja/tsan
export PATH=/usr/bin:/bin:$PATH
if ! command -v dpkg-query >/dev/null; then
  echo "tsan-libs.sh: works on Debian only, whose sources it takes" >&2
  exit 1
fi
version() { dpkg-query -W -f '${source:Version}' "$1"; }
sources=("glib2.0=$(version libglib2.0-dev)" "gstreamer1.0=$(version libgstreamer1.0-dev)")

if [[ ${sources[*]} != "$(cat "$cache/versions" 2>/dev/null)" ]]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  echo "${sources[*]}" >"$cache/versions"
fi
if [[ ! -f $cache/done ]]; then
  for tool in bison flex dpkg-source; do
    command -v "$tool" >/dev/null || {
      echo "tsan-libs.sh: $tool is missing; apt install bison flex dpkg-dev" >&2
      exit 1
    }
  done
  # The system's own list may say nothing of sources, and stays as it is.
  mkdir -p "$cache"/apt/{lists,archives}/partial "$cache"/apt/parts "$cache/src"
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -n 's/^deb /deb-src /p' >"$cache/apt/sources.list" || true
  for list in /etc/apt/sources.list.d/*.sources; do
    [[ ! -f $list ]] || sed 's/^Types:.*/Types: deb-src/' "$list" \
      >"$cache/apt/parts/$(basename "$list")"
  done
  apt=(apt-get -q -o "Dir::Etc::sourcelist=$cache/apt/sources.list"
    -o "Dir::Etc::sourceparts=$cache/apt/parts" -o "Dir::State::lists=$cache/apt/lists"
    -o "Dir::Cache=$cache/apt" -o APT::Sandbox::User=root)
  build() { # NAME OPTION...: from its sources into the root
    [[ -f $cache/$1/build.ninja ]] ||
      meson setup "$cache/$1" "$cache/src/$1" --prefix="$cache/installed" --libdir=lib \
        --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false "${@:2}"
    ninja -C "$cache/$1" -j 2 install
  }
  (
    cd "$cache/src"
    if [[ ! -f fetched ]]; then
      "${apt[@]}" update
      rm -rf -- */
      "${apt[@]}" source "${sources[@]}"
      mv glib2.0-*/ glib
      mv gstreamer1.0-*/ gst
      touch fetched
    fi
    build glib -Dtests=false -Dman=false -Dnls=disabled -Dselinux=disabled \
      -Dlibmount=disabled -Dxattr=false
    export PKG_CONFIG_PATH=$cache/installed/lib/pkgconfig
    build gst -Dtests=disabled -Dexamples=disabled -Dbenchmarks=disabled -Dtools=disabled \
      -Dnls=disabled -Dintrospection=disabled -Ddoc=disabled -Dlibunwind=disabled \
      -Dlibdw=disabled -Dbash-completion=disabled
  ) >&2
  touch "$cache/done"
fi
echo "$cache/installed"
