# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drawings that OpenCV's detectors take for what they look for; uint8[480][640]."""
import numpy as np


def face():
    import cv2
    picture = np.full((480, 640), 90, np.uint8)
    x, y = 320, 240

    def ellipse(dx, dy, width, height, shade):
        cv2.ellipse(picture, (x + dx, y + dy), (width, height), 0, 0, 360, shade, -1)

    ellipse(0, 0, 90, 120, 190)
    for side in (-38, 38):
        ellipse(side, -30, 24, 12, 90)
        ellipse(side, -28, 12, 7, 40)
        ellipse(side, -52, 28, 6, 80)
    ellipse(0, 10, 10, 34, 215)
    ellipse(0, 42, 22, 8, 150)
    ellipse(0, 72, 38, 10, 100)
    return cv2.GaussianBlur(picture, (0, 0), 5)


def person():
    import cv2
    picture = np.full((480, 640), 200, np.uint8)

    def at(x, y):
        return 320 + x * 6 // 10, 240 + y * 6 // 10

    cv2.circle(picture, at(0, -130), 13, 60, -1)
    body = np.array([at(-40, -105), at(40, -105), at(34, 20), at(-34, 20)])
    cv2.fillPoly(picture, [body], 60)
    for side in (-1, 1):
        cv2.line(picture, at(side * 42, -95), at(side * 52, 20), 60, 11)
        cv2.line(picture, at(side * 18, 20), at(side * 24, 170), 60, 16)
    return cv2.GaussianBlur(picture, (0, 0), 2)
