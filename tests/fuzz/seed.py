#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""seed.py VECTORS OUT: starting points for the fuzzers: from the recorded transcripts,
and rings as the writer of the Python tests leaves them."""
import hashlib
import json
import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from ring_writer import EOS, PLANES, STOPPED, RingWriter  # noqa: E402

vectors, out = map(pathlib.Path, sys.argv[1:])


def add(target, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def add_decrypted(key, value):
    add("decrypt", json.dumps(value))
    if key == "description":
        add("offer", value["sdp"])
    for one in value if key == "candidates" else [value] * (key == "candidate"):
        add("candidate", one["candidate"])


def step(writer, how=0, kilobytes=0):
    """One step of what tests/fuzz/ring.cpp reads."""
    return bytes((how, kilobytes)) + writer.map[:0x1B0] + writer.map[0x1000:0x1200]


for path in sorted((vectors / "transcripts").glob("*.jsonl")):
    for line in path.read_text().splitlines():
        record = json.loads(line)
        add("message", record["msg"])
        for key, value in record.get("plain", {}).items():
            clear = {k: v for k, v in json.loads(record["msg"]).items() if k != "vector"}
            add("message", json.dumps({**clear, key: value}))
            add_decrypted(key, value)
for kind in ("srflx raddr 0.0.0.0 rport 0", "prflx", "relay raddr ::1 rport 9",
             "host tcptype active", "host tcptype so", "host tcptype passive"):
    add("candidate", f"candidate:1 1 {'TCP' if 'tcp' in kind else 'UDP'} 2122260223 "
                     f"127.0.0.1 9 typ {kind} generation 0 ufrag abcd network-cost 999")
for link in json.loads((vectors / "links.json").read_text())["links"]:
    add("link", link["url"])
for pixel_format in PLANES:
    ring = RingWriter(f"vdn-seed-{os.getpid()}", slots=2)
    for number in range(1, 4):
        ring.publish(bytes(64 * 48 * 4), 16 * number, 48, pixel_format)
        add("ring", step(ring))
    both = step(ring)
    ring.publish(bytes(64 * 48 * 4), 64, 48, pixel_format)
    for then in ([step(ring)], [step(ring, 4, 1)], [step(ring, 3), step(ring, 16)]):
        add("ring", both + b"".join(then))
    ring.set_state(EOS)
    add("ring", both + step(ring))
    ring.set_state(STOPPED)
    add("ring", both + step(ring) + step(ring, 24))
    ring.close()
