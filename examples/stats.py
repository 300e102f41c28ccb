#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays a stream and tells each second how well it comes: what of the properties in
docs/elements.md matters when a picture stutters.

python3 examples/stats.py stream-id=abc
python3 examples/stats.py --seconds 10 stream-id=abc latency=0
"""
import argparse
import shlex
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

VIDEO = "{width}x{height} {fps:.1f} fps, {freezes} freezes, {dropped} late, "\
        "decoding {decode-ms:.1f} ms, held back {playout-ms:.0f} ms"
NETWORK = "{media} {encoding-name} {kbit} kbit/s, missed {missed}, repaired {repaired}, "\
          "given up {given-up}, round trip {rtt-ms:.0f} ms"


LISTS = ("streams", "pads", "rtp")


def fields(structure):
    """The fields of a Gst.Structure by name; lists of structures as such."""
    result = {}
    for name in map(structure.nth_field_name, range(structure.n_fields())):
        if name in LISTS:  # without python3-gst-1.0 there is no other way
            _, values = structure.get_list(name)
            result[name] = [fields(values.get_nth(i)) for i in range(values.n_values)]
        else:
            result[name] = structure.get_value(name)
    return result


def tell(source):
    """Prints a line for each pad and for each RTP stream."""
    for stream in fields(source.get_property("stats")).get("streams", []):
        print(stream["stream-id"], stream.get("candidate-remote", "not connected yet"),
              "by a relay" if stream.get("relayed") else "")
        for pad in stream["pads"]:
            if pad.get("width"):
                print(" ", pad["name"], VIDEO.format(**pad))
        for rtp in stream.get("rtp", []):
            print(" ", NETWORK.format(kbit=rtp.get("bitrate", 0) // 1000, **rtp))
    sys.stdout.flush()
    return True


def main():
    """Until the stream or the time is over, or Ctrl+C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="then it ends")
    parser.add_argument("properties", nargs="+", help="of vdoninjasrc, as in stream-id=abc")
    arguments = parser.parse_args()
    Gst.init(None)
    pipeline = Gst.parse_launch("vdoninjasrc name=src " + " ".join(
        map(shlex.quote, arguments.properties)) +
        " src.video_0 ! video/x-raw ! fakesink sync=false async=false")
    loop = GLib.MainLoop()
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", lambda _, message: (print(message.parse_error()[0]),
                                                      loop.quit()))
    bus.connect("message::warning", lambda _, message: print(message.parse_warning()[0]))
    bus.connect("message::eos", lambda *_: loop.quit())
    GLib.timeout_add(1000, tell, pipeline.get_by_name("src"))
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, 2, loop.quit)
    if arguments.seconds:
        GLib.timeout_add(int(arguments.seconds * 1000), loop.quit)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
