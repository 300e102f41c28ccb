#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""seed.py VECTORS OUT: starting points for the fuzzers, from the recorded transcripts."""
import hashlib
import json
import pathlib
import sys

vectors, out = map(pathlib.Path, sys.argv[1:])


def add(target, text):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


for path in sorted((vectors / "transcripts").glob("*.jsonl")):
    for line in path.read_text().splitlines():
        record = json.loads(line)
        add("message", record["msg"])
        for key, value in record.get("plain", {}).items():
            clear = {k: v for k, v in json.loads(record["msg"]).items() if k != "vector"}
            add("message", json.dumps({**clear, key: value}))
            add("decrypt", json.dumps(value))
            if key == "description":
                add("offer", value["sdp"])
for link in json.loads((vectors / "links.json").read_text())["links"]:
    add("link", link["url"])
