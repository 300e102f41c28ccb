#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the picture that the README shows: a photograph that moves a little before the camera
of a browser, published, received by vdoninjasrc and shmnumpysink, searched by detect.py.

meson devenv -C build tests/browser/picture.py PHOTO OUTPUT.png

The photograph in docs/images is skimage/data/astronaut.png of Debian's python3-skimage.
"""
import os
import secrets
import subprocess
import sys
import tempfile
import time

import programs

SCREENSHOT = """
import {chromium} from 'playwright-core';
const [url, path] = process.argv.slice(1);
const browser = await chromium.launch({executablePath: '/usr/bin/chromium',
                                       chromiumSandbox: process.getuid() !== 0});
const page = await browser.newPage({viewport: {width: 1000, height: 690}});
await page.goto(url, {waitUntil: 'commit'});
await page.waitForTimeout(6000);
await page.screenshot({path});
await browser.close();
"""
EXAMPLES = os.path.join(programs.HERE, "..", "..", "examples")
SIZE, SECONDS = "1280x720", 8
# A hand that is not quite still.
PAN = ("crop=480:270:16+14*sin(2*PI*t/{0}):6+6*cos(2*PI*t/{0}),scale={1}:flags=lanczos,"
       "fps=30".format(SECONDS, SIZE.replace("x", ":")))


def film(photo, path):
    subprocess.run(["ffmpeg", "-v", "error", "-loop", "1", "-framerate", "30", "-i", photo,
                    "-vf", PAN, "-t", str(SECONDS), "-pix_fmt", "yuvj420p", "-q:v", "2", path], check=True)


def screenshot(url, path):
    """What a browser shows after some seconds."""
    subprocess.run(["node", "--input-type=module", "-e", SCREENSHOT, url, path],
                   cwd=programs.HERE, check=True)


def main():
    photo, output = sys.argv[1:]
    name = f"camera-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "camera.mjpeg")
        film(photo, path)
        with programs.Server("hosted") as server, \
                programs.Browser(server, "camera", codec="h264", size=SIZE,
                                 camera=path) as browser, \
                programs.Launch("vdoninjasrc", "stream-id=camera", f"server={server.url}",
                                "signaling=hosted", "!", "shmnumpysink",
                                f"shm-name={name}", "legacy=never", "udp-port=0"), \
                programs.Program(sys.executable, "-u", os.path.join(EXAMPLES, "detect.py"),
                                 "--name", name, "--model", "faces", "--port",
                                 "0") as detect:
            url = detect.line(time.monotonic() + 60)
            browser.wait_for("stats", 60, frameWidth=1280)
            deadline = time.monotonic() + 60
            while not detect.line(deadline).startswith("1 faces"):
                pass
            time.sleep(5)
            screenshot(url, os.path.abspath(output))


if __name__ == "__main__":
    main()
