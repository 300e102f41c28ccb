#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Takes frames that redis_stream.py sent, one at a time, and stores what a function says.

python3 examples/redis_worker.py --redis redis://HOST --key camera --work module:function

The function is given a picture as uint8[height][width][3], BGR as OpenCV has it, which it
may change, and returns what JSON can hold, or arrays. An exception in it becomes the
result. Each frame goes to one worker; what a killed one had another takes after --claim
seconds. Ctrl+C ends after the frame at hand. Another machine needs this file,
redis_common.py and work_function.py, python3-redis and python3-opencv.
"""
import argparse
import json
import os
import signal
import socket
import sys

import numpy as np

try:
    import cv2
except ImportError:
    sys.exit("this example needs OpenCV: apt install python3-opencv")

from redis_common import GROUP, connected, ensure_group
from work_function import work_function

TRIES = 3  # workers that may die with a frame before it is given up
# One result for each frame, of whoever is done first.
FINISH = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('XDEL', KEYS[1], ARGV[2])
  return redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', 'frame', ARGV[2],
                    'json', ARGV[4])
end"""


def brightness(picture: np.ndarray) -> dict:
    return {"brightness": picture.mean()}


def take(client, key: str, me: str, claim: float):
    """(id, fields, workers that had it) of a frame; None if there is none for a while."""
    claimed = client.xautoclaim(key, GROUP, me, int(claim * 1000), "0-0", count=1)[1]
    if claimed:
        frame, fields = claimed[0]
        known = client.xpending_range(key, GROUP, frame, frame, 1)
        return (frame, fields, known[0]["times_delivered"]) if known else None
    new = client.xreadgroup(GROUP, me, {key: ">"}, count=1, block=200)
    return (*new[0][1][0], 1) if new else None


def result(work, fields: dict, tried: int) -> dict:
    """What is told of a frame: what the function returns, or why there is nothing."""
    try:
        if tried > TRIES:
            raise RuntimeError(f"{TRIES} workers died with this frame")
        told = {"number": int(fields[b"number"]), "captured": int(fields[b"captured"])}
        picture = cv2.imdecode(np.frombuffer(fields[b"jpeg"], np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError("what came is no picture")
        return {**told, "result": json.loads(
            json.dumps(work(picture), default=lambda value: value.tolist()))}
    except Exception as error:  # whatever the function raises must not end all workers
        return {"error": f"{type(error).__name__}: {error}"}


def serve(client, args, work) -> int:
    me, finish = f"{socket.gethostname()}-{os.getpid()}", client.register_script(FINISH)
    count, ending = 0, []

    def end(signum, _frame):
        ending.append(signum)
        signal.signal(signum, signal.default_int_handler)  # at once, if asked again

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    ensure_group(client, args.key)
    print(f"{me} works on {args.key}", flush=True)
    while not ending and (not args.frames or count < args.frames):
        taken = take(client, args.key, me, args.claim)
        if taken:
            frame, fields, tried = taken
            told = json.dumps({"worker": me, **result(work, fields, tried)})
            count += bool(finish([args.key, f"{args.key}:results"],
                                 [GROUP, frame, args.keep, told]))
    client.xgroup_delconsumer(args.key, GROUP, me)  # it has no frame
    print(f"{count} frames done")
    return 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    options.add_argument("--key", default="shmnumpy", help="of the stream")
    options.add_argument("--work", metavar="MODULE:FUNCTION", default="__main__:brightness")
    options.add_argument("--claim", type=float, default=5, metavar="S",
                         help="a worker that has had a frame for so long is dead; 5")
    options.add_argument("--keep", type=int, default=1000, help="the newest results; 1000")
    options.add_argument("--frames", type=int, default=0, help="end after so many")
    args = options.parse_args()
    if args.claim < 0.001 or args.keep < 1:
        options.error(f"--claim {args.claim}, --keep {args.keep}: more than 0")
    work = work_function(args.work)
    try:
        with connected(args.redis) as client:
            return serve(client, args, work)
    except KeyboardInterrupt:
        sys.exit("ended with a frame at hand: another worker gets it")


if __name__ == "__main__":
    sys.exit(main())
