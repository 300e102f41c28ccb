#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A VDO.Ninja stream in NumPy, in one command: see usage() below.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'END'
examples/demo.sh [options]

Shows a VDO.Ninja stream as NumPy arrays: installs what is missing, builds, publishes test
pictures on this machine (no internet needed), receives them with gst-launch-1.0, prints
shape, frame rate and latency, and serves the picture on http://127.0.0.1:8081.
Ctrl-C ends it.

  --seconds N       stop after N seconds; exit status 0 if frames came
  --port N          of the web page (8081); 0 takes any free one
  --host ADDRESS    to serve the page on (127.0.0.1); 0.0.0.0 lets your network look
  --codec NAME      of the test pictures: vp8 (default), vp9, h264
  --size WxH        of the test pictures (640x360)
  --pattern NAME    of the test pictures, as videotestsrc has them (smpte)

To play a real stream from the internet instead:
  --stream-id ID    what the publisher has in ...?push=ID
  --password TEXT   its password, if one was set; "false" if it was switched off
  --room NAME       the room that it is in
  --server URL      a handshake server other than VDO.Ninja's
END
}

fail() {
  echo "demo: $1" >&2
  exit "${2:-1}"
}

seconds=0 port=8081 host=127.0.0.1 codec=vp8 size=640x360 pattern=smpte
stream_id='' password='' room='' server=''
while [[ $# -gt 0 ]]; do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  --seconds | --port | --host | --codec | --size | --pattern | --stream-id | --password | --room | --server)
    [[ $# -ge 2 ]] || fail "$1 needs a value" 2
    name=${1#--}
    printf -v "${name//-/_}" %s "$2"
    shift 2
    ;;
  *) fail "what is $1? --help lists the options" 2 ;;
  esac
done

scripts/install-deps.sh
build=${BUILD_DIR:-build}
local_only=false
targets=(gst/libgstvdoninja.so)
if [[ -z $stream_id$room ]]; then
  local_only=true
  targets+=(tests/support/vdoninja-handshake tests/support/vdoninja-publisher)
fi
scripts/build.sh "${targets[@]}"

build=$(realpath "$build")
export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GST_REGISTRY=$build/registry.bin
shm_name=vdoninja-demo-$$
pids=()

# Ends what was started, the last first; what does not listen is killed.
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  trap '' INT TERM
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -INT "${pids[i]}" 2>/dev/null || continue
    timeout 5 tail --pid="${pids[i]}" -f /dev/null || kill -KILL "${pids[i]}"
  done
  rm -f /dev/shm/{,.}"$shm_name"{,.ring}{,.keep}
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if $local_only; then
  exec {news}< <(exec "$build/tests/support/vdoninja-handshake")
  pids+=($!)
  read -r -t 20 -u "$news" server || fail "the handshake server does not start"
  echo "Handshake server: $server"

  stream_id=demo$$
  exec {news}< <(exec "$build/tests/support/vdoninja-publisher" --server "$server" \
    --stream-id "$stream_id" --codec "$codec" --size "$size" --pattern "$pattern")
  pids+=($!)
  read -r -t 20 -u "$news" line || fail "the test publisher does not start"
  [[ $line == *'"online":true'* ]] || fail "the test publisher does not connect: $line"
  echo "Publisher: $stream_id, $codec, $size"
  cat <&"$news" >/dev/null & # or it would wait for us to read
fi

source=(vdoninjasrc)
[[ -z $stream_id ]] || source+=("stream-id=$stream_id")
[[ -z $room ]] || source+=("room=$room")
[[ -z $server ]] || source+=("server=$server")
! $local_only || source+=(signaling=hosted)
sink=(! shmnumpysink "shm-name=$shm_name")
echo "Receiver: gst-launch-1.0 ${source[*]} ${password:+password=... }${sink[*]}"
[[ -z $password ]] || source+=("password=$password")
gst-launch-1.0 --no-position "${source[@]}" "${sink[@]}" &
receiver=$!
pids+=("$receiver")

reader=(--name "$shm_name" --seconds "$seconds" --host "$host" --port "$port")
! $local_only || reader+=(--stamps)
/usr/bin/python3 examples/demo_reader.py "${reader[@]}" &
pids+=($!)

status=0
wait -n -p first "$receiver" "${pids[-1]}" || status=$?
if [[ $first == "$receiver" ]]; then
  fail "the receiver has ended; its message is above"
fi
exit "$status"
