// SPDX-License-Identifier: LGPL-2.1-or-later
// What a password does to stream ids and messages.

const DEFAULT_PASSWORD = 'someEncryptionKey123';
// Longer ids are cut before the suffix is appended.
const MAX_ID = 44;

const encoder = new TextEncoder();

function toHex(bytes) {
  return [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, '0')).join('');
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], pair => parseInt(pair, 16));
}

export class Secret {
  #key = null; // null: the password is off
  #suffix = '';

  // password: empty for the default one; false, 0 or off for none.
  static async make(password, salt) {
    const secret = new Secret();
    const given = password.trim();
    if (['false', '0', 'off'].includes(given.toLowerCase()))
      return secret;
    const text = encodeURIComponent(given || DEFAULT_PASSWORD) + salt;
    const hash = await crypto.subtle.digest('SHA-256', encoder.encode(text));
    secret.#suffix = toHex(hash).slice(0, 6);
    secret.#key = await crypto.subtle.importKey('raw', hash, 'AES-CBC', false,
                                                ['encrypt', 'decrypt']);
    return secret;
  }

  wireId(id) {
    const clean = id.trim().replace(/[^A-Za-z0-9_]+/g, '_');
    return this.#key ? clean.slice(0, MAX_ID) + this.#suffix : clean;
  }

  // `message` with its member `field` encrypted.
  async seal(message, field) {
    if (!this.#key)
      return message;
    const iv = crypto.getRandomValues(new Uint8Array(16));
    // Web clients read one byte per character: nothing but ASCII may be in there.
    const text = JSON.stringify(message[field]).replace(/[\u0080-\uffff]/g,
      c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
    const sealed = await crypto.subtle.encrypt({name: 'AES-CBC', iv}, this.#key,
                                               encoder.encode(text));
    return {...message, [field]: toHex(sealed), vector: toHex(iv)};
  }

  // The member `field` of `message` as it was before seal().
  async open(message, field) {
    if (!message.vector || typeof message[field] !== 'string')
      return message[field];
    if (!this.#key)
      throw new Error('an encrypted message, and the password is off');
    const iv = fromHex(message.vector);
    const opened = await crypto.subtle.decrypt({name: 'AES-CBC', iv}, this.#key,
                                               fromHex(message[field]));
    return JSON.parse(new TextDecoder().decode(opened));
  }
}
