// SPDX-License-Identifier: LGPL-2.1-or-later
// Watches a stream of stamped pictures. The query says which: server, id, dialect, password,
// salt. A publisher that offers media at once, as the test publisher and vdoninjasink do, is
// answered; one that offers a data channel first, as web pages do, is asked for them there.
// Once a second window.report(text) is told, as JSON, when each picture was shown, in ms since
// 1970, and how old it was then, null where its stamp does not check; its size; and how late
// each tick of the sound was, ms.
import {hearTicks, readStamp} from './media.js';
import {Secret} from './secret.js';
import {randomText} from './viewer.js';

const query = new URLSearchParams(location.search);
const video = document.querySelector('video');
// As vdoninjasrc asks for: a web page begins with small pictures otherwise, for a minute.
const START_KBIT_S = 4000;
const pictures = [];
const ticks = [];

function report(event, more = {}) {
  window.report(JSON.stringify({event, ...more}));
}

// An answer with the wish for that.
function withStart({type, sdp}) {
  const wish = `x-google-start-bitrate=${START_KBIT_S}`;
  for (const [line, format] of sdp.matchAll(/a=rtpmap:(\d+) (?:H264|VP8|VP9)\/90000\r\n/g)) {
    const parameters = `a=fmtp:${format} `;
    sdp = sdp.includes(parameters) ? sdp.replace(parameters, `${parameters}${wish};`)
                                   : sdp.replace(line, `${line}${parameters}${wish}\r\n`);
  }
  return {type, sdp};
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
    this.pc.ontrack = ({track}) => show(track);
    this.pc.ondatachannel = ({channel}) => {
      channel.onopen = () => this.pc.getReceivers().length ||
        channel.send(JSON.stringify({audio: query.get('audio') !== 'false', video: true}));
      channel.onmessage = ({data}) => this.#fromChannel(channel, data);
    };
    this.socket = new WebSocket(query.get('server'));
    this.socket.onopen = () => this.#send(
      {request: 'play', streamID: secret.wireId(query.get('id'))});
    // One after the other: a candidate must not overtake the offer.
    this.socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (this.#custom && message.UUID !== this.#self)
        return;
      if (message.description) {
        this.#peer = this.#custom ? message.from : message.UUID;
        this.#session = message.session;
      }
      this.#receive(message);
    };
  }

  #receive(message) {
    this.#inbox = this.#inbox.then(() => this.#take(message))
      .catch(error => report('fatal', {message: String(error)}));
  }

  async #fromChannel(channel, data) {
    const message = JSON.parse(typeof data === 'string' ? data : await new Response(data).text());
    if ('ping' in message)
      channel.send(JSON.stringify({pong: message.ping}));
    else if (message.description || message.candidates || message.candidate)
      this.#receive(message);
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
    if (message.description) {
      await this.pc.setRemoteDescription(await this.secret.open(message, 'description'));
      await this.pc.setLocalDescription();
      await this.#reply('description', withStart(this.pc.localDescription));
    }
    const field = message.candidates ? 'candidates' : 'candidate';
    if (message[field])
      this.#early.push(...[await this.secret.open(message, field)].flat());
    if (this.pc.remoteDescription)
      for (const candidate of this.#early.splice(0))
        await this.pc.addIceCandidate(candidate);
  }
}

function show(track) {
  // Of one stream, or what is heard would not wait for what is seen.
  video.srcObject ??= new MediaStream();
  video.srcObject.addTrack(track);
  if (track.kind === 'audio' && window.MediaStreamTrackProcessor)
    hearTicks(track, when => ticks.push(when % 1000));
}

function watch(context) {
  const now = Date.now();
  pictures.push([now, readStamp(context, video, now)]);
  video.requestVideoFrameCallback(() => watch(context));
}

async function main() {
  const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  video.requestVideoFrameCallback(() => watch(context));
  setInterval(() => report('pictures', {
    pictures: pictures.splice(0), ticks: ticks.splice(0),
    width: video.videoWidth, height: video.videoHeight}), 1000);
  new Watcher(await Secret.make(query.get('password') ?? '', query.get('salt') ?? 'vdo.ninja'));
}

main().catch(error => report('fatal', {message: String(error)}));
