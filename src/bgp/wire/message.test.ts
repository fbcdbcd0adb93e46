import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { seededRandom } from '../../lib/prng.ts';
import {
  decodeNotification,
  EXTENDED_MESSAGE_BYTES_MAX,
  encodeMessage,
  encodeNotification,
  type Frame,
  KEEPALIVE,
  MESSAGE_TYPE,
  MessageFramer,
} from './message.ts';
import { hex, MARKER } from './wire.suite.ts';

const OPEN_HEX = `${MARKER} 0025 01 04 fc00 005a 0a000001 08 02 06 41 04 0000fc00`;
const STREAM = new Uint8Array([...hex(OPEN_HEX), ...KEEPALIVE, ...hex(`${MARKER} 0017 02 0000 0000`), ...KEEPALIVE]);
const show = (frame: Frame): string => `${frame.type}:${toHex(frame.body)}`;

test('RFC 4271 section 4.1: every split of a stream gives the same messages', () => {
  const whole = new MessageFramer().push(STREAM).frames.map(show);
  assert.equal(whole.length, 4);
  for (let first = 0; first <= STREAM.length; first++) {
    for (let second = first; second <= STREAM.length; second += 7) {
      const framer = new MessageFramer();
      const cuts = [STREAM.subarray(0, first), STREAM.subarray(first, second), STREAM.subarray(second)];
      const frames = cuts.flatMap((piece) => {
        const { frames: found, error } = framer.push(piece.slice());
        assert.equal(error, undefined);
        return found.map(show);
      });
      assert.deepEqual(frames, whole, `cut at ${first} and ${second}`);
    }
  }
  const framer = new MessageFramer();
  assert.deepEqual(Array.from(STREAM, (byte) => framer.push(Uint8Array.of(byte)).frames.map(show)).flat(), whole);
});

test('RFC 4271 section 4.1: what lies complete in a chunk is not copied, and the bytes before and after it are kept', () => {
  const framer = new MessageFramer();
  framer.push(STREAM.slice(0, 30));
  const chunk = STREAM.slice(30);
  const { frames } = framer.push(chunk);
  assert.deepEqual(
    frames.map((frame) => frame.body.buffer === chunk.buffer),
    [false, true, true, true],
  );
  const next = framer.push(STREAM.slice(0, 30)).frames;
  framer.push(STREAM.slice(30));
  assert.deepEqual(next, []);
  assert.equal(show(frames[0]!), show(new MessageFramer().push(STREAM).frames[0]!));
});

test('RFC 8654 section 4: longer messages only once agreed on, and never an OPEN or KEEPALIVE', () => {
  const longest = encodeMessage(MESSAGE_TYPE.update, new Uint8Array(EXTENDED_MESSAGE_BYTES_MAX - 19));
  const framer = new MessageFramer();
  framer.messageBytesMax = EXTENDED_MESSAGE_BYTES_MAX;
  assert.equal(framer.push(longest).frames.length, 1);
  assert.equal(framer.push(longest.subarray(0, 5)).error, undefined);
  assert.equal(framer.push(longest.subarray(5, 40_000)).frames.length, 0);
  assert.equal(framer.push(longest.subarray(40_000)).frames[0]?.body.length, 65516);
  for (const type of [MESSAGE_TYPE.open, MESSAGE_TYPE.keepalive]) {
    const other = new MessageFramer();
    other.messageBytesMax = EXTENDED_MESSAGE_BYTES_MAX;
    assert.equal(other.push(encodeMessage(type, new Uint8Array(5000))).error?.subcode, 2);
  }
  assert.equal(new MessageFramer().push(longest).error?.subcode, 2);
});

const BAD_HEADERS: [title: string, header: string, code: string, data: string][] = [
  ['marker', `${'ff'.repeat(15)}fe 0013 04`, '1/1', ''],
  ['length 18', `${MARKER} 0012 04`, '1/2', '0012'],
  ['length 4097', `${MARKER} 1001 02`, '1/2', '1001'],
  ['OPEN of 28 bytes', `${MARKER} 001c 01`, '1/2', '001c'],
  ['UPDATE of 22 bytes', `${MARKER} 0016 02`, '1/2', '0016'],
  ['NOTIFICATION of 20 bytes', `${MARKER} 0014 03`, '1/2', '0014'],
  ['KEEPALIVE of 20 bytes', `${MARKER} 0014 04`, '1/2', '0014'],
  ['ROUTE-REFRESH of 4097 bytes', `${MARKER} 1001 05`, '1/2', '1001'],
  ['length 18 before its type', `${MARKER} 0012 63`, '1/2', '0012'],
  ['type 6', `${MARKER} 0013 06`, '1/3', '06'],
  ['type 0', `${MARKER} 0013 00`, '1/3', '00'],
];
for (const [title, header, code, data] of BAD_HEADERS) {
  test(`RFC 4271 section 6.1: a header is refused for its ${title}, after what came before it`, () => {
    const { frames, error } = new MessageFramer().push(new Uint8Array([...KEEPALIVE, ...hex(header)]));
    assert.equal(frames.length, 1);
    assert.equal(`${error?.code}/${error?.subcode}`, code);
    assert.equal(toHex(error?.data ?? new Uint8Array(0)), data);
  });
}

test('RFC 4271 section 6.1: a bad header is found as soon as it is there, however it was cut', () => {
  for (const [, header, code] of BAD_HEADERS) {
    for (let cut = 0; cut < 19; cut++) {
      const framer = new MessageFramer();
      const first = framer.push(hex(header).subarray(0, cut));
      const error = first.error ?? framer.push(hex(header).subarray(cut)).error;
      assert.equal(`${error?.code}/${error?.subcode}`, code, `cut at ${cut}`);
    }
  }
});

test('random bytes never make the framer throw', () => {
  const random = seededRandom(11);
  for (let round = 0; round < 3_000; round++) {
    const framer = new MessageFramer();
    const bytes = STREAM.slice();
    for (let count = 0; count < round % 4; count++) bytes[Math.floor(random() * bytes.length)] = random() * 256;
    for (let offset = 0; offset < bytes.length; ) {
      const end = offset + 1 + Math.floor(random() * 40);
      if (framer.push(bytes.subarray(offset, end)).error !== undefined) break;
      offset = end;
    }
  }
});

test('RFC 4271 section 4.5: NOTIFICATION is written and read', () => {
  const bytes = encodeNotification({ code: 2, subcode: 1, data: hex('0004') });
  assert.equal(toHex(bytes), `${MARKER}00170302010004`);
  assert.deepEqual(decodeNotification(bytes.subarray(19)), { code: 2, subcode: 1, data: hex('0004') });
  assert.equal(encodeNotification({ code: 2, subcode: 1, data: new Uint8Array(5000) }).length, 4096);
});
