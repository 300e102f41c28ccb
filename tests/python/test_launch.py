# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is linked decides what flows, with gst-launch-1.0 itself.

The publisher offers VP8, VP9 and H.264 in one line, as browsers do. Each shape of a
pipeline says in which form the pads have to deliver, and the publisher tells which codec
the answer asked for. `SRC` is vdoninjasrc, `END` a sink that has enough after a while, so
that most shapes end by themselves; those without are interrupted once frames flow.
"""
import os
import secrets
import shutil

import pytest

from loopback import Launch, Process, Publisher, two_at_once

pytestmark = pytest.mark.skipif(not shutil.which("gst-launch-1.0"),
                                reason="gst-launch-1.0 is not installed")
END = "fakesink num-buffers=12"
SHOW = "identity silent=false"
CODECS = "vp8,vp9,h264"

# name: (description, form of video_0, of audio_0, codec that the video answer asks for)
SHAPES = {
    "videoconvert": ("SRC ! videoconvert ! END", "raw", None, "H264"),
    "queue-videoconvert": ("SRC ! queue ! videoconvert ! END", "raw", None, "H264"),
    "tee": ("SRC ! tee name=t ! queue ! videoconvert ! END t. ! queue ! END", "raw", None,
            "H264"),
    "appsink-rgb": ("SRC ! videoconvert ! video/x-raw,format=RGB ! SHOW ! appsink",
                    "raw", None, "H264"),
    "depay-h264": ("SRC ! rtph264depay ! END", "rtp", None, "H264"),
    "depay-vp8": ("SRC ! queue ! rtpvp8depay ! vp8dec ! END", "rtp", None, "VP8"),
    "depay-vp9": ("SRC ! rtpvp9depay ! vp9dec ! END", "rtp", None, "VP9"),
    "depay-both": ("SRC name=s s. ! rtpopusdepay ! opusdec ! END s. ! rtpvp8depay ! END",
                   "rtp", "rtp", "VP8"),
    "h264parse": ("SRC ! h264parse ! END", "encoded", None, "H264"),
    "caps-h264": ("SRC ! video/x-h264 ! h264parse ! avdec_h264 ! END", "encoded", None,
                  "H264"),
    "caps-avc": ("SRC ! video/x-h264,stream-format=avc ! avdec_h264 ! END", "encoded",
                 None, "H264"),
    "vp8dec": ("SRC ! vp8dec ! END", "encoded", None, "VP8"),
    "vp9dec": ("SRC ! queue ! vp9dec ! END", "encoded", None, "VP9"),
    "caps-opus": ("SRC name=s s.audio_0 ! audio/x-opus ! END s.video_0 ! video/x-vp9 ! END",
                  "encoded", "encoded", "VP9"),
    "decodebin": ("SRC ! decodebin ! END", "raw", None, "H264"),
    "decodebin3": ("SRC ! decodebin3 ! END", "raw", None, "H264"),
    "decodebin-both": ("SRC name=s s. ! decodebin ! videoconvert ! END "
                       "s. ! decodebin ! audioconvert ! END", "raw", "raw", "H264"),
    "fakesink": ("SRC ! END", "raw", None, "H264"),
    "queue-fakesink": ("SRC ! queue ! END", "raw", None, "H264"),
    # gst-launch takes the first pad of playsink that will have it, audio_sink.
    "playsink": ('SRC ! playsink audio-sink="END"', "raw", None, "H264"),
    "playsink-both": ('playsink name=p video-sink="END" audio-sink="END" SRC name=s '
                      "s.video_0 ! p.video_sink s.audio_0 ! p.audio_sink", "raw", "raw",
                      "H264"),
    "audio-first": ("SRC name=s s. ! audioconvert ! END s. ! videoconvert ! END", "raw",
                    "raw", "H264"),
    "video-first": ("SRC name=s s. ! videoconvert ! END s. ! audioconvert ! END", "raw",
                    "raw", "H264"),
    "audio-first-queues": ("SRC name=s s. ! queue ! audioconvert ! END "
                           "s. ! queue ! videoconvert ! END", "raw", "raw", "H264"),
    "video-first-queues": ("SRC name=s s. ! queue ! videoconvert ! END "
                           "s. ! queue ! audioconvert ! END", "raw", "raw", "H264"),
    "two-fakesinks": ("SRC name=s s. ! queue ! END s. ! queue ! END", "raw", "raw",
                      "H264"),
    "by-name": ("SRC name=s s.audio_0 ! audioconvert ! END s.video_0 ! vp8dec ! END",
                "encoded", "raw", "VP8"),
    "audio-only": ("SRC name=s s.audio_0 ! queue ! END", None, "raw", "H264"),
    "video-codecs-order": ('SRC video-codecs="<VP9,H264>" ! END', "raw", None, "VP9"),
    "video-codecs-and-caps": ('SRC video-codecs="<VP9,VP8>" ! rtpvp8depay ! END', "rtp",
                              None, "VP8"),
    "output-encoded": ("SRC output-format=encoded ! END", "encoded", None, "H264"),
    "output-rtp": ("SRC output-format=rtp name=s s. ! queue ! END s. ! queue ! END", "rtp",
                   "rtp", "H264"),
    "output-raw": ("SRC output-format=raw ! decodebin ! END", "raw", None, "H264"),
    "output-encoded-vp9": ('SRC output-format=encoded video-codecs="<VP9>" ! decodebin ! '
                           "END", "encoded", None, "VP9"),
    "playbin3": ('playbin3 uri=URI video-sink="END" audio-sink="END"', "raw", "raw",
                 "H264"),
    "playbin": ('playbin uri=URI video-sink="END" audio-sink="END"', "raw", "raw", "H264"),
    "uridecodebin3": ("uridecodebin3 uri=URI name=d d. ! videoconvert ! END "
                      "d. ! audioconvert ! END", "raw", "raw", "H264"),
    "uridecodebin": ("uridecodebin uri=URI name=d d. ! videoconvert ! END "
                     "d. ! audioconvert ! END", "raw", "raw", "H264"),
}


def fill(description, publisher, stream_id):
    uri = f"vdoninja://?view={stream_id}&wss2={publisher.server}"
    for word, text in (("SRC", publisher.source(stream_id)), ("URI", uri), ("END", END),
                       ("SHOW", SHOW)):
        description = description.replace(word, text)
    return description


def run(shape, publisher, stream_id):
    """(the process, the answer's codecs, exit status)"""
    description = SHAPES[shape][0]
    with Launch(fill(description, publisher, stream_id)) as launch:
        answer = publisher.next_answer(stream_id)
        if "END" not in description:
            for _ in range(12):
                launch.expect("last-message = chain")
            launch.interrupt()
        status = launch.wait()
    return launch, answer, status


@pytest.fixture(scope="module")
def results(request):
    with two_at_once(request, "shape", run, CODECS) as futures:
        yield futures


@pytest.fixture(scope="module")
def publisher():
    """Of `abc`, and of `refused`, whose answers nobody reads."""
    with Publisher(["abc", "refused"], codec=CODECS) as everything:
        yield everything


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_delivers(shape, results):
    _, video, audio, codec = SHAPES[shape]
    launch, answer, status = results[shape].result()
    assert status == 0 and "ERROR" not in launch.text(), launch.text()
    assert (launch.form("video_0"), launch.form("audio_0")) == (video, audio)
    assert answer == [codec, "OPUS"]
    assert launch.values("video_0", "codec") == [codec]


def test_pad_that_never_comes_is_told_and_the_rest_goes_on(publisher):
    """Without async=false GStreamer holds all sinks back until each has had data."""
    description = fill("SRC name=s s.video_1 ! fakesink async=false "
                       "s.video_0 ! SHOW ! fakesink", publisher, "abc")
    with Launch(description) as launch:
        launch.expect("Delayed linking failed")
        for _ in range(12):
            launch.expect("last-message = chain")
        launch.interrupt()
        assert launch.wait() == 0
    assert publisher.next_answer()[0] == "H264"


@pytest.fixture(scope="module")
def nobody():
    """A server without a publisher."""
    with Publisher([]) as server:
        yield server


@pytest.mark.parametrize("finish", [[], ["-e"]], ids=["stop", "finish"])
@pytest.mark.parametrize("description", [
    "SRC ! fakesink",
    "SRC ! fakesink async=false",
    "SRC ! queue ! videoconvert ! shmnumpysink shm-name=NAME udp-port=0",
    "SRC ! videoconvert ! x264enc ! mp4mux ! filesink location=FILE",
    "SRC ! video/x-h264 ! h264parse ! matroskamux ! filesink location=FILE",
    "SRC name=s mp4mux name=mux ! filesink location=FILE "
    "s.video_0 ! queue ! videoconvert ! x264enc ! mux. "
    "s.audio_0 ! queue ! audioconvert ! avenc_aac ! mux.",
    "SRC name=s s. ! videoconvert ! fakesink s. ! audioconvert ! fakesink",
    "SRC enable-video=false ! audioconvert ! fakesink",
], ids=["plain", "no-preroll", "numpy", "mp4", "mkv-encoded", "mp4-both", "both", "audio"])
def test_interrupted_before_anybody_publishes_it_ends(description, finish, nobody,
                                                      tmp_path):
    """With -e gst-launch-1.0 waits for the end that it sends, however long."""
    description = fill(description, nobody, "nobody").replace(
        "FILE", str(tmp_path / "recording")).replace("NAME", secrets.token_hex(8))
    with Launch(description, *finish) as launch:
        launch.expect("Waiting for the publisher")
        launch.interrupt()
        assert launch.wait() == 0, launch.text()
    assert ("Got EOS from element" in launch.text()) == bool(finish)
    assert "ERROR" not in launch.text()


def test_compositor_of_two_streams():
    with Publisher(["one", "two"], codec="vp8") as publisher:
        line = ("compositor name=mix sink_1::xpos=320 ! video/x-raw,width=640 "
                "! fakesink name=mixed silent=false")
        for number, stream_id in enumerate(publisher.publishers):
            line += (f" {publisher.source(stream_id)} ! identity name={stream_id} "
                     f"silent=false ! queue ! mix.sink_{number}")
        with Launch(line) as launch:
            missing = {"one": 5, "two": 5, "mixed": 5}

            def both(text):
                for name in missing:
                    missing[name] -= f"{name}: last-message = chain" in text
                return max(missing.values()) <= 0

            launch.expect(both)
            launch.interrupt()
            assert launch.wait() == 0, launch.text()
        for stream_id in publisher.publishers:
            assert publisher.next_answer(stream_id) == ["VP8", "OPUS"]


def test_sink_that_has_enough_leaves_the_other_pad_alone(publisher):
    """Video ends after 5 frames; audio goes on to its own end much later."""
    description = fill("SRC name=s s.video_0 ! videoconvert ! fakesink num-buffers=5 "
                       "s.audio_0 ! SHOW ! fakesink num-buffers=150", publisher, "abc")
    with Launch(description) as launch:
        assert launch.wait() == 0, launch.text()
    assert sum("last-message = chain" in line for line in launch.lines) >= 150
    assert publisher.next_answer()[0] == "H264"


@pytest.mark.parametrize("description,taken,given", [
    ("SRC ! video/x-raw,format=RGB ! END", "video/x-raw, format=(string)RGB",
     "format=(string)I420"),
    ("SRC ! video/x-h265 ! END", "downstream takes video/x-h265",
     "the publisher offers VP8, VP9, H264"),
    ("SRC ! rtph265depay ! END", "encoding-name=(string)H265",
     "the publisher offers VP8, VP9, H264"),
    ("SRC name=s s.audio_0 ! audio/x-raw,rate=11025 ! END", "rate=(int)11025",
     "rate=(int){ 48000"),
], ids=["raw", "encoded", "rtp", "audio"])
def test_what_is_not_offered_is_an_error_that_names_both_sides(description, taken, given,
                                                               publisher):
    with Launch(fill(description, publisher, "refused")) as launch:
        assert launch.wait() != 0
    errors = [line for line in launch.lines if line.startswith("ERROR: from element")]
    assert len(errors) == 1, launch.text()
    assert "vdoninjasrc" in errors[0].lower()
    assert taken in errors[0] and given in errors[0], errors[0]


def test_cv2_reads_a_pipeline(publisher):
    """OpenCV's own pipelines, as Debian builds them."""
    cv2 = pytest.importorskip("cv2", reason="python3-opencv is not installed")
    if "GStreamer:                   YES" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV is built without GStreamer")
    capture = cv2.VideoCapture(
        publisher.source() + " ! videoconvert ! video/x-raw,format=BGR ! appsink "
        "drop=true max-buffers=2", cv2.CAP_GSTREAMER)
    try:
        assert capture.isOpened()
        for _ in range(10):
            good, frame = capture.read()
            assert good and frame.shape == (180, 320, 3)
        assert frame.std() > 10  # a picture, not a plane
    finally:
        capture.release()
    assert publisher.next_answer()[0] == "H264"


def test_opencv_in_cpp_reads_a_pipeline(publisher):
    """examples/opencv_capture.cpp, if OpenCV's headers were there at build time."""
    program = os.path.join(os.environ.get("BUILD_ROOT", ""), "examples", "opencv-capture")
    if not os.path.exists(program):
        pytest.skip("opencv-capture was not built: libopencv-dev is not installed")
    with Process([program, publisher.source(), "10"]) as process:
        assert process.wait() == 0, process.text()
    frames = [line for line in process.lines if line.startswith("320x180, deviation ")]
    assert len(frames) == 10, process.text()
    assert float(frames[-1].split()[-1]) > 10  # a picture, not a plane
    assert publisher.next_answer()[0] == "H264"
