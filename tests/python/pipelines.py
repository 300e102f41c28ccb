# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pipelines with the plugin of this build, in the process of the test."""
import numpy as np
import pytest

from deadlines import seconds

try:
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import GLib, Gst  # noqa: F401
    Gst.init(None)
    MISSING = None if Gst.ElementFactory.find("shmnumpysink") else \
        "shmnumpysink is not in GST_PLUGIN_PATH"
except (ImportError, ValueError) as error:
    MISSING = f"python3-gst-1.0 is not installed: {error}"

needs_element = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
RANDOM = np.random.default_rng(11)


class Pipeline:
    """A playing pipeline; one with `appsrc name=source` is fed by push()."""

    def __init__(self, text):
        self.pipeline = Gst.parse_launch(text)
        self.source = self.pipeline.get_by_name("source")
        self.pipeline.set_state(Gst.State.PLAYING)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def push(self, data, caps=None, pts=None):
        """One frame, laid out as GStreamer does: rows of multiples of 4 bytes."""
        if isinstance(data, np.ndarray):
            rows = data.reshape(data.shape[0], -1)
            data = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
        buffer = Gst.Buffer.new_wrapped(data)
        if pts is not None:
            buffer.pts = pts
        if caps:
            self.source.set_property("caps", Gst.Caps.from_string(caps))
        flow = self.source.emit("push-buffer", buffer)
        assert flow == Gst.FlowReturn.OK, flow

    def end(self):
        """End of stream, and wait until the sink has it."""
        self.source.emit("end-of-stream")
        message = self.pipeline.get_bus().timed_pop_filtered(
            seconds(20) * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        assert message and message.type == Gst.MessageType.EOS, message

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)


def random_frame(pixel_format, width, height):
    """(planes as arrays, bytes in GStreamer's default layout) of random pixels."""
    half = (-(-height // 2), -(-width // 2))
    one = (height, width)
    shapes = {"RGB": [one + (3,)], "BGR": [one + (3,)], "GRAY8": [one],
              "GRAY16_LE": [one], "NV12": [one, half + (2,)], "I420": [one, half, half]
              }.get(pixel_format, [one + (4,)])
    dtype = "<u2" if pixel_format == "GRAY16_LE" else np.uint8
    planes, data = [], b""
    for index, shape in enumerate(shapes):
        plane = RANDOM.integers(0, 256, shape).astype(dtype)
        rows = plane.reshape(shape[0], -1).view(np.uint8)
        block = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
        if index == 0 and len(shapes) > 1:  # luma has an even number of rows
            block = np.pad(block, ((0, shape[0] % 2), (0, 0)))
        planes.append(plane)
        data += block.tobytes()
    return planes, data
