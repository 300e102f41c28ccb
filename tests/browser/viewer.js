// SPDX-License-Identifier: LGPL-2.1-or-later
// The connection to one viewer, in the manner of VDO.Ninja's web client: the first offer
// has a data channel and nothing else, the media follows when the viewer asks for it.

// Candidates travel together: those found at once, and later the trickle.
const FIRST_BUNDLE_MS = 10;
const BUNDLE_MS = 1000;

export function randomText(length) {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return [...crypto.getRandomValues(new Uint8Array(length))]
    .map(byte => alphabet[byte % alphabet.length]).join('');
}

// The codecs to offer: the one that is wanted, and those that repair it.
function codecsLike(name) {
  const helpers = ['rtx', 'red', 'ulpfec', 'flexfec-03'];
  const wanted = RTCRtpSender.getCapabilities('video').codecs.filter(codec =>
    [name, ...helpers].includes(codec.mimeType.split('/')[1].toLowerCase()));
  if (!wanted.some(codec => codec.mimeType.toLowerCase() === `video/${name}`))
    throw new Error(`this browser does not encode ${name}`);
  return wanted;
}

export class Viewer {
  #inbox = Promise.resolve();
  #outbox = Promise.resolve();
  #found = []; // local candidates that were not sent yet
  #early = []; // remote candidates that came before the answer
  #bundles = 0;
  #asked = false;

  // publisher: {secret, wireId, codec, media, sendSocket(), report()}
  constructor(uuid, publisher) {
    this.uuid = uuid;
    this.session = randomText(8);
    this.publisher = publisher;
    this.born = performance.now();
    this.pc = new RTCPeerConnection({iceServers: []});
    this.pc.onnegotiationneeded = () => this.#send(() => this.#offer(), 'description');
    this.pc.onicecandidate = event => this.#localCandidate(event.candidate);
    this.pc.onconnectionstatechange = () => this.#stateChanged();
    this.channel = this.pc.createDataChannel('sendChannel');
    this.channel.onopen = () => this.#tell({info: {
      label: 'test page', muted: false, video_muted_init: false, room_init: false,
      rotate_video: false, version: 'gst-vdoninja test page'}});
    this.channel.onmessage = event => this.#fromChannel(event.data);
  }

  get state() {
    return this.pc.connectionState;
  }

  // A message of the viewer, from the socket or the data channel. One after the other:
  // decryption takes its time, and a candidate must not overtake the answer.
  receive(message) {
    this.#inbox = this.#inbox.then(() => this.#take(message))
      .catch(error => this.#failed(error));
  }

  close(bye) {
    if (bye)
      this.#tell({bye: true});
    this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  async stats() {
    const reports = await this.pc.getStats();
    for (const report of reports.values()) {
      if (report.type !== 'outbound-rtp' || report.kind !== 'video')
        continue;
      const {frameWidth, frameHeight, framesSent, framesPerSecond, bytesSent,
             qualityLimitationReason, encoderImplementation} = report;
      const codec = reports.get(report.codecId)?.mimeType;
      return {viewer: this.uuid, codec, frameWidth, frameHeight, framesSent,
              framesPerSecond, bytesSent, qualityLimitationReason,
              encoderImplementation};
    }
    return null;
  }

  #report(event, more) {
    this.publisher.report(event, {viewer: this.uuid, session: this.session, ...more});
  }

  // What was under way when the connection was closed fails, as it must.
  #failed(error) {
    if (this.state !== 'closed')
      this.#report('error', {message: String(error)});
  }

  #tell(message) {
    if (this.channel.readyState === 'open')
      this.channel.send(JSON.stringify(message));
  }

  // Sends what make() returns, over the data channel when there is one.
  #send(make, field) {
    this.#outbox = this.#outbox.then(async () => {
      const message = {UUID: this.uuid, session: this.session, ...await make()};
      const sealed = await this.publisher.secret.seal(message, field);
      if (this.channel.readyState === 'open')
        this.#tell(sealed);
      else
        this.publisher.sendSocket(sealed);
    }).catch(error => this.#failed(error));
  }

  async #offer() {
    await this.pc.setLocalDescription();
    return {streamID: this.publisher.wireId, description: this.pc.localDescription};
  }

  #localCandidate(candidate) {
    if (!candidate?.candidate)
      return;
    this.#found.push(candidate);
    if (this.#found.length > 1)
      return; // a bundle is on its way
    const open = this.channel.readyState === 'open';
    setTimeout(() => {
      const candidates = this.#found.splice(0);
      this.#send(() => ({type: 'local', candidates}), 'candidates');
    }, this.#bundles++ === 0 ? FIRST_BUNDLE_MS : open ? 0 : BUNDLE_MS);
  }

  async #take(message) {
    if (message.session !== this.session)
      return this.#report('stale', {of: message.session});
    const {secret} = this.publisher;
    if (message.description) {
      await this.pc.setRemoteDescription(await secret.open(message, 'description'));
      for (const candidate of this.#early.splice(0))
        await this.pc.addIceCandidate(candidate);
    }
    // The web client takes no candidates without this type.
    if (message.type !== 'remote')
      return;
    const field = message.candidates ? 'candidates' : 'candidate';
    for (const candidate of [await secret.open(message, field)].flat()) {
      if (this.pc.remoteDescription)
        await this.pc.addIceCandidate(candidate);
      else
        this.#early.push(candidate);
    }
  }

  async #fromChannel(data) {
    const text = typeof data === 'string' ? data : await new Response(data).text();
    const message = JSON.parse(text);
    if (message.bye) {
      this.#report('bye');
      this.publisher.drop(this);
    } else if (message.description || message.candidates || message.candidate) {
      this.receive(message);
    } else if ('ping' in message) {
      this.#tell({pong: message.ping});
    } else if ('audio' in message || 'video' in message) {
      this.#addMedia(message);
    } else if (message.bitrate > 0) {
      this.#limit(message.bitrate);
    }
  }

  // Asked once: a second time would add the tracks again.
  #addMedia({audio, video}) {
    if (this.#asked)
      return this.#report('error', {message: 'asked for media a second time'});
    this.#asked = true;
    const {media, codec} = this.publisher;
    this.#report('asked', {audio, video});
    for (const track of media.getTracks()) {
      if (!(track.kind === 'video' ? video : audio))
        continue;
      const sender = this.pc.addTrack(track, media);
      if (track.kind === 'video' && codec)
        this.pc.getTransceivers().find(one => one.sender === sender)
          .setCodecPreferences(codecsLike(codec));
    }
  }

  async #limit(kbps) {
    for (const sender of this.pc.getSenders()) {
      if (sender.track?.kind !== 'video')
        continue;
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings)
        encoding.maxBitrate = kbps * 1000;
      await sender.setParameters(parameters);
    }
  }

  #stateChanged() {
    this.#report(this.state);
    if (this.state === 'failed')
      this.publisher.drop(this);
  }
}
