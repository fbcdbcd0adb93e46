/**
 * SHA-224 (FIPS 180-4) of short texts, for names that must not meet by accident or by intent.
 *
 * The machine's own is out of reach of pure code. This one is a plain transcription: 64 rounds over blocks of 64 bytes, constants
 * computed as the standard defines them (the first 32 bits behind the point of roots of primes). A hundred
 * characters take a few microseconds; what is long or hashed often belongs elsewhere.
 */
const BLOCK_BYTES = 64;
const ROUNDS = 64;
/** Words of the digest; SHA-224 drops the eighth of SHA-256. */
const DIGEST_WORDS = 7;

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** FIPS 180-4 section 4.2.2: cube roots of the first 64 primes. */
const ROUND_CONSTANTS = Int32Array.from(firstPrimes(ROUNDS), (prime) => fraction(Math.cbrt(prime)));

/** FIPS 180-4 section 5.3.2: the second 32 bits of square roots, given there as numbers. */
const INITIAL = [
  0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939, 0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4,
] as const;

/** The digest of the text in UTF-8: 28 bytes as 38 characters of base64url (RFC 4648 section 5), without padding. */
export function sha224(text: string): string {
  const blocks = padded(new TextEncoder().encode(text));
  const state = Int32Array.from(INITIAL);
  const schedule = new Int32Array(ROUNDS);
  for (let offset = 0; offset < blocks.byteLength; offset += BLOCK_BYTES) compress(state, schedule, blocks, offset);
  return base64url(state.subarray(0, DIGEST_WORDS));
}

/** A bit 1, zeros, and the length in bits as 64 bits, up to whole blocks; texts here are far below 2^29 bytes. */
function padded(bytes: Uint8Array): DataView {
  const blocks = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  blocks.set(bytes);
  blocks[bytes.length] = 0x80;
  const view = new DataView(blocks.buffer);
  view.setUint32(blocks.length - 4, bytes.length * 8);
  return view;
}

/** FIPS 180-4 section 6.2.2. */
function compress(state: Int32Array, schedule: Int32Array, blocks: DataView, offset: number): void {
  fillSchedule(schedule, blocks, offset);
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let round = 0; round < ROUNDS; round++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const sumE = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const sumA = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const first = (h + sumE + choice + at(ROUND_CONSTANTS, round) + at(schedule, round)) | 0;
    const second = (sumA + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  const words = [a, b, c, d, e, f, g, h];
  for (let index = 0; index < words.length; index++) state[index] = at(state, index) + (words[index] ?? 0);
}

function fillSchedule(schedule: Int32Array, blocks: DataView, offset: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    if (round < 16) {
      schedule[round] = blocks.getInt32(offset + round * 4);
      continue;
    }
    const early = at(schedule, round - 15);
    const late = at(schedule, round - 2);
    const mixedEarly = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
    const mixedLate = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
    schedule[round] = at(schedule, round - 16) + mixedEarly + at(schedule, round - 7) + mixedLate;
  }
}

function rotated(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

function at(words: Int32Array, index: number): number {
  return words[index] ?? 0;
}

function base64url(words: Int32Array): string {
  let text = '';
  for (let bit = 0; bit < words.length * 32; bit += 6) {
    const word = bit >>> 5;
    const shift = bit & 31;
    // Six bits from two words, the second of which is empty at the end: as the standard fills up with zeros.
    const pair = at(words, word) << shift;
    const next = shift > 26 ? at(words, word + 1) >>> (32 - shift) : 0;
    text += DIGITS[(pair | next) >>> 26] ?? '';
  }
  return text;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

/** The first 32 bits behind the point. */
function fraction(value: number): number {
  return Math.floor((value % 1) * 2 ** 32) | 0;
}
