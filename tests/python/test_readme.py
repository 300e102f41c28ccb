# SPDX-License-Identifier: LGPL-2.1-or-later
"""The launch lines and Python programs of README.md and docs/ do what they say.

A block of `sh` or `python` that needs a stream has a comment above it: <!-- run --> or
<!-- run: codec=h264 password=secret --> for what the publisher must be, <!-- run: once -->
for a program that ends by itself, <!-- run: ring --> for a line that takes frames from
shared memory, <!-- run: publish --> for one that publishes, which a viewer then watches,
<!-- run: page --> for a program that serves pictures on port 5000,
<!-- skip: why --> for what cannot run here. A launch line in a block without one fails the
test.

What a line says stays as it is, but for the place of the server, the name of the shared
memory, and displays and loudspeakers, which become sinks that only wait for the clock.
While a line records, the picture grows to twice its size and back, as one does when
somebody turns a phone; all of it must be in the file, and be decoded without a complaint.
"""
import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

gi = pytest.importorskip("gi")
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402
from deadlines import seconds  # noqa: E402
from loopback import ROOT, Publisher, complaints  # noqa: E402

BLOCK = re.compile(r"(?:<!-- (run|skip)(?:: (.*?))? -->\n)?```(sh|python)\n(.*?)```", re.S)
FRAMES, DEADLINE = 10, seconds(60)  # buffers that each sink must get, within seconds

Gst.init(None)


def blocks():
    """Each line or program: (id, mark, options, language, text)."""
    pages = sorted(os.path.join("docs", name) for name in os.listdir(
        os.path.join(ROOT, "docs")) if name.endswith(".md"))
    for name in ["README.md", *pages]:
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            for mark, options, language, text in BLOCK.findall(file.read()):
                parts = [text] if language == "python" else \
                    re.findall(r"^gst-launch-1\.0.*?(?<!\\)$", text, re.M | re.S)
                for part in parts:
                    yield name, mark, options, language, part


CASES = list(blocks())
IDS = [f"{name}-{number}" for number, (name, *_) in enumerate(CASES)]


def adapt(line, server, name):
    """The description of the pipeline, with our server, shared memory and sinks."""
    ours = {"vdoninjasrc": [f"server={server}", "signaling=hosted"],
            "vdoninjasink": [f"server={server}", "signaling=hosted"],
            "shmnumpysink": [f"shm-name={name}", "udp-port=0"],
            "shmnumpysrc": [f"shm-name={name}"]}
    displays = {"autovideosink": "fakesink sync=true", "autoaudiosink": "fakesink sync=true"}
    result, pending = [], []
    for word in shlex.split(line.replace("\\\n", " "))[1:]:
        if not re.match(r"[a-z-]+=", word):  # the properties of an element end here
            result += pending
            pending = ours.get(word, [])
        if word != "-e":
            word = displays.get(word, word)
            result.append(f'"{word}"' if " " in word and "=" not in word else word)
    return " ".join(result + pending)


class Pipeline:
    """A launch line that plays, and how many buffers each of its sinks got."""

    def __init__(self, description):
        self.counts, self.sizes = {}, []
        self.pipeline = Gst.parse_launch(description)
        if not isinstance(self.pipeline, Gst.Pipeline):
            element, self.pipeline = self.pipeline, Gst.Pipeline()
            self.pipeline.add(element)
        self.pipeline.connect("deep-element-added", lambda _p, _b, e: self.watch(e))
        for element in self.everything():
            self.watch(element)

    def everything(self):
        iterator, found = self.pipeline.iterate_recurse(), []
        while True:
            result, element = iterator.next()
            if result != Gst.IteratorResult.OK:
                return found
            found.append(element)

    def watch(self, element):
        parent = element.get_parent()
        while parent and parent != self.pipeline:
            factory = parent.get_factory()
            if factory and factory.get_name() in ("vdoninjasrc", "vdoninjasink"):
                return
            parent = parent.get_parent()
        factory = element.get_factory()
        if factory and factory.get_name() == "vdoninjasrc":
            element.connect("pad-added", lambda _e, pad: self.watch_size(pad))
        name = element.get_name()
        is_sink = not any(pad.get_direction() == Gst.PadDirection.SRC
                          for pad in element.pads) and element.get_static_pad("sink")
        if not is_sink or isinstance(element, Gst.Bin) or name in self.counts:
            return
        self.counts[name] = 0

        def count(_pad, _info):
            self.counts[name] += 1
            return Gst.PadProbeReturn.OK

        element.get_static_pad("sink").add_probe(
            Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, count)

    def watch_size(self, pad):
        """The width of each picture that comes out of the source."""
        def note(pad, _info):
            caps = pad.get_current_caps()
            found, width = caps.get_structure(0).get_int("width") if caps else (False, 0)
            if found:
                self.sizes.append(width)
            return Gst.PadProbeReturn.OK

        if pad.get_name().startswith("video"):
            pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, note)

    def see(self, width):
        """Wait for some more pictures of this width."""
        begin = len(self.sizes)
        self.wait(lambda: self.sizes[begin:].count(width) >= FRAMES,
                  Gst.MessageType.UNKNOWN, f"pictures {width} pixels wide")

    def done(self):
        return self.counts and all(n >= FRAMES for n in self.counts.values())

    def wait(self, done, kinds, what):
        bus, left = self.pipeline.get_bus(), DEADLINE * 10
        while not done():
            message = bus.timed_pop_filtered(Gst.SECOND // 10,
                                             kinds | Gst.MessageType.ERROR)
            if message and message.type == Gst.MessageType.ERROR:
                pytest.fail(f"{what}: {message.parse_error()}")
            if message:
                return
            left -= 1
            if not left:
                pytest.fail(f"{what}: not within {DEADLINE} s, buffers: {self.counts}")

    def __enter__(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        return self

    def __exit__(self, *_):
        self.pipeline.set_state(Gst.State.NULL)

    def play(self):
        self.wait(self.done, Gst.MessageType.UNKNOWN, "frames")

    def finish(self):
        self.pipeline.send_event(Gst.Event.new_eos())
        self.wait(lambda: False, Gst.MessageType.EOS, "end of stream")


def needs(options):
    """The publisher that the options ask for."""
    settings = dict(option.split("=") for option in (options or "").split())
    return Publisher(settings.pop("ids", "abc").split(","), **settings)


@pytest.mark.parametrize("_file,mark,options,language,text", CASES, ids=IDS)
def test_it_runs_as_written(_file, mark, options, language, text, name, tmp_path,
                            monkeypatch):
    if mark == "skip":
        pytest.skip(options)
    assert mark, "the block has neither <!-- run --> nor <!-- skip: why -->"
    monkeypatch.chdir(tmp_path)
    if options == "once":
        subprocess.run([sys.executable, "-c", text], check=True)
        return
    if language == "python":
        run_python(text, name, options)
        return
    if options == "publish":
        with ring_for(text, name):
            watch(text, name)
        return
    if options == "ring":
        with ring_for(text, name), Pipeline(adapt(text, "", name)) as pipeline:
            pipeline.play()
        return
    with needs(options) as publisher:
        with Pipeline(adapt(text, publisher.server, name)) as pipeline:
            pipeline.play()
            if " -e " in text:
                for width in (640, 320):
                    publisher.change_size()
                    pipeline.see(width)
                pipeline.finish()
    if " -e " in text:
        check_recording(tmp_path)


def ring_for(line, name):
    """What the program would write that a line with shmnumpysrc takes frames from."""
    if "shmnumpysrc" not in line:
        return contextlib.nullcontext()
    return Pipeline("videotestsrc is-live=true ! video/x-raw,width=320,height=180 "
                    f"! shmnumpysink shm-name={name} legacy=never")


def watch(line, name):
    """A line that publishes, seen by a viewer."""
    stream_id = re.search(r"vdoninjasink(?: \S+)*? stream-id=(\w+)", line)[1]
    password = re.search(r"password=\w+", line)
    viewer = (f"vdoninjasrc stream-id={stream_id} {password[0] if password else ''} "
              "! fakesink sync=false")
    with Publisher(re.findall(r"vdoninjasrc stream-id=(\w+)", line)) as other:
        with Pipeline(adapt(line, other.server, name)), \
                Pipeline(adapt("x " + viewer, other.server, name)) as watching:
            watching.play()


def check_recording(folder):
    """What was written, one file or many, has pictures of both sizes and none is broken."""
    assert sum(file.stat().st_size for file in folder.iterdir()) > 3000
    if not shutil.which("ffprobe"):
        pytest.skip("ffmpeg is not installed: the recording is not read")
    widths = []
    for file in sorted(folder.iterdir()):
        if file.suffix == ".m3u8":
            continue
        probe = subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
             "frame=width", "-of", "default=nokey=1:noprint_wrappers=1", str(file)],
            capture_output=True, text=True, check=True)
        assert not complaints(probe.stderr), f"{file.name}: {probe.stderr}"
        widths += [int(line) for line in probe.stdout.split() if line.isdigit()]
        if file.suffix != ".ts":
            length = subprocess.check_output(
                ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
                 "default=nokey=1:noprint_wrappers=1", str(file)], text=True)
            assert float(length) > 1  # N/A in a file that was not finished
    runs = [width for i, width in enumerate(widths) if not i or widths[i - 1] != width]
    assert runs == [320, 640, 320], widths
    assert widths.count(640) >= FRAMES - 2, widths


def run_python(text, name, options):
    """Until it has printed something about ten frames, or shown them on a page."""
    for module in re.findall(r"^(?:import|from) (\w+)", text, re.M):
        if module != "shmnumpy" and not importlib.util.find_spec(module):
            pytest.skip(f"the Python module {module} is not installed")
    look_at = look_at_page if options == "page" else print_frames
    if '("abc"' in text:
        with needs(options) as publisher:
            place = f'server="{publisher.server}", signaling="hosted"'
            print_frames(text.replace('("abc"', f'("abc", {place}'))
    elif "shmnumpy.open(" in text:
        text = re.sub(r'create\("\w+"', f'create("{name}-b"', text)
        text = text.replace("shmnumpy.open(", f'shmnumpy.open("{name}", ').replace(", )", ")")
        source = "videotestsrc is-live=true ! video/x-raw,width=320,height=180"
        with Pipeline(f"{source} ! shmnumpysink shm-name={name} udp-port=0"):
            look_at(text)
    else:
        print_frames(text)


def print_frames(program):
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE,
                          text=True, start_new_session=True) as process:
        lines = [process.stdout.readline() for _ in range(FRAMES)]
        os.killpg(process.pid, signal.SIGTERM)  # and what it forked
    assert all(lines), lines


def look_at_page(program):
    """Ten pictures come from it, on a port that it is given."""
    assert "port=5000" in program
    with subprocess.Popen([sys.executable, "-c", program.replace("port=5000", "port=0")],
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            place = next((found[0] for line in process.stderr
                          if (found := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
            assert place, "it told no address"
            with urllib.request.urlopen(place, timeout=DEADLINE) as page:
                heads = seen = 0
                while heads <= FRAMES and (line := page.readline()):
                    heads += line == b"Content-Type: image/jpeg\r\n"
                    seen += line.startswith(b"\xff\xd8")  # a JPEG begins
        finally:
            process.terminate()
    assert seen == FRAMES


def test_figures_of_the_readme_are_those_of_the_table():
    pages = {}
    for page in ("README.md", os.path.join("docs", "figures.md")):
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            pages[page] = " ".join(file.read().split())
    claimed = re.search(r"takes ([\d.]+) times the CPU for each frame and ([\d.]+) times as "
                        r"long from painting", pages["README.md"])
    told = [re.search(rf"\| {what}[^|]*\|(?:[^|]*\|){{5}} publish.py --buffer 50 "
                      r"\|[^|]*\| ([\d.]+) \|", pages[os.path.join("docs", "figures.md")])[1]
            for what in ("CPU of the receiver", "From painting")]
    assert list(claimed.groups()) == told
