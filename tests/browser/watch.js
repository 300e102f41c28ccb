// SPDX-License-Identifier: LGPL-2.1-or-later
// Watches a stream of stamped pictures that offers media at once, as the test publisher
// does, over the socket. The query says which: server, id, dialect, password, salt. Once a
// second window.report(text) is told, as JSON, when each picture was shown, in ms since
// 1970, and how old it was then; null where its stamp does not check.
import {readStamp} from './media.js';
import {Secret} from './secret.js';
import {randomText} from './viewer.js';

const query = new URLSearchParams(location.search);
const video = document.querySelector('video');
const pictures = [];

function report(event, more = {}) {
  window.report(JSON.stringify({event, ...more}));
}

class Watcher {
  #self = randomText(20);
  #custom = query.get('dialect') === 'custom';
  #inbox = Promise.resolve();
  #early = []; // remote candidates that came before the offer
  #peer = null;
  #session = null;

  constructor(secret) {
    this.secret = secret;
    this.pc = new RTCPeerConnection({iceServers: []});
    this.pc.onicecandidate = ({candidate}) => candidate?.candidate &&
      this.#reply('candidates', [candidate], {type: 'remote'});
    this.pc.onconnectionstatechange = () => report(this.pc.connectionState);
    this.pc.ontrack = ({track}) => { video.srcObject = new MediaStream([track]); };
    this.pc.ondatachannel = ({channel}) => {
      channel.onmessage = ({data}) => {
        const message = JSON.parse(data);
        if ('ping' in message)
          channel.send(JSON.stringify({pong: message.ping}));
      };
    };
    this.socket = new WebSocket(query.get('server'));
    this.socket.onopen = () => this.#send(
      {request: 'play', streamID: secret.wireId(query.get('id'))});
    // One after the other: a candidate must not overtake the offer.
    this.socket.onmessage = ({data}) => {
      this.#inbox = this.#inbox.then(() => this.#take(JSON.parse(data)))
        .catch(error => report('fatal', {message: String(error)}));
    };
  }

  #send(message) {
    this.socket.send(JSON.stringify(
      this.#custom ? {...message, from: this.#self} : message));
  }

  async #reply(field, value, more = {}) {
    const message = {UUID: this.#peer, session: this.#session, [field]: value, ...more};
    this.#send(await this.secret.seal(message, field));
  }

  async #take(message) {
    if (this.#custom && message.UUID !== this.#self)
      return;
    if (message.description) {
      this.#peer = this.#custom ? message.from : message.UUID;
      this.#session = message.session;
      await this.pc.setRemoteDescription(await this.secret.open(message, 'description'));
      await this.pc.setLocalDescription();
      await this.#reply('description', this.pc.localDescription);
    }
    const field = message.candidates ? 'candidates' : 'candidate';
    if (message[field])
      this.#early.push(...[await this.secret.open(message, field)].flat());
    if (this.pc.remoteDescription)
      for (const candidate of this.#early.splice(0))
        await this.pc.addIceCandidate(candidate);
  }
}

function watch(context) {
  const now = Date.now();
  pictures.push([now, readStamp(context, video, now)]);
  video.requestVideoFrameCallback(() => watch(context));
}

async function main() {
  const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  video.requestVideoFrameCallback(() => watch(context));
  setInterval(() => report('pictures', {pictures: pictures.splice(0)}), 1000);
  new Watcher(await Secret.make(query.get('password') ?? '', query.get('salt') ?? 'vdo.ninja'));
}

main().catch(error => report('fatal', {message: String(error)}));
