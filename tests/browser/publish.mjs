#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishes the page in this folder from a headless Chromium, or watches with the other one,
// in that or in Firefox: see usage below. One line of JSON per event on stdout. A line
// "reload" on stdin reloads the page; the end of stdin, SIGTERM or SIGINT ends the program.
import {createServer} from 'node:http';
import {readFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {parseArgs} from 'node:util';
import {chromium, firefox} from 'playwright-core';

const USAGE = `usage: publish.mjs --server URL --stream-id ID
  --dialect hosted|custom   of the server (hosted)
  --codec h264|vp8|vp9      the only one to offer (whatever the viewer prefers)
  --password TEXT           VDO.Ninja's default; "off" for none
  --size WxH                of the pictures (1280x720)
  --camera FILE             a film (.mjpeg, .y4m) that the camera sees, instead of stamps
  --watch                   the stream, on this machine's loopback, and tell of each picture
  --no-sound                is asked for
  --seconds N               to run, 0: until stdin ends (0)
  --chromium FILE           the browser (/usr/bin/chromium)
  --firefox FILE            another browser, to watch with`;

const TYPES = {html: 'text/html; charset=utf-8', js: 'text/javascript'};

const FLAGS = [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  // Viewers look up no .local names.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--autoplay-policy=no-user-gesture-required', '--disable-gpu',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-first-run', '--no-proxy-server',
];

// As the flags of Chromium: addresses in candidates, those of loopback too, and playing
// without a click.
const PREFS = {
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.peerconnection.ice.loopback': true,
  'media.autoplay.default': 0,
};

function report(event, more = {}) {
  console.log(JSON.stringify({event, ...more}));
}

function parse() {
  const text = {type: 'string'};
  const {values} = parseArgs({options: {
    server: text, 'stream-id': text, codec: text, password: text,
    dialect: {...text, default: 'hosted'}, size: {...text, default: '1280x720'},
    seconds: {...text, default: '0'}, camera: text, watch: {type: 'boolean'},
    'no-sound': {type: 'boolean'},
    chromium: {...text, default: '/usr/bin/chromium'}, firefox: text}});
  if (!values.server || !values['stream-id'])
    throw new Error('--server and --stream-id are needed');
  if (values.firefox && !values.watch)
    throw new Error('--firefox needs --watch');
  if (!/^\d+x\d+$/.test(values.size))
    throw new Error(`--size is WIDTHxHEIGHT, not ${values.size}`);
  return values;
}

// Serves the page on a free port of loopback, which counts as a secure origin.
async function serve() {
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://page').pathname.slice(1);
    const type = /^[a-z]+\.(html|js)$/.exec(name)?.[1];
    try {
      const body = await readFile(new URL(type ? name : 'none', import.meta.url));
      response.writeHead(200, {'Content-Type': TYPES[type]}).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function pageUrl(origin, options) {
  const url = new URL(options.watch ? 'watch.html' : 'publish.html', origin);
  const {server, 'stream-id': id, dialect, codec, password, size, camera} = options;
  for (const [name, value] of
    Object.entries({server, id, dialect, codec, password, size, camera}))
    if (value !== undefined)
      url.searchParams.set(name, value);
  url.searchParams.set('audio', !options['no-sound']);
  return url.href;
}

async function openPage(browser, url, permissions) {
  const context = await browser.newContext({permissions});
  const page = await context.newPage();
  await page.exposeFunction('report', text => console.log(text));
  page.on('pageerror', error => report('fatal', {message: String(error)}));
  page.on('crash', () => report('fatal', {message: 'the page crashed'}));
  await page.goto(url);
  return page;
}

// Resolves when somebody wants the program to end.
function untilTheEnd(page, seconds) {
  return new Promise(resolve => {
    const lines = createInterface({input: process.stdin});
    lines.on('line', line => {
      if (line.trim() === 'reload')
        page.reload().catch(error => report('fatal', {message: String(error)}));
    });
    lines.on('close', resolve);
    process.on('SIGTERM', resolve);
    process.on('SIGINT', resolve);
    page.context().browser().on('disconnected', resolve);
    if (seconds > 0)
      setTimeout(resolve, seconds * 1000);
  });
}

function flags({camera, watch}) {
  return [...FLAGS, ...camera ? [`--use-file-for-fake-video-capture=${camera}`] : [],
          ...watch ? ['--allow-loopback-in-peer-connection'] : []];
}

function launch(options) {
  const ours = {handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false};
  if (options.firefox)
    // The channel of a Firefox as Mozilla and Debian ship it.
    return firefox.launch({...ours, channel: 'moz-firefox',
                           executablePath: options.firefox, firefoxUserPrefs: PREFS});
  return chromium.launch({
    ...ours, executablePath: options.chromium, args: flags(options),
    // Chromium has no sandbox for root.
    chromiumSandbox: process.getuid() !== 0});
}

async function main(options) {
  const server = await serve();
  const browser = await launch(options);
  try {
    const page = await openPage(
      browser, pageUrl(`http://127.0.0.1:${server.address().port}`, options),
      options.firefox ? [] : ['camera', 'microphone']); // Firefox knows no such names
    await untilTheEnd(page, Number(options.seconds));
    // Leaving the page lets it say goodbye.
    await page.goto('about:blank').catch(() => {});
  } finally {
    await browser.close();
    server.close();
  }
}

let options;
try {
  options = parse();
} catch (error) {
  console.error(`${error.message}\n${USAGE}`);
  process.exit(2);
}
await main(options);
process.exit(0);
