#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A live picture of this machine in a browser, in one command: see usage() below.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'END'
examples/publish.sh [options]

Publishes a test picture, or a camera, to VDO.Ninja and prints the link that shows it:
installs what is missing, builds, and runs gst-launch-1.0 with vdoninjasink. Ctrl-C ends it.

  --device PATH     a camera or an HDMI dongle, /dev/video0 for one; without: a test picture
  --size WxH        of the picture (1280x720)
  --fps N           pictures a second (30)
  --sound           with sound: of the default microphone, or a tone with the test picture
  --stream-id ID    under which it can be watched; without: one made by chance
  --password TEXT   for viewers to give, too; "false" for none
  --room NAME       to join
  --server URL      a handshake server other than VDO.Ninja's; --local starts one here
  --bitrate N       kbit/s at most (2500)
  --seconds N       stop after N seconds
END
}

fail() {
  echo "publish: $1" >&2
  exit "${2:-1}"
}

device='' size=1280x720 fps=30 stream_id='' password='' room='' server='' bitrate=2500
seconds=0 sound=false local_server=false
while [[ $# -gt 0 ]]; do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  --sound) sound=true && shift ;;
  --local) local_server=true && shift ;;
  --device | --size | --fps | --stream-id | --password | --room | --server | --bitrate | --seconds)
    [[ $# -ge 2 ]] || fail "$1 needs a value" 2
    name=${1#--}
    printf -v "${name//-/_}" %s "$2"
    shift 2
    ;;
  *) fail "what is $1? --help lists the options" 2 ;;
  esac
done
[[ $size =~ ^[0-9]+x[0-9]+$ ]] || fail "--size is WxH, as 1280x720, not $size" 2
[[ -z $device || -e $device ]] || fail "there is no $device" 2

scripts/install-deps.sh
build=${BUILD_DIR:-build}
targets=(gst/libgstvdoninja.so)
! $local_server || targets+=(tests/support/vdoninja-handshake)
scripts/build.sh "${targets[@]}"
build=$(realpath "$build")
export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GST_REGISTRY=$build/registry.bin

pids=()
# Ends what was started, the last first; what does not listen is killed.
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  trap '' INT TERM
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -INT "${pids[i]}" 2>/dev/null || continue
    timeout 5 tail --pid="${pids[i]}" -f /dev/null || kill -KILL "${pids[i]}"
  done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if $local_server; then
  exec {news}< <(exec "$build/tests/support/vdoninja-handshake")
  pids+=($!)
  read -r -t 20 -u "$news" server || fail "the handshake server does not start"
  cat <&"$news" >/dev/null & # or it would wait for us to read
fi

raw="video/x-raw,width=${size%x*},height=${size#*x},framerate=$fps/1"
if [[ -n $device ]]; then
  video=(v4l2src "device=$device" ! decodebin ! videoconvert ! videoscale ! videorate
    ! "$raw" ! queue)
  audio=(autoaudiosrc ! queue)
else
  video=(videotestsrc is-live=true ! "$raw")
  audio=(audiotestsrc is-live=true volume=0.2)
fi
stream_id=${stream_id:-picture$(tr -dc a-z0-9 </dev/urandom | head -c 8 || true)}
sink=(vdoninjasink name=out "stream-id=$stream_id" "video-bitrate=$bitrate")
link="https://vdo.ninja/?view=$stream_id"
if [[ -n $room ]]; then
  sink+=("room=$room")
  link+="&room=$room&scene"
fi
if [[ -n $server ]]; then
  sink+=("server=$server")
  link+="&wss=${server#*://}"
fi
if $local_server; then
  sink+=(signaling=hosted)
fi
if [[ -n $password ]]; then
  sink+=("password=$password")
  link+="&password=$password"
fi

line=("${sink[@]}" "${video[@]}" ! out.)
! $sound || line+=("${audio[@]}" ! out.)
gst-launch-1.0 --no-position "${line[@]}" &
pids+=($!)
echo "Open $link"
if ((seconds)); then
  timeout "$seconds" tail --pid="${pids[-1]}" -f /dev/null && fail "it has ended; its message is above"
  exit 0
fi
wait "${pids[-1]}"
