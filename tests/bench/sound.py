#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sound loses and how late it comes over a bad line, by how it is encoded.

`vdoninjasink` publishes Opus in several ways over the relay of the tests, `vdoninjasrc`
plays it. Notes that change each 60 ms, other ones left than right: what is made up for a
lost packet is wrong then, unless it was sent twice. What comes is compared with the same
packets decoded where nothing is lost:

  damaged  share of 20 ms windows in which the error has more than a tenth of the energy
  p95      from the quickest to all but 5 % of the buffers, ms
  left     level of the left channel where only the right one plays, dB: stereo, or not

Prints JSON and a table. Times may not be compared on a busy machine.
"""
import argparse
import json
import os
import secrets
import sys
import tempfile
import time
import wave

import numpy as np

from publish import server
from py_support import BUILD, machine, wait_for
from viewer import percentile

import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

RATE = 48000
NOTE, WINDOW = RATE * 60 // 1000, RATE // 50
# How it is encoded, of how many channels, whether it pauses, and over what line.
VOICE = "opusenc audio-type=voice bitrate=32000"
WAYS = {
    "nothing lost": (VOICE, 1, False, "lan"),
    "concealed": (VOICE, 1, False, "loss5"),
    "sent twice (FEC)": (f"{VOICE} inband-fec=true packet-loss-percentage=20", 1, False,
                         "loss5"),
    "stereo": ("opusenc bitrate=96000", 2, False, "lan"),
    "stereo, concealed": ("opusenc bitrate=96000", 2, False, "loss5"),
    "pauses (DTX)": (f"{VOICE} dtx=true", 1, True, "lan"),
    "pauses (DTX), concealed": (f"{VOICE} dtx=true", 1, True, "loss5"),
}


def notes(seconds, channels, pauses):
    """int16[samples][channels]: every second is silent on the left, so that channels can
    be told from each other; where it `pauses`, every other second on both."""
    choose = np.random.default_rng(1)
    frequency = choose.choice([220, 277, 330, 415, 494, 587, 698, 880],
                              (seconds * RATE // NOTE, channels))
    phase = np.cumsum(np.repeat(frequency, NOTE, 0), 0) * (2 * np.pi / RATE)
    sound = np.sin(phase) * 6000
    second = np.arange(len(sound)) // RATE % 2
    if channels == 2 or pauses:
        sound[second == 1, 0] = 0
    return sound.astype("<i2")


def write(path, sound):
    with wave.open(path, "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.tobytes())


class Ear:
    """What comes out of `shown`, an appsink, and how late each buffer is."""

    def __init__(self, pipeline, channels):
        self.blocks, self.ages, self.channels = [], [], channels
        sink = pipeline.get_by_name("shown")
        sink.set_property("emit-signals", True)
        sink.connect("new-sample", self._heard)

    def _heard(self, sink):
        now = time.monotonic_ns()
        buffer = sink.emit("pull-sample").get_buffer()
        self.ages.append((now - buffer.pts) / 1e6)
        self.blocks.append(buffer.extract_dup(0, buffer.get_size()))
        return Gst.FlowReturn.OK

    def samples(self):
        return np.frombuffer(b"".join(self.blocks), "<i2").reshape(-1, self.channels)


def decoded(path, encoder, channels):
    """The packets, decoded where nothing is lost."""
    pipeline = Gst.parse_launch(
        f"filesrc location={path} ! wavparse ! audioconvert ! {encoder} ! opusdec ! "
        f"audioconvert ! audio/x-raw,format=S16LE,channels={channels},rate={RATE} ! "
        "appsink name=shown sync=false")
    ear = Ear(pipeline, channels)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(
        60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if not message or message.type != Gst.MessageType.EOS:
        raise SystemExit(f"{encoder} does not encode: {message}")
    return ear.samples()


def aligned(heard, wanted):
    """`wanted` from where `heard` begins in it, both as long as the shorter."""
    probe = heard[:2 * RATE, -1].astype(float)
    size = len(wanted) + len(probe)
    spectrum = np.fft.rfft(wanted[:, -1], size) * np.conj(np.fft.rfft(probe, size))
    start = int(np.argmax(np.fft.irfft(spectrum, size)[:len(wanted)]))
    length = min(len(heard), len(wanted) - start)
    return heard[:length].astype(float), wanted[start:start + length].astype(float)


def windows(samples):
    """Energy of each window."""
    whole = samples[:len(samples) // WINDOW * WINDOW]
    return (whole.reshape(-1, WINDOW * samples.shape[1]) ** 2).mean(1)


def measure(name, seconds, folder):
    encoder, channels, pauses, line = WAYS[name]
    path = os.path.join(folder, "notes.wav")
    write(path, notes(seconds + 8, channels, pauses))
    wanted = decoded(path, encoder, channels)
    stream_id = "bench" + secrets.token_hex(4)
    with server("--line", line) as (url, _):
        sending = Gst.parse_launch(
            f"filesrc location={path} ! wavparse ! audioconvert ! {encoder} ! "
            f"identity sync=true ! vdoninjasink server={url} signaling=custom "
            f"password=false stream-id={stream_id}")
        watching = Gst.parse_launch(
            f"vdoninjasrc location=\"https://vdo.ninja/?view={stream_id}&stereo=1\" "
            f"server={url} signaling=custom password=false enable-video=false ! "
            f"audioconvert ! audio/x-raw,format=S16LE,channels={channels},rate={RATE} ! "
            "appsink name=shown sync=false")
        ear = Ear(watching, channels)
        try:
            watching.set_state(Gst.State.PLAYING)
            sending.set_state(Gst.State.PLAYING)
            wait_for("sound", lambda: len(ear.ages) >= 50 * seconds)
        finally:
            watching.set_state(Gst.State.NULL)
            sending.set_state(Gst.State.NULL)
    heard, wanted = aligned(ear.samples(), wanted)
    error, level = windows(heard - wanted), windows(wanted)
    floor = level.max() / 1000  # a pause
    result = {"way": name, "buffers": len(ear.ages),
              "damaged": float((error > np.maximum(level, floor) / 10).mean()),
              "p95_ms": percentile(ear.ages, 0.95) - min(ear.ages)}
    if channels == 2:
        left, right = windows(heard[:, :1]), windows(heard[:, 1:])
        silent = windows(wanted[:, :1]) < floor
        result["left_db"] = float(10 * np.log10(left[silent].mean() / right[silent].mean()))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=30, help="of each way")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    Gst.init(None)
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(name, args.seconds, folder) for name in args.ways]
    print(json.dumps({"machine": machine(), "ways": results}))
    print("| Opus | line | damaged, % | p95, ms | left, dB |\n|---|---|---|---|---|")
    for result in results:
        left = f"{result['left_db']:.0f}" if "left_db" in result else ""
        print(f"| {result['way']} | {WAYS[result['way']][3]} | "
              f"{result['damaged'] * 100:.1f} | {result['p95_ms']:.0f} | {left} |")


if __name__ == "__main__":
    sys.exit(main())
