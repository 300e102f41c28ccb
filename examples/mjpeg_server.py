#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows the frames in web browsers, as MJPEG with frame rate and age.

gst-launch-1.0 videotestsrc is-live=true ! shmnumpysink shm-name=test
python3 examples/mjpeg_server.py --name test

/ is the page, /stream.mjpg the moving picture, /snapshot.jpg the newest one and /stats
what the page shows, as JSON. A picture is encoded when the first viewer asks for it and
once for all; a slow viewer skips pictures, and neither others nor the writer notice.
"""
import collections
import html
import http.server
import json
import socket
import sys
import threading
import time
from typing import Callable, Optional

from common import Run, encode_jpeg, parser

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>shmnumpy</title>
<style>
  :root { color-scheme: dark; font: 15px/1.5 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: flex; flex-direction: column;
         background: #14161a; color: #e8eaed; }
  header, footer { padding: .8rem 1.2rem; display: flex; gap: 1.6rem; flex-wrap: wrap; }
  h1 { font-size: 1rem; font-weight: 600; margin: 0; margin-right: auto; }
  #dot { display: inline-block; width: .6em; height: .6em; border-radius: 50%;
         margin-right: .5em; background: #e05252; }
  #dot.live { background: #3fb96b; }
  main { flex: 1; display: grid; place-items: center; padding: 0 1.2rem; }
  img { max-width: 100%; max-height: 82vh; border-radius: .6rem; background: #000;
        box-shadow: 0 .3rem 2rem #0008; }
  b { font-variant-numeric: tabular-nums; }
  span.key { color: #9aa0a6; margin-right: .4em; }
  a { color: #8ab4f8; text-decoration: none; }
</style>
<header><h1><i id="dot"></i>TITLE</h1><a href="/snapshot.jpg">snapshot</a></header>
<main><img id="picture" alt="live picture"></main>
<footer>
  <div><span class="key">size</span><b id="size">-</b></div>
  <div><span class="key">frames/s</span><b id="rate">-</b></div>
  <div><span class="key">age</span><b id="age">-</b></div>
  <div><span class="key">frame</span><b id="number">-</b></div>
  <div><span class="key">viewers</span><b id="viewers">-</b></div>
  <div id="notes"></div>
</footer>
<script>
  const at = id => document.getElementById(id);
  const play = () => at('picture').src = '/stream.mjpg?' + Date.now();
  at('picture').onerror = () => setTimeout(play, 1000);
  onload = () => setTimeout(play);  // later than that, or the page is never done loading
  async function look() {
    try {
      const s = await (await fetch('/stats')).json();
      at('dot').className = s.age_ms !== null && s.age_ms < 2000 ? 'live' : '';
      at('size').textContent = s.width ? `${s.width} x ${s.height}  ${s.format}` : 'none';
      at('rate').textContent = s.fps.toFixed(1);
      at('age').textContent = s.age_ms === null ? '-' : `${s.age_ms.toFixed(1)} ms`;
      at('number').textContent = s.number;
      at('viewers').textContent = s.viewers;
      at('notes').replaceChildren(...Object.entries(s.notes).flatMap(([name, value]) => {
        const key = document.createElement('span'), text = document.createElement('b');
        key.className = 'key', key.textContent = name, text.textContent = value + ' ';
        return [key, text];
      }));
    } catch { at('dot').className = ''; }
    setTimeout(look, 500);
  }
  look();
</script>
"""


class Picture:
    """One frame and its JPEG, which is made when it is first asked for."""

    def __init__(self, frame, encode: Callable[[], bytes]) -> None:
        self.frame, self._encode = frame, encode
        self._jpeg: Optional[bytes] = None
        self._lock = threading.Lock()

    def jpeg(self) -> bytes:
        with self._lock:
            if self._jpeg is None:
                self._jpeg = self._encode()
            return self._jpeg


class Hub:
    """Holds the newest picture; any number of viewers wait here for the next one."""

    def __init__(self, title: str) -> None:
        self.title, self.viewers = title, 0
        self.notes: dict = {}  # name: text, shown on the page beside the rest
        self._changed = threading.Condition()
        self._picture: Optional[Picture] = None
        self._times: collections.deque = collections.deque(maxlen=60)
        self._closed = False

    def show(self, frame, encode: Optional[Callable[[], bytes]] = None) -> None:
        """The next picture: `frame`, or what encode() makes of it."""
        with self._changed:
            self._picture = Picture(frame, encode or (lambda: encode_jpeg(frame)))
            self._times.append(time.monotonic())
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, seen: Optional[Picture]) -> Optional[Picture]:
        """The newest picture once it is another than `seen`; None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._picture is not seen)
            return None if self._closed else self._picture

    def newest(self) -> Optional[Picture]:
        return self._picture

    def count_viewer(self, step: int) -> None:
        with self._changed:
            self.viewers += step

    def stats(self) -> dict:
        with self._changed:
            times = [t for t in self._times if t > time.monotonic() - 2]
            frame = self._picture.frame if self._picture else None
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        return {"fps": rate, "viewers": self.viewers, "notes": self.notes,
                "number": frame.number if frame else 0,
                "width": frame.width if frame else 0,
                "height": frame.height if frame else 0,
                "format": frame.format if frame else "",
                "age_ms": frame.age * 1e3 if frame else None}


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection, in a thread of its own."""

    hub: Hub
    timeout = 30  # a viewer that takes nothing for so long is dropped

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        try:
            if path == "/":
                page = PAGE.replace("TITLE", html.escape(self.hub.title))
                self.reply("text/html; charset=utf-8", page.encode(), body)
            elif path == "/stats":
                stats = json.dumps(self.hub.stats()).encode()
                self.reply("application/json", stats, body)
            elif path == "/snapshot.jpg":
                picture = self.hub.newest()
                if picture is None:
                    self.send_error(503, "No frame yet")
                else:
                    self.reply("image/jpeg", picture.jpeg(), body)
            elif path == "/stream.mjpg":
                self.stream(body)
            else:
                self.send_error(404)
        except OSError:  # the viewer has left
            self.close_connection = True

    def reply(self, kind: str, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def stream(self, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if not body:
            return
        # A short queue in the kernel: what waits there gets old.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        self.hub.count_viewer(1)
        try:
            picture = None
            while (picture := self.hub.after(picture)) is not None:
                jpeg = picture.jpeg()
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\n"
                    b"X-Frame-Number: %d\r\nContent-Length: %d\r\n\r\n%b\r\n"
                    % (picture.frame.number, len(jpeg), jpeg))
        finally:
            self.hub.count_viewer(-1)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves a hub in the background: `with Server(hub, host, port): ...`"""

    daemon_threads, block_on_close = True, False

    def __init__(self, hub: Hub, host: str, port: int) -> None:
        self.hub = hub
        super().__init__((host, port), type("BoundHandler", (Handler,), {"hub": hub}))
        print(f"http://{host or '*'}:{self.server_port}/", flush=True)

    def __enter__(self) -> "Server":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hub.close()
        self.shutdown()
        self.server_close()


def add_options(options) -> None:
    """--host and --port, for all programs that serve a hub."""
    options.add_argument("--host", default="127.0.0.1",
                         help="address to listen on; 0.0.0.0 lets everybody look")
    options.add_argument("--port", type=int, default=8081, help="0 = any free one")


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    add_options(options)
    options.add_argument("--quality", type=int, default=85, help="of the JPEG, 1 to 100")
    options.add_argument("--encoder", default="auto",
                         choices=["auto", "opencv", "pillow"])
    args = options.parse_args()
    run, hub, told = Run(args), Hub(args.name), 0.0
    with Server(hub, args.host, args.port):
        for frame in run:
            hub.show(frame, lambda frame=frame: encode_jpeg(
                frame, args.quality, encoder=args.encoder))
            if time.monotonic() - told > 1:
                told = time.monotonic()
                print(f"{frame.array.shape} {frame.format}, "
                      f"{hub.stats()['fps']:.1f} frames/s, {frame.age * 1e3:.2f} ms from "
                      f"the sink, {hub.viewers} viewers", flush=True)
    return run.status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
