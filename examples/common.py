# SPDX-License-Identifier: MIT
"""What the Python examples share: options, bounded runs, JPEG."""
import argparse
import io
import os
import sys
import time
from typing import Iterator, Optional

try:
    import cv2
except ImportError:  # Pillow does as well, a few times slower
    cv2 = None

try:
    import shmnumpy
except ImportError:  # not installed: the one of this source tree
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                    "python"))
    import shmnumpy


def parser(description: Optional[str]) -> argparse.ArgumentParser:
    """Options that every example has."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--name", default=shmnumpy.DEFAULT_NAME,
                         help="shm-name of the shmnumpysink")
    options.add_argument("--frames", type=int, default=0, metavar="N",
                         help="stop after N frames; 0 = never")
    options.add_argument("--seconds", type=float, default=0, metavar="S",
                         help="stop after S seconds; 0 = never")
    return options


def require_opencv():
    """The cv2 module; leaves with a sentence if it is not there."""
    if cv2 is None:
        sys.exit("this example needs OpenCV: apt install python3-opencv")
    return cv2


class Run:
    """The frames of one bounded run; `count` and `status` tell how it went."""

    def __init__(self, args: argparse.Namespace, copy: bool = True) -> None:
        self.limit, self.count = args.frames, 0
        self.end = time.monotonic() + args.seconds if args.seconds else None
        self.source = shmnumpy.open(args.name, copy=copy)

    def __iter__(self) -> Iterator["shmnumpy.Frame"]:
        with self.source:
            while not self.limit or self.count < self.limit:
                left = None if self.end is None else self.end - time.monotonic()
                if left is not None and left <= 0:
                    return
                frame = self.source.read(left)
                if frame is None:
                    return
                self.count += 1
                yield frame

    @property
    def status(self) -> int:
        """Exit status: 0 if frames came, as many as were asked for."""
        return 0 if self.count >= max(1, self.limit) else 1


def encode_jpeg(frame: "shmnumpy.Frame", quality: int = 85, width: int = 0,
                encoder: str = "auto") -> bytes:
    """A JPEG of the frame, made smaller if it is wider than `width` pixels.

    encoder: "opencv", "pillow", or "auto" for whichever is there.
    """
    if cv2 is not None and encoder != "pillow":
        return encode_bgr(frame.bgr(), quality, width)
    image = frame.image()
    if width and image.width > width:
        image = image.resize((width, max(1, image.height * width // image.width)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_bgr(bgr, quality: int = 85, width: int = 0) -> bytes:
    """A JPEG of uint8[height][width][3] in OpenCV's order."""
    if width and bgr.shape[1] > width:
        size = (width, max(1, bgr.shape[0] * width // bgr.shape[1]))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("OpenCV could not encode the picture")
    return jpeg.tobytes()
