// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishes a canvas and a tone through a VDO.Ninja handshake server. The query says how:
// server, id, dialect (hosted or custom), codec, password, salt, size, and camera, with which
// the picture is the camera's. What happens is
// handed to window.report(text) as JSON where a driver has put it, else to the console.
import {makeMedia, openCamera} from './media.js';
import {Secret} from './secret.js';
import {Viewer, randomText} from './viewer.js';

const RECONNECT_MS = 5000;
const SEED_RETRY_MS = 5000;
// What the web client waits before it gives up on a viewer that asks again.
const CONNECTING_MS = 3000;

const query = new URLSearchParams(location.search);

function report(event, more = {}) {
  const text = JSON.stringify({event, ms: Math.round(performance.now()), ...more});
  (window.report ?? console.log)(text);
}

class Publisher {
  #socket = null;
  #self = randomText(20); // custom dialect only, hosted servers give us a name
  #custom = query.get('dialect') === 'custom';
  #stopped = false;
  viewers = new Map();
  report = report;

  constructor(secret, media) {
    this.secret = secret;
    this.media = media;
    this.codec = query.get('codec');
    this.wireId = secret.wireId(query.get('id'));
  }

  connect() {
    this.#socket = new WebSocket(query.get('server'));
    this.#socket.onopen = () => this.#seed();
    this.#socket.onmessage = event => this.#receive(JSON.parse(event.data));
    this.#socket.onclose = () => {
      report('offline');
      if (!this.#stopped)
        setTimeout(() => this.connect(), RECONNECT_MS);
    };
  }

  sendSocket(message) {
    if (this.#custom)
      message = {...message, from: this.#self};
    if (this.#socket.readyState === WebSocket.OPEN)
      this.#socket.send(JSON.stringify(message));
  }

  drop(viewer) {
    viewer.close(false);
    if (this.viewers.get(viewer.uuid) === viewer)
      this.viewers.delete(viewer.uuid);
  }

  stop() {
    this.#stopped = true;
    for (const viewer of this.viewers.values())
      viewer.close(true);
    this.viewers.clear();
    this.#socket.close();
  }

  async reportStats() {
    for (const viewer of this.viewers.values()) {
      const stats = await viewer.stats();
      if (stats)
        report('stats', stats);
    }
  }

  #seed() {
    this.sendSocket({request: 'seed', streamID: this.wireId});
    report('ready', {streamID: this.wireId});
  }

  #receive(message) {
    let peer = message.UUID;
    if (this.#custom) {
      if (message.from === this.#self || (peer && peer !== this.#self))
        return;
      peer = message.from;
    }
    const request = message.request?.toLowerCase();
    const viewer = this.viewers.get(peer);
    if (request === 'alert' || request === 'error' || message.error)
      this.#alert(message.message ?? message.error);
    else if (request === 'offersdp')
      this.#invite(peer);
    else if (request === 'play' && message.streamID === this.wireId)
      this.#invite(peer);
    else if (viewer && (request === 'cleanup' || message.bye))
      this.drop(viewer);
    else
      viewer?.receive(message);
  }

  #alert(text) {
    report('alert', {message: text});
    if (/already in use/.test(text))
      setTimeout(() => this.#seed(), SEED_RETRY_MS);
  }

  #invite(peer) {
    const old = this.viewers.get(peer);
    if (old?.state === 'connected')
      return;
    const wait = old ? old.born + CONNECTING_MS - performance.now() : 0;
    if (wait > 0 && old.state !== 'failed') {
      setTimeout(() => this.viewers.get(peer) === old && this.#invite(peer), wait);
      return;
    }
    old?.close(false);
    const viewer = new Viewer(peer, this);
    this.viewers.set(peer, viewer);
    report('viewer', {viewer: peer, session: viewer.session});
  }
}

// Without this permission browsers hide the addresses of the machine from the page.
async function askForPermission() {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  for (const track of stream.getTracks())
    track.stop();
}

async function main() {
  const canvas = document.querySelector('canvas');
  const [width, height] = (query.get('size') ?? '1280x720').split('x').map(Number);
  Object.assign(canvas, {width, height});
  await askForPermission();
  const secret = await Secret.make(query.get('password') ?? '',
                                   query.get('salt') ?? 'vdo.ninja');
  const media = query.has('camera') ? await openCamera({width, height})
                                    : await makeMedia(canvas);
  const publisher = new Publisher(secret, media);
  publisher.connect();
  setInterval(() => publisher.reportStats(), 1000);
  // Viewers of a page that is reloaded or closed need not wait for a time-out.
  addEventListener('pagehide', () => publisher.stop());
}

main().catch(error => report('fatal', {message: String(error)}));
