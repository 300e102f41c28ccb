# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recordings that `gst-launch-1.0 -e` finishes on Ctrl-C, read to the last frame by other
programs than the one that wrote them. While they are made, the picture becomes twice as
large and small again."""
import json
import shutil
import subprocess

import pytest

from deadlines import seconds
from loopback import Launch, complaints, two_at_once

TOOLS = {"gst-launch-1.0": "gstreamer1.0-tools", "ffprobe": "ffmpeg",
         "gst-discoverer-1.0": "gstreamer1.0-plugins-base-apps"}
MISSING = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")
CODECS = "vp8,vp9,h264"
SECONDS = 3  # of recording, by the clock of the pipeline

# With its parameters in the stream: those of another size need no other header.
AVC3 = "h264parse ! video/x-h264,stream-format=avc3"
PASS_H264 = f"video/x-h264 ! {AVC3}"
ENCODE_H264 = f"videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast ! {AVC3}"
PASS_OPUS = "audio/x-opus ! opusparse"
ENCODE_AAC = "audioconvert ! audioresample ! avenc_aac ! aacparse"
ENCODE_VP8 = "videoconvert ! vp8enc deadline=1 cpu-used=8"
ENCODE_OPUS = "audioconvert ! audioresample ! opusenc"

# name: (muxer, video, audio, what ffprobe calls the codecs)
RECORDINGS = {
    "mp4-video": ("mp4mux", PASS_H264, None, ["h264"]),
    "mp4-both": ("mp4mux", PASS_H264, PASS_OPUS, ["h264", "opus"]),
    "mp4-encoded-again": ("mp4mux", ENCODE_H264, ENCODE_AAC, ["h264", "aac"]),
    "mkv-video": ("matroskamux", "video/x-vp8", None, ["vp8"]),
    "mkv-both": ("matroskamux", "video/x-vp9", "audio/x-opus", ["vp9", "opus"]),
    "mkv-h264": ("matroskamux", PASS_H264, PASS_OPUS, ["h264", "opus"]),
    "mkv-encoded-again": ("matroskamux", ENCODE_VP8, ENCODE_OPUS, ["vp8", "opus"]),
}


def probe(path, *options):
    return json.loads(subprocess.check_output(
        ["ffprobe", "-v", "error", "-of", "json", *options, path]))


def span(path, kind):
    """(number of packets of a stream, seconds from the first to the end of the last)"""
    packets = probe(path, "-select_streams", f"{kind}:0", "-show_packets")["packets"]
    starts = [float(packet["pts_time"]) for packet in packets]
    ends = [start + float(packet.get("duration_time", 0))
            for start, packet in zip(starts, packets)]
    return len(packets), max(ends) - min(starts)


def widths(path):
    """Of the pictures one after the other, without repetition."""
    # It looks at the start first, for long if sound comes before the picture, and complains
    # where a size changes there.
    lines = subprocess.run(
        ["ffprobe", "-v", "error", "-analyzeduration", "1", "-select_streams", "v:0",
         "-show_entries", "frame=width", "-of", "default=nokey=1:noprint_wrappers=1", path],
        capture_output=True, text=True, check=True)
    assert not complaints(lines.stderr), lines.stderr
    found = [int(line) for line in lines.stdout.split() if line.isdigit()]
    return [width for i, width in enumerate(found) if not i or found[i - 1] != width]


def discovered(path):
    """Duration in seconds and kinds of streams as gst-discoverer-1.0 says, which decodes."""
    lines = subprocess.run(["gst-discoverer-1.0", f"--timeout={seconds(10)}", path],
                           capture_output=True, text=True, timeout=seconds(60),
                           check=True).stdout.splitlines()
    duration = next(line for line in lines if "Duration:" in line)
    kinds = [kind for kind in ("audio", "video")
             if any(line.strip().startswith(f"{kind} #") for line in lines)]
    return duration_of(duration.split("Duration:")[1]), kinds


def duration_of(text):
    """Of 0:00:01.500"""
    hours, minutes, rest = text.strip().split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def seconds_of(line):
    """The pts that identity tells of a buffer."""
    return duration_of(line.split("pts: ")[1].split(",")[0])


def record(name, publisher, stream_id, folder):
    """(path, pts of the pictures, pts of the sound) of a recording that Ctrl-C ended."""
    muxer, video, audio, _ = RECORDINGS[name]
    path = str(folder / f"{name}.{'mp4' if muxer == 'mp4mux' else 'mkv'}")
    line = (f"{publisher.source(stream_id)} name=s s.video_0 ! identity name=seen "
            f"silent=false ! queue ! {video} ! mux. {muxer} name=mux ! filesink "
            f"location={path}")
    if audio:
        line += (f" s.audio_0 ! identity name=heard silent=false ! queue ! {audio} "
                 "! mux.")
    times = {"seen": [], "heard": []}

    def long_enough(text, seconds=SECONDS):
        for kind, known in times.items():
            if f"{kind}: last-message = chain" in text:
                known.append(seconds_of(text))
        return times["seen"] and times["seen"][-1] - times["seen"][0] >= seconds

    with Launch(line, "-e") as launch:
        for third in (1, 2):
            launch.expect(lambda text: long_enough(text, SECONDS * third / 3))
            publisher.change_size(stream_id)
        launch.expect(long_enough)
        read = len(launch.lines)
        launch.interrupt()
        assert launch.wait() == 0, launch.text()
        assert "ERROR" not in launch.text()
    for text in launch.lines[read:]:
        long_enough(text)
    return path, times["seen"], times["heard"]


@pytest.fixture(scope="module")
def recordings(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    with two_at_once(request, "name",
                     lambda *arguments: record(*arguments, folder), CODECS) as futures:
        yield futures


@pytest.mark.parametrize("name", RECORDINGS)
def test_recording_is_whole(name, recordings):
    _, _, audio, codecs = RECORDINGS[name]
    path, seen, heard = recordings[name].result()
    streams = probe(path, "-show_streams")["streams"]
    assert sorted(stream["codec_name"] for stream in streams) == sorted(codecs)
    assert [s["width"] for s in streams if s["codec_type"] == "video"] == [320]
    assert widths(path) == [320, 640, 320]
    packets, video_span = span(path, "v")
    assert packets >= 0.9 * len(set(seen))  # identity repeats and skips a line at times
    assert abs(video_span - (seen[-1] - seen[0])) < 0.3, (video_span, seen)
    if audio:
        _, audio_span = span(path, "a")
        assert abs(audio_span - (heard[-1] - heard[0])) < 0.3, (audio_span, heard)
    # From whatever came first to whatever came last.
    recorded = max(seen[-1:] + heard[-1:]) - min(seen[:1] + heard[:1])
    duration = float(probe(path, "-show_format")["format"]["duration"])
    found, kinds = discovered(path)
    assert abs(duration - recorded) < 0.3 and abs(found - recorded) < 0.3, \
        (duration, found, recorded)
    assert kinds == (["audio", "video"] if audio else ["video"])
