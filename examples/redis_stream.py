#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends frames to workers on any number of machines, by a Redis Stream, and reads results.

redis-server
python3 examples/redis_worker.py --key camera                  once for each core or machine
python3 examples/redis_stream.py --key camera --name test
python3 examples/redis_stream.py --key camera --read order     or newest

Stream `camera` has the frames that wait or are worked on: jpeg, number, captured (ns since
1970). When more than --queue wait the oldest are dropped, never one that a worker has.
Stream `camera:results` has JSON for each frame that was worked on. In order: after those of
all earlier frames that were not dropped. Newest: without those that come too late.
"""
import contextlib
import heapq
import json
import sys
import time
from typing import Iterator, Tuple

from common import Run, encode_jpeg, parser
from redis_common import GROUP, connected, ensure_group, redis

HELD = 1000  # results at most that wait for earlier ones
# The new frame in, and the oldest out if too many wait: as if a worker had taken them.
SEND = """
redis.call('XADD', KEYS[1], ARGV[1], unpack(ARGV, 4))
local waiting = redis.call('XLEN', KEYS[1]) - redis.call('XPENDING', KEYS[1], ARGV[2])[1]
local old = waiting > tonumber(ARGV[3]) and redis.call('XREADGROUP', 'GROUP', ARGV[2],
  'dropped', 'COUNT', waiting - ARGV[3], 'NOACK', 'STREAMS', KEYS[1], '>')
local dropped = old and old[1][2] or {}
for _, entry in ipairs(dropped) do redis.call('XDEL', KEYS[1], entry[1]) end
return #dropped"""


def send(client: "redis.Redis", args) -> int:
    run, add, dropped = Run(args), client.register_script(SEND), 0
    start = int(time.time() * 1000)
    try:
        for frame in run:
            captured = frame.capture_time or frame.publish_utc
            dropped += add([args.key], [
                f"{start}-{run.count}", GROUP, args.queue, "number", frame.number,
                "captured", captured, "jpeg", encode_jpeg(frame, width=args.width)])
    except KeyboardInterrupt:
        pass
    except redis.exceptions.ResponseError as error:
        if "equal or smaller" not in str(error):
            raise
        sys.exit(f"--key {args.key}: a sender that was started later has it. Or the clock "
                 f"went back, then: redis-cli del {args.key}")
    print(f"{run.count} frames sent to {args.key}, {dropped} dropped")
    return run.status


def parse_id(text: bytes) -> Tuple[int, int]:
    start, count = text.split(b"-")  # when the sender started, in ms; frames from then on
    return int(start), int(count)


def finished(pending: dict, groups: list) -> Tuple[int, int]:
    """The id before which no frame waits for a worker or is with one."""
    if pending["pending"]:
        return parse_id(pending["min"])
    group = next(group for group in groups if group["name"] == GROUP.encode())
    start, count = parse_id(group["last-delivered-id"])
    return start, count + 1


def results(client: "redis.Redis", key: str, order: bool) -> Iterator[Tuple[tuple, dict]]:
    """(id of the frame, what the worker tells of it), in order or the newest alone."""
    stream, last, held = f"{key}:results", b"0", []
    while True:
        client.xread({stream: last}, count=1, block=200)
        with client.pipeline() as at_once:
            at_once.xpending(key, GROUP).xinfo_groups(key).xread({stream: last})
            pending, groups, news = at_once.execute()
        for last, fields in news[0][1] if news else []:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # not of a worker
                told = dict(json.loads(fields[b"json"]))
                heapq.heappush(held, (parse_id(fields[b"frame"]), last, told))
        if not order:
            held = held and [max(held)]
        while held and (not order or held[0][0] < finished(pending, groups)
                        or len(held) > HELD):
            frame, _, told = heapq.heappop(held)
            yield frame, told


def read(client: "redis.Redis", args) -> int:
    count, newest = 0, (0, 0)
    with contextlib.suppress(KeyboardInterrupt):
        for frame, told in results(client, args.key, args.read == "order"):
            if frame > newest:
                print(json.dumps({"frame": frame[1], **told}), flush=True)
                newest, count = frame, count + 1
            if count and count == args.frames:
                break
    return 0 if count >= max(1, args.frames) else 1


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    options.add_argument("--key", default="shmnumpy", help="of the stream")
    options.add_argument("--queue", type=int, default=30, help="frames that wait, at most")
    options.add_argument("--read", choices=["order", "newest"], help="results, instead")
    options.add_argument("--width", type=int, default=0, help="at most, pixels; 0 = any")
    args = options.parse_args()
    if args.queue < 1:
        options.error(f"--queue {args.queue}: at least one frame has to wait")
    with connected(args.redis) as client:
        ensure_group(client, args.key)
        return (read if args.read else send)(client, args)


if __name__ == "__main__":
    sys.exit(main())
