#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes one table (table.md) and one plot (figures.png) of what tests/bench/run.sh measured.

figures.py FOLDER     the folder with shm.txt, latency.txt, decode.txt and viewer.txt
"""
import os
import platform
import re
import sys

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
OURS, OTHERS, INK, PAPER = "#2a7f4f", "#9aa0a6", "#202124", "#ffffff"
PUBLISH_PY = "publish.py"


def read(folder, name):
    try:
        with open(os.path.join(folder, name + ".txt"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def shm(text):
    """us of CPU for each 1080p frame."""
    rows = [("shmnumpysink, painted in its memory", "sink in place 1080p", True),
            ("shmnumpysink, copies RGB", "sink copies 1080p", True),
            ("shmnumpysink, converts I420", "sink converts I420 1080p", True),
            ("shmsink, own buffers", "shmsink, own buffers 1080p", False),
            ("shmsink, other's buffers", "shmsink, other's buffers 1080p", False),
            ("appsink, mapped in Python", "appsink from Python, map 1080p", False),
            (f"{PUBLISH_PY} --framebuffer, its sink", "publish.py new_sample 1080p", False)]
    found = dict(re.findall(r"^(.+?) +([\d.]+) us$", text, re.M))
    return [(label, float(found[key]), mine) for label, key, mine in rows if key in found]


def latency(text):
    """us from the push to an ndarray in another process."""
    rows = [("shmnumpy, view", "ring, view", True), ("shmnumpy, copy", "ring, copy", True),
            ("datagram and copy, as for publish.py", "legacy UDP, copy", False)]
    found = dict(re.findall(r"^  (.+?) +median +(\d+)", text, re.M))
    return [(label, float(found[key]), mine) for label, key, mine in rows if key in found]


def viewers(text):
    """(name, landed %, latency ms, p95 ms, CPU ms a frame, first frame s) of each."""
    return [(name, *map(float, rest)) for name, *rest in re.findall(
        r"^  (\S.*?) +landed +([\d.]+) % +latency +(\d+) ms \(p95 +(\d+)\) +CPU +([\d.]+) "
        r"ms/frame +first frame +([\d.]+) s", text, re.M)]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def panels(folder):
    """(title, rows) with rows of (label, value, ours)."""
    result = [("CPU for each 1080p frame into shared memory, µs", shm(read(folder, "shm"))),
              ("From the push to an ndarray in another process, 1080p, µs",
               latency(read(folder, "latency")))]
    measured = viewers(read(folder, "viewer"))
    for index, what in ((2, "From painting to having read it, 720p, ms"),
                         (4, "CPU of the receiver for each 720p frame, ms"),
                         (5, "From starting to the first frame, s")):
        result.append((what, [(row[0], row[index], row[0].startswith("vdoninjasrc"))
                              for row in measured]))
    return [(title, rows) for title, rows in result if rows]


def conditions(folder):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^(?:model name|Model)\s*: (.*)", file.read(), re.M)
    name = model[1].strip() if model else platform.machine()
    load = re.findall(r"load ([\d.]+) on (\d+) cores", read(folder, "viewer"))
    return name + (f", {load[0][1]} cores, load {load[0][0]}" if load else "")


def table(folder):
    lines = ["| what | | | beside the first |", "|---|---|---:|---:|"]
    for title, rows in panels(folder):
        for label, value, _ in rows:
            lines.append(f"| {title} | {label} | {number(value)} | "
                         f"{number(value / rows[0][1])} |")
            title = ""
    decode = read(folder, "decode")
    added = re.search(r"added to the bare chain, median of frames: (-?[\d.]+)", decode)
    if added:
        lines.append("| Added by `vdoninjasrc` to a bare `rtph264depay ! h264parse ! avdec_h264`,"
                     f" 720p, ms | | {added[1]} | |")
    title = "Frames that arrived, of those published, 720p, %"
    for name, landed, *_ in viewers(read(folder, "viewer")):
        lines.append(f"| {title} | {name} | {landed} | |")
        title = ""
    return "\n".join(lines) + f"\n\nOn: {conditions(folder)}.\n"


def plot(folder, path):
    def font(size):
        return ImageFont.truetype(FONT, size) if os.path.exists(FONT) \
            else ImageFont.load_default()

    width, left, right, row_height, gap = 1000, 330, 110, 26, 54
    all_panels = panels(folder)
    height = sum(gap + row_height * len(rows) for _, rows in all_panels) + 50
    image = Image.new("RGB", (width, height), PAPER)
    draw, y = ImageDraw.Draw(image), 8
    for title, rows in all_panels:
        draw.text((16, y + 10), title, INK, font(17))
        y += gap - 14
        most = max(value for _, value, _ in rows)
        for label, value, mine in rows:
            draw.text((left - 10, y + 4), label, INK, font(14), anchor="ra")
            end = left + max(2, round((width - left - right) * value / most))
            draw.rectangle((left, y + 3, end, y + row_height - 4), OURS if mine else OTHERS)
            draw.text((end + 8, y + 4), number(value), INK, font(14))
            y += row_height
        y += 14
    draw.text((16, height - 30), "Less is better. " + conditions(folder), OTHERS, font(13))
    image.save(path, optimize=True)


def main():
    folder = sys.argv[1]
    text = table(folder)
    with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as file:
        file.write(text)
    plot(folder, os.path.join(folder, "figures.png"))
    print(text, end="")


if __name__ == "__main__":
    main()
