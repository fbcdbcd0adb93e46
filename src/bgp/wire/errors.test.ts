import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../lib/prng.ts';
import {
  administrativeShutdown,
  bgpError,
  describeNotification,
  hardReset,
  isHard,
  isLasting,
  refusesOffer,
  shutdownData,
} from './errors.ts';
import { hex } from './wire.suite.ts';

const shutdown = bgpError('administrativeShutdown', 'test', shutdownData('bye'));

const IN_WORDS: [code: number, subcode: number, data: Uint8Array, text: string][] = [
  [1, 1, hex(''), 'message header error: connection not synchronized (1/1)'],
  [2, 1, hex('0004'), 'OPEN message error: unsupported version number (2/1): data 0004'],
  [2, 11, hex(''), 'OPEN message error: role mismatch (2/11)'],
  [3, 5, hex('40'), 'UPDATE message error: attribute length error (3/5): data 40'],
  [4, 0, hex(''), 'hold timer expired (4/0)'],
  [5, 0, hex(''), 'state machine error (5/0)'],
  [5, 3, hex(''), 'state machine error: unexpected message in Established (5/3)'],
  [6, 2, shutdownData('moving\nracks'), 'cease: administrative shutdown (6/2): moving racks'],
  [6, 4, shutdownData('zurück'), 'cease: administrative reset (6/4): zurück'],
  [6, 2, hex('ff 41'), 'cease: administrative shutdown (6/2): data ff41'],
  [6, 2, hex('02 c328'), 'cease: administrative shutdown (6/2): data 02c328'],
  [6, 3, hex(''), 'cease: peer de-configured (6/3)'],
  [6, 9, hardReset(shutdown).data, 'cease: hard reset (6/9): cease: administrative shutdown (6/2): bye'],
  [6, 9, hex('06'), 'cease: hard reset (6/9): data 06'],
  [6, 9, hex('0609 0609 0609'), 'cease: hard reset (6/9): data 060906090609'],
  [6, 10, hex(''), 'cease: BFD down (6/10)'],
  [6, 99, hex(''), 'cease (6/99)'],
  [7, 1, hex(''), 'ROUTE-REFRESH message error: invalid message length (7/1)'],
  [8, 0, hex(''), 'send hold timer expired (8/0)'],
  [9, 9, hex(''), 'unknown error (9/9)'],
];
for (const [code, subcode, data, text] of IN_WORDS) {
  test(`RFC 4271 section 4.5, in words: ${text}`, () => assert.equal(describeNotification(code, subcode, data), text));
}

test('RFC 9003 section 2: a shutdown text is cut to 255 bytes between characters', () => {
  const data = shutdownData('ä'.repeat(200));
  assert.equal(data.length, 255);
  assert.equal(data[0], 254);
  assert.equal(administrativeShutdown('').data.length, 0);
});

test('which ends call for a longer wait, for the loss of all routes, for a smaller offer', () => {
  const of = (code: number, subcode: number, data = ''): Parameters<typeof isLasting>[0] => ({
    code,
    subcode,
    data: hex(data),
  });
  for (const lasting of [of(2, 2), of(3, 1), of(6, 1), of(6, 8), of(9, 9), of(6, 9, '0601')]) {
    assert.equal(isLasting(lasting), true, `${lasting.code}/${lasting.subcode}`);
  }
  for (const passing of [of(4, 0), of(6, 2), of(6, 4), of(6, 5), of(6, 7), of(6, 10), of(8, 0), of(6, 9, '0602')]) {
    assert.equal(isLasting(passing), false, `${passing.code}/${passing.subcode}`);
  }
  assert.deepEqual([isHard(shutdown), isHard(of(6, 4)), isHard(of(4, 0))], [true, false, false]);
  const offers = [of(2, 4), of(2, 7), of(2, 2)].map(refusesOffer);
  assert.deepEqual(offers, ['parameters', 'capabilities', undefined]);
});

test('whatever the bytes, a NOTIFICATION has words of bounded length without control characters', () => {
  const random = seededRandom(3);
  for (let round = 0; round < 5_000; round++) {
    const data = Uint8Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256));
    const text = describeNotification(Math.floor(random() * 9), Math.floor(random() * 12), data);
    assert.ok(text.length < 500);
    assert.doesNotMatch(text, /\p{Cc}/u);
  }
});
