# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every pixel format: planes, packed block and the helpers for OpenCV and PIL."""
import sys

import numpy as np
import pytest

import shmnumpy
from deadlines import seconds
from ring_writer import PLANES, RingWriter

RANDOM = np.random.default_rng(7)
SIZES = [(64, 48), (7, 5), (1, 1), (2, 3), (161, 2)]


@pytest.fixture(params=["opencv", "numpy"])
def library(request, monkeypatch):
    """The helpers with OpenCV imported, and as if it were not there."""
    if request.param == "opencv":
        pytest.importorskip("cv2", reason="python3-opencv is not installed")
    else:
        monkeypatch.setitem(sys.modules, "cv2", None)
    return request.param


def publish(name, pixel_format, width, height, data=None, copy=True, **more):
    writer = RingWriter(name, stride=0x40000)
    _, size = writer.layout(width, height, pixel_format)
    if data is None:
        data = RANDOM.integers(0, 256, size, dtype=np.uint8)
    writer.publish(np.ascontiguousarray(data).view(np.uint8).reshape(-1), width, height,
                   pixel_format, **more)
    frame = shmnumpy.open(name, copy=copy).read(timeout=seconds(5))
    frame.writer = writer
    return frame, data


@pytest.mark.parametrize("copy", [True, False], ids=["copy", "view"])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "%dx%d" % size)
@pytest.mark.parametrize("pixel_format", PLANES)
def test_planes_hold_what_was_written(name, pixel_format, size, padding, copy):
    width, height = size
    frame, data = publish(name, pixel_format, width, height, copy=copy, padding=padding)
    assert (frame.format, frame.width, frame.height) == (pixel_format, width, height)
    assert b"".join(plane.tobytes() for plane in frame.planes) == data.tobytes()
    half = (-(-height // 2), -(-width // 2))
    shapes = {1: [(height, width)], 2: [(height, width)],
              3: [(height, width, 3)], 4: [(height, width, 4)]}
    expected = {"NV12": [(height, width), half + (2,)],
                "I420": [(height, width), half, half]}.get(
        pixel_format, shapes[PLANES[pixel_format][0][0]])
    assert [plane.shape for plane in frame.planes] == expected
    assert frame.planes[0].dtype == ("<u2" if pixel_format == "GRAY16_LE" else np.uint8)
    if len(frame.planes) == 1:
        assert frame.array is frame.planes[0]
    else:
        assert frame.array.shape == (half[0] * 3, half[1] * 2)
        assert np.array_equal(frame.array[:height, :width], frame.planes[0])
    assert frame.valid()


@pytest.mark.parametrize("pixel_format", ["RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA"])
def test_colour_helpers_put_channels_in_order(name, library, pixel_format):
    frame, data = publish(name, pixel_format, 10, 6)
    pixels = data.reshape(6, 10, -1)
    red, blue = pixel_format.index("R"), pixel_format.index("B")
    expected = np.stack([pixels[..., red], pixels[..., 1], pixels[..., blue]], -1)
    assert np.array_equal(frame.rgb(), expected)
    assert np.array_equal(frame.bgr(), expected[..., ::-1])
    gray = expected @ np.array([.299, .587, .114])
    assert np.abs(frame.gray() - gray).max() <= 1.5
    assert frame.bgr().strides == (30, 3, 1), "OpenCV wants pixels in one row"


@pytest.mark.parametrize("pixel_format", ["GRAY8", "GRAY16_LE"])
def test_gray_helpers(name, library, pixel_format):
    frame, data = publish(name, pixel_format, 10, 6)
    step = 2 if pixel_format == "GRAY16_LE" else 1
    gray = data[step - 1::step].reshape(6, 10)
    assert np.array_equal(frame.gray(), gray)
    assert np.array_equal(frame.bgr(), np.dstack([gray] * 3))


# Y, Cb, Cr of pure red in 8 bits, and the colorimetry that means it.
RED = [("bt601", 81, 90, 240), ("bt709", 63, 102, 240), ("2:6:16:7", 74, 97, 240),
       ("bt2020", 74, 97, 240), ("1:4:0:0", 76, 85, 255), ("", 81, 90, 240)]


@pytest.mark.parametrize("colorimetry, y, cb, cr", RED)
@pytest.mark.parametrize("pixel_format", ["NV12", "I420"])
def test_yuv_helpers_honour_colorimetry(name, library, pixel_format, colorimetry,
                                        y, cb, cr):
    half = 6 * 4
    chroma = [cb, cr] * half if pixel_format == "NV12" else [cb] * half + [cr] * half
    data = np.array([y] * (11 * 7) + chroma, np.uint8)
    frame, _ = publish(name, pixel_format, 11, 7, data, colorimetry=colorimetry.encode())
    assert frame.rgb().shape == (7, 11, 3)
    assert np.abs(frame.rgb().astype(int) - (255, 0, 0)).max() <= 3
    assert np.abs(frame.bgr().astype(int) - (0, 0, 255)).max() <= 3
    assert frame.gray().max() == y


def test_block_is_what_opencv_converts(name):
    cv2 = pytest.importorskip("cv2", reason="python3-opencv is not installed")
    data = np.array([81] * 64 * 48 + [90, 240] * 32 * 24, np.uint8)
    frame, _ = publish(name, "NV12", 64, 48, data)
    bgr = cv2.cvtColor(frame.array, cv2.COLOR_YUV2BGR_NV12)
    assert np.abs(bgr.astype(int) - frame.bgr()).max() <= 3


@pytest.mark.parametrize("pixel_format", PLANES)
def test_image_for_pil(name, library, pixel_format):
    pytest.importorskip("PIL", reason="python3-pil is not installed")
    frame, _ = publish(name, pixel_format, 11, 7)
    image = frame.image()
    assert image.size == (11, 7)
    assert image.mode == ("L" if pixel_format.startswith("GRAY") else "RGB")
