// SPDX-License-Identifier: LGPL-2.1-or-later
// What is published: pictures that carry a number and a clock, and a tone with a tick at each
// whole second of that clock; and how to read the clock again, from both.

// The format of these stamps is described in tests/support/stamp.h.
const BITS = 40;
const FPS = 30;
const TONE = 0.1, TICK = 0.6; // amplitudes
const TICK_S = 0.02;

function stamp(number, ms) {
  const bytes = [number, ms >> 16 & 255, ms >> 8 & 255, ms & 255];
  return [...bytes, bytes.reduce((check, byte) => check ^ byte, 0x5a)];
}

function paintStamp(context, {width, height}, bytes) {
  const rows = Math.floor(height / 20) & ~1;
  for (let i = 0; i < BITS; i++) {
    const left = Math.floor(i * width / BITS);
    const right = Math.floor((i + 1) * width / BITS);
    context.fillStyle = bytes[i >> 3] >> (7 - (i & 7)) & 1 ? '#fff' : '#000';
    context.fillRect(left, 0, right - left, rows);
    context.fillRect(left, height - rows, right - left, rows);
  }
}

// The age in ms, at `now`, of the picture that `video` shows; null when it has no stamp.
export function readStamp(context, video, now) {
  const {videoWidth: width, videoHeight: height} = video;
  const {canvas} = context;
  if (canvas.width !== width)
    Object.assign(canvas, {width, height: 1});
  const row = (Math.floor(height / 20) & ~1) / 2;
  context.drawImage(video, 0, row, width, 1, 0, 0, width, 1);
  const {data} = context.getImageData(0, 0, width, 1);
  const bytes = [0, 0, 0, 0, 0];
  for (let i = 0; i < BITS; i++) {
    const green = data[Math.floor((i + 0.5) * width / BITS) * 4 + 1];
    bytes[i >> 3] = bytes[i >> 3] << 1 | green > 127;
  }
  const [number, high, middle, low] = bytes;
  const ms = high << 16 | middle << 8 | low;
  if (stamp(number, ms)[4] !== bytes[4])
    return null;
  // Across the wrap of the clock.
  return ((now & 0xffffff) - ms + 0x800000 & 0xffffff) - 0x800000;
}

function paint(context, canvas, number) {
  const {width, height} = canvas;
  const box = height / 6;
  context.fillStyle = '#285';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#c43';
  context.fillRect(number * 6 % (width - box), height / 2, box, box);
  context.fillStyle = '#fff';
  context.font = `${height / 8}px sans-serif`;
  context.fillText(`${number}  ${new Date().toISOString().slice(11, 23)}`,
                   width / 12, height / 3);
  paintStamp(context, canvas, stamp(number & 255, Date.now() & 0xffffff));
}

// A track of `canvas`, painted anew 30 times a second.
function videoTrack(canvas) {
  const context = canvas.getContext('2d', {alpha: false});
  const track = canvas.captureStream(0).getVideoTracks()[0];
  let number = 0;
  paint(context, canvas, number);
  setInterval(() => {
    paint(context, canvas, ++number);
    track.requestFrame();
  }, 1000 / FPS);
  return track;
}

// A sine, which starts at once; gives what sets its amplitude.
function sine(context, frequency, gain, destination) {
  const tone = new OscillatorNode(context, {frequency});
  const volume = new GainNode(context, {gain});
  tone.connect(volume).connect(destination);
  tone.start();
  return volume.gain;
}

async function audioTrack() {
  const context = new AudioContext();
  const destination = context.createMediaStreamDestination();
  sine(context, 440, TONE, destination);
  const tick = sine(context, 1000, 0, destination);
  await context.resume();
  let last = 0; // the second that has its tick
  setInterval(() => {
    const now = Date.now() / 1000;
    const next = Math.ceil(now);
    if (next === last || next - now > 0.5)
      return;
    last = next;
    const when = context.currentTime + next - now;
    tick.setValueAtTime(TICK, when);
    tick.setValueAtTime(0, when + TICK_S);
  }, 100);
  return destination.stream.getAudioTracks()[0];
}

// Calls heard(ms since 1970) as each tick of an audio track begins to be played. Chromium
// only.
export async function hearTicks(track, heard) {
  const samples = new Float32Array(48000);
  let quiet = 0; // s since the last sample of a tick
  for await (const sound of new MediaStreamTrackProcessor({track}).readable) {
    const part = samples.subarray(0, sound.numberOfFrames);
    sound.copyTo(part, {planeIndex: 0, format: 'f32-planar'});
    const first = part.findIndex(sample => Math.abs(sample) > (TONE + TICK) / 2);
    if (first >= 0 && quiet > TICK_S)
      heard(Date.now() + (first - part.length) / sound.sampleRate * 1000);
    quiet = first >= 0 ? 0 : quiet + part.length / sound.sampleRate;
    sound.close();
  }
}

// A MediaStream with one video and one audio track.
export async function makeMedia(canvas) {
  return new MediaStream([videoTrack(canvas), await audioTrack()]);
}

// The same of the camera, as web pages ask for it.
export async function openCamera(size) {
  return navigator.mediaDevices.getUserMedia({video: {...size, frameRate: FPS}, audio: true});
}
