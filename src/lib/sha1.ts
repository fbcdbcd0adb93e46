/**
 * SHA-1 (FIPS 180-4) of short texts, where others have chosen it for something that is no secret.
 *
 * Calico's hosts compute each other's VXLAN addresses from names by it, so ours must come to the same ones. Nothing may rely on
 * it against somebody who means harm: names of ours are made by SHA-224. The machine's own is out of reach of pure code.
 */
const BLOCK_BYTES = 64;
const ROUNDS = 80;
/** FIPS 180-4 section 5.3.1. */
const INITIAL = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0] as const;
/** FIPS 180-4 section 4.2.1, for twenty rounds each. */
const CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6] as const;

/** The 20 bytes of the digest of the text in UTF-8. */
export function sha1(text: string): Uint8Array {
  const blocks = padded(new TextEncoder().encode(text));
  const state = Int32Array.from(INITIAL);
  const schedule = new Int32Array(ROUNDS);
  for (let offset = 0; offset < blocks.byteLength; offset += BLOCK_BYTES) compress(state, schedule, blocks, offset);
  const digest = new DataView(new ArrayBuffer(state.length * 4));
  for (const [index, word] of state.entries()) digest.setInt32(index * 4, word);
  return new Uint8Array(digest.buffer);
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

/** FIPS 180-4 section 6.1.2. */
function compress(state: Int32Array, schedule: Int32Array, blocks: DataView, offset: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const word = (back: number): number => schedule[round - back] ?? 0;
    schedule[round] =
      round < 16 ? blocks.getInt32(offset + round * 4) : rotated(word(3) ^ word(8) ^ word(14) ^ word(16), 1);
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let round = 0; round < ROUNDS; round++) {
    const part = Math.floor(round / 20);
    const choice = part === 0 ? (b & c) | (~b & d) : part === 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    const sum = (rotated(a, 5) + choice + e + (CONSTANTS[part] ?? 0) + (schedule[round] ?? 0)) | 0;
    e = d;
    d = c;
    c = rotated(b, 30);
    b = a;
    a = sum;
  }
  for (const [index, word] of [a, b, c, d, e].entries()) state[index] = (state[index] ?? 0) + word;
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
