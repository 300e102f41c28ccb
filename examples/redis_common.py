# SPDX-License-Identifier: MIT
"""What the Redis examples share. A machine of workers needs no shmnumpy, so this does not
import it."""
import contextlib
import re
import sys

try:
    import redis
except ImportError:
    sys.exit("this example needs redis: apt install python3-redis redis-server")

GROUP = "workers"


@contextlib.contextmanager
def connected(url: str):
    """A client of the server; what fails, now or later, ends with a sentence."""
    shown = re.sub("//.*@", "//", url.split("?")[0])  # without the password
    try:
        client = redis.Redis.from_url(url)
        client.ping()
    except (ValueError, redis.exceptions.RedisError) as error:
        sys.exit(f"no Redis at {shown}: {error}. `redis-server` starts one at "
                 "redis://127.0.0.1:6379")
    try:
        yield client
    except redis.exceptions.RedisError as error:
        sys.exit(f"Redis at {shown}: {error}")


def ensure_group(client: "redis.Redis", key: str) -> None:
    """The stream and its group of workers are there, whichever program comes first."""
    try:
        client.xgroup_create(key, GROUP, id="0", mkstream=True)
    except redis.exceptions.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # it exists
            raise
