#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps the newest frame as a JPEG in Redis and announces it on a channel.

python3 examples/push_redis.py --name test --redis redis://127.0.0.1:6379/0 --key camera

Hash `camera`: jpeg, number, width, height, captured (ns since 1970). Channel `camera`:
the number of each frame as it is stored.
"""
import sys

from common import Run, encode_jpeg, parser
from redis_common import connected


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL")
    options.add_argument("--key", default="shmnumpy", help="of the hash and the channel")
    options.add_argument("--width", type=int, default=0, help="at most, pixels; 0 = any")
    options.add_argument("--quality", type=int, default=85, help="1 to 100")
    args = options.parse_args()
    run = Run(args)
    with connected(args.redis) as client:
        for frame in run:
            with client.pipeline() as pipeline:
                pipeline.hset(args.key, mapping={
                    "jpeg": encode_jpeg(frame, args.quality, args.width),
                    "number": frame.number, "width": frame.width, "height": frame.height,
                    "captured": frame.capture_time or frame.publish_utc})
                pipeline.publish(args.key, frame.number)
                pipeline.execute()
    print(f"{run.count} frames stored under {args.key}")
    return run.status


if __name__ == "__main__":
    sys.exit(main())
