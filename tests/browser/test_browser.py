# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page in Chromium publishes in the manner of VDO.Ninja's web client; its pictures
arrive in NumPy, all through vdoninjasrc and shmnumpysink in gst-launch-1.0. Another, there
and in Firefox, watches what vdoninjasink publishes, and what examples/loop.py makes of the
first one."""
import os
import shutil
import socket
import sys
import time

import numpy as np
import pytest

import pipelines
import programs
import shmnumpy
import stamp

SIZE = (1280, 720)
START_S = 40      # for a browser on a busy machine to start and publish
FULL_SIZE_S = 10  # from the first frame; about 1 s on an idle machine
RECOVER_S = 40
FRAMES = 45
TONE_HZ = 440
RATE = 48000
LOOP = os.path.join(programs.HERE, "..", "..", "examples", "loop.py")
FIREFOX = shutil.which("firefox-esr")


def missing():
    modules = os.path.join(programs.HERE, "node_modules")
    for program in ("chromium", "node", "gst-launch-1.0"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.isdir(os.path.join(modules, "playwright-core")):
        return "node_modules is missing: npm ci --prefix tests/browser"
    if not os.path.exists(programs.HANDSHAKE):
        return "vdoninja-handshake is not built"
    if [interface for _, interface in socket.if_nameindex()] == ["lo"]:
        return "no network but loopback, from which Chromium gathers no candidates"
    return pipelines.MISSING


MISSING = missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


class Picture:
    """A frame as it was read, and when."""

    def __init__(self, frames, deadline):
        frame = frames.read(timeout=max(0, deadline - time.monotonic()), copy=True)
        assert frame is not None, "no frame came in time"
        self.when = time.monotonic()
        self.size = (frame.width, frame.height)
        self.stamp = stamp.read(frame.array)
        self.whole = self.stamp == stamp.read(frame.array, bottom=True)


def full_size(frames, first):
    """Seconds from the first picture to the first of full size."""
    picture = first
    while picture.size != SIZE:
        picture = Picture(frames, first.when + FULL_SIZE_S)
    return picture.when - first.when


def watch(frames):
    """Frames per second by the clock of the page; their stamps must be right."""
    deadline = time.monotonic() + 20
    pictures = [Picture(frames, deadline) for _ in range(FRAMES)]
    good = [picture.stamp for picture in pictures if picture.stamp and picture.whole]
    assert len(good) >= 0.9 * FRAMES
    ages = [stamp.age_ms(ms, good[-1][1]) for _, ms in good]
    assert ages == sorted(ages, reverse=True), "frames out of order"
    steps = np.diff([number for number, _ in good]) & 0xFF
    assert 0 < steps.min() and steps.max() < 128
    return (len(good) - 1) / (ages[0] / 1000)


def painted_after(frames, clock):
    """The first picture that was painted after `clock`."""
    deadline = time.monotonic() + RECOVER_S
    while True:
        picture = Picture(frames, deadline)
        if picture.stamp and stamp.age_ms(picture.stamp[1], clock) < 0:
            return picture


def hears_tone(path, browser):
    """Wait until what was recorded last is the tone of the page."""
    loudest = None
    for _ in range(START_S):
        browser.wait_for("stats", START_S)  # once a second
        sound = np.fromfile(path, "<i2")[-RATE // 2:]
        if len(sound) == RATE // 2 and np.abs(sound).max() > 500:
            spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
            loudest = int(spectrum.argmax()) * 2
            if abs(loudest - TONE_HZ) <= 4:
                return
    raise AssertionError(f"the tone is not heard; loudest is {loudest} Hz")


@pytest.mark.parametrize("codec, password, dialect", [
    ("h264", None, "hosted"),
    ("vp8", "Open, Sesame & 100%!", "custom"),
    ("vp9", "off", "hosted"),
])
def test_published_by_a_browser(name, tmp_path, capsys, codec, password, dialect):
    listens = codec == "vp8"
    tone = tmp_path / "tone"
    source = ["vdoninjasrc", "name=source", "stream-id=browser_cam",
              f"signaling={dialect}"]
    if password is not None:
        source.append(f"password={password}")
    sink = ["!", "shmnumpysink", f"shm-name={name}", "legacy=never", "udp-port=0"]
    if listens:
        sink += ["source.", "!", "audio/x-raw", "!", "audioconvert", "!",
                 "audioresample", "!", f"audio/x-raw,format=S16LE,rate={RATE},channels=1",
                 "!", "filesink", f"location={tone}", "sync=false", "buffer-size=4096"]

    with programs.Server(dialect) as server, \
            programs.Browser(server, "browser_cam", codec=codec, password=password,
                             dialect=dialect) as browser, \
            programs.Launch(*source, f"server={server.url}", *sink) as launch, \
            shmnumpy.open(name) as frames:
        begin = full_size(frames, Picture(frames, time.monotonic() + START_S))
        rate = watch(frames)
        sent = browser.wait_for("stats", START_S, frameWidth=SIZE[0])
        assert sent["codec"].lower() == f"video/{codec}"
        assert sent["frameHeight"] == SIZE[1] and sent["framesSent"] > 0
        if listens:
            hears_tone(tone, browser)

        browser.reload()
        left = time.monotonic()
        # From here on every event is one of the new page.
        browser.wait_for("ready", START_S)
        first = painted_after(frames, stamp.now_ms())
        again = full_size(frames, first)
        watch(frames)
        assert launch.running()
    with capsys.disabled():
        print(f"\n{codec}, {dialect}: 1280x720 after {begin:.2f} s, {rate:.1f} frames/s; "
              f"after a reload frames in {first.when - left:.2f} s, 1280x720 {again:.2f} s later")


def watched(codecs, password, dialect, **browser):
    """Whether enough pictures are shown of what vdoninjasink publishes."""
    sink = ["vdoninjasink", "stream-id=browser_cam", f"signaling={dialect}",
            f"video-codecs={codecs}"]
    if password is not None:
        sink.append(f"password={password}")
    picture = ["videotestsrc", "is-live=true", "!",
               "video/x-raw,width=640,height=360,framerate=30/1", "!"]
    with programs.Server(dialect) as server, \
            programs.Launch(*picture, *sink, f"server={server.url}") as launch, \
            programs.Viewer(server, "browser_cam", password=password, dialect=dialect,
                            **browser) as viewer:
        return viewer.pictures(FRAMES, START_S) >= FRAMES and launch.running()


@pytest.mark.parametrize("codecs, password, dialect", [
    ("<H264,VP8>", None, "hosted"),
    ("<VP8>", "Open, Sesame & 100%!", "custom"),
    ("<VP9>", "off", "hosted"),
])
def test_watched_by_a_browser(codecs, password, dialect):
    """By a page that knows nothing of it."""
    assert watched(codecs, password, dialect)


def has_default_route():
    with open("/proc/net/route", encoding="ascii") as routes:
        return any(line.split()[1] == "00000000" for line in list(routes)[1:])


@pytest.mark.skipif(not FIREFOX, reason="firefox-esr is not installed")
@pytest.mark.skipif(not has_default_route(), reason="Firefox finds no address where there "
                    "is no default route, as in the network of tests/run.sh")
def test_watched_by_firefox():
    """Which may have no H.264, and takes VP8 then."""
    assert watched("<H264,VP8>", None, "hosted", firefox=FIREFOX)


@pytest.mark.skipif(not MISSING and not pipelines.Gst.ElementFactory.find("shmnumpysrc"),
                    reason="shmnumpysrc is not built")
def test_watched_by_a_browser_through_python():
    """Pictures and ticks of one page in another; also after the first one was reloaded.
    Small ones: two browsers and an encoder share the machine."""
    full = {"width": 640, "height": 360}
    with programs.Server("hosted") as server, \
            programs.Browser(server, "browser_cam", codec="h264",
                             size="640x360") as browser, \
            programs.Program(sys.executable, LOOP, "--server", server.url, "--view",
                             "browser_cam", "--push", "result", "--work",
                             "numpy:ascontiguousarray") as loop, \
            programs.Viewer(server, "result") as viewer:
        viewer.painted_after(0, FRAMES, START_S, **full)
        viewer.hears(1, START_S)
        browser.reload()
        browser.wait_for("ready", START_S)
        viewer.painted_after(time.time() * 1000, FRAMES, RECOVER_S, **full)
        viewer.hears(1, START_S)
        assert loop.running()
