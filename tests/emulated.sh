#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cross compiles for another processor and runs tests there, which qemu-user emulates.
#
#   tests/emulated.sh arm64           the ring, its readers, one session into NumPy
#   tests/emulated.sh armhf           what 32-bit Raspberry Pi OS compiles for: the plugin,
#                                     and the tests of the ring
#   tests/emulated.sh arm64 NAME...   the tests of these names
#   tests/emulated.sh arm64 all       every test that can run there
#   tests/emulated.sh arm64 build     none: only what the first line needs is built
#
# As root, on Debian. The system of the other processor, up to 2 GB, is kept in
# ~/.cache/gst-vdoninja and made anew when what it is made of changes. Emulation follows the order
# of memory of the machine below and is 10 to 20 times slower: it shows that the code
# compiles, runs and agrees about bytes, and nothing about barriers or speed.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
self=$here/tests/emulated.sh

# A skip elsewhere, a failure where this is meant to run.
cannot() {
  echo "skip: $1"
  if [[ ${CI-} == true ]]; then
    printf '\n0 passed, 1 failed\n'
    exit 1
  fi
  printf '\n0 passed, 0 failed, 1 skipped\n'
  exit 0
}

# In a mount and process namespace of its own: nothing has to be undone.
if [[ ${1-} == --inside ]]; then
  is_inside=true
  shift
else
  is_inside=false
fi

arch=${1-}
# What building takes on either, and what runs on arm64.
packages=(
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev
  libsoup-3.0-dev libjson-glib-dev libssl-dev libgnutls28-dev libyuv-dev libatomic1
  gstreamer1.0-plugins-base
)
case $arch in
arm64)
  triplet=aarch64-linux-gnu family=aarch64 qemu=aarch64 flags=()
  packages+=(
    gstreamer1.0-tools gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-nice
    glib-networking gir1.2-gst-plugins-base-1.0 netbase openssl procps iproute2
    python3 python3-numpy python3-pil python3-gi python3-pytest python3-opencv
  )
  quick=(
    shm-layout shm-reader shm-legacy shm-ring shm-writer shmnumpysink shmnumpysrc
    py-layout py-ring py-legacy py-hostile py-session
  )
  ;;
armhf)
  triplet=arm-linux-gnueabihf family=arm qemu=arm flags=(-march=armv6+fp -marm)
  quick=(shm-layout shm-reader shm-legacy shm-ring shm-writer shmnumpysink shmnumpysrc)
  ;;
*)
  sed -n '3,11s/^# \?//p' "$self"
  exit 2
  ;;
esac
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gst-vdoninja
root=$cache/$arch
binfmt=/proc/sys/fs/binfmt_misc

# Only extracts, since maintainer scripts would take a quarter of an hour of emulation, and
# does what they would have done that matters here.
make_root() {
  local stamp
  stamp=$({ echo "$arch ${packages[*]}" && declare -f make_root; } | sha256sum)
  if [[ -f $root/made-by && $(<"$root/made-by") == "$stamp" ]]; then
    return
  fi
  echo "Making a system of $arch in $root"
  rm -rf "$root"
  mkdir -p "$root"
  # From where this machine has its packages, but for the security suite, whose indices
  # are behind their signatures at times.
  local release sources
  release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016 # for apt to expand
  mapfile -t sources < <(
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
      'Created-By: Packages' 'Component: main' | grep -E " $release(-updates)? " | sort -u)
  mmdebstrap --quiet --arch="$arch" --variant=extract --skip=check/qemu \
    --include='?essential' --include="$(IFS=,; echo "${packages[*]}")" \
    "$release" "$root" "${sources[@]}"
  rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists
  local library=usr/lib/$triplet name
  for name in blas lapack; do
    ! [[ -d $root/$library/$name ]] ||
      ln -s "$name/lib$name.so.3" "$root/$library/lib$name.so.3"
  done
  cp /etc/passwd /etc/group /etc/hosts "$root/etc"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  chroot "$root" ldconfig
  chroot "$root" "/$library/glib-2.0/glib-compile-schemas" /usr/share/glib-2.0/schemas
  chroot "$root" "/$library/glib-2.0/gio-querymodules" "/$library/gio/modules"
  echo "$stamp" >"$root/made-by"
}

# Has the kernel run the other processor's programs by qemu.
register() {
  [[ -e $binfmt/register ]] || mount -t binfmt_misc binfmt_misc "$binfmt" ||
    cannot "binfmt_misc cannot be mounted: no program of $arch would run"
  if [[ ! -e $binfmt/qemu-$qemu ]]; then
    (cat "/usr/lib/binfmt.d/qemu-$qemu.conf" >$binfmt/register) ||
      cannot "binfmt_misc takes no entry for $arch"
    # shellcheck disable=SC2064 # the name as it is now
    trap "echo -1 >$binfmt/qemu-$qemu" EXIT
  fi
}

quoted() {
  local separator='' word
  for word; do
    printf "%s'%s'" "$separator" "$word"
    separator=', '
  done
}

# Paths are the same outside and in the other system, where this folder is mounted.
configure() {
  [[ ! -f $BUILD_DIR/build.ninja ]] || return 0
  local file=$cache/$arch.cross compiler=$triplet
  local arguments
  arguments=$(quoted "--sysroot=$root" "${flags[@]}")
  cat >"$file" <<END
[binaries]
c = '$compiler-gcc'
cpp = '$compiler-g++'
ar = '$compiler-ar'
strip = '$compiler-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['chroot', '$root']
system-python = ['chroot', '$root', '/usr/bin/python3']
[properties]
sys_root = '$root'
pkg_config_libdir = '$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig'
[built-in options]
c_args = [$arguments]
cpp_args = [$arguments]
c_link_args = [$arguments]
cpp_link_args = [$arguments]
[host_machine]
system = 'linux'
cpu_family = '$family'
cpu = '$arch'
endian = 'little'
END
  meson setup "$BUILD_DIR" --cross-file "$file" --prefix=/usr --libdir="lib/$triplet" \
    -Doptimization=1 -Ddebug=false -Dexamples=disabled
}

# Before the tests, which have no time for it.
build() {
  local targets=(gst/libgstvdoninja.so) name
  for name in "${quick[@]}"; do
    [[ $name == py-* ]] || targets+=("tests/check/check-$name")
  done
  ninja -C "$BUILD_DIR" "${targets[@]}"
}

run_tests() {
  local log=$BUILD_DIR/meson-logs/testlog.json selection=("${quick[@]}")
  [[ $# == 0 ]] || selection=("$@")
  [[ ${selection[0]} != all ]] ||
    selection=(--suite shmnumpy --suite vdoninja --suite python)
  rm -f "$log"
  export VDN_TEST_TIME_FACTOR=${VDN_TEST_TIME_FACTOR:-6}
  export CK_TIMEOUT_MULTIPLIER=$VDN_TEST_TIME_FACTOR
  # qemu-user keeps some 280 kB for each thread that ever was.
  export VDN_TEST_EMULATED=1
  tests/support/netns.sh meson test -C "$BUILD_DIR" --num-processes 2 \
    -t "$VDN_TEST_TIME_FACTOR" "${selection[@]}" || echo "meson test: exit status $?"
  python3 tests/summary.py "$log"
}

inside() {
  register
  make_root
  mkdir -p "$root$here"
  mount --bind "$here" "$root$here"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o size=1g tmpfs "$root/dev/shm"
  configure
  build
  [[ ${1-} == build ]] || run_tests "$@"
}

export PATH=/usr/bin:/bin:/usr/sbin:/sbin
export BUILD_DIR=${BUILD_DIR:-build-$arch}
if $is_inside; then
  inside "$@"
  exit
fi
[[ $(id -u) == 0 ]] || cannot "only root can make another system and have qemu run it"
command -v dpkg-query >/dev/null || cannot "this is not Debian"
unshare --mount true || cannot "no mount namespaces here"
scripts/install-deps.sh "$arch"
mkdir -p "$cache"
# One at a time.
exec {lock}>"$cache/$arch.lock"
flock "$lock"
exec unshare --mount --pid --fork --kill-child "$self" --inside "$arch" "$@"
