import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decodeAnswer } from './errors.ts';
import { checkBears, KERNEL_SAYS, messageOf } from './golden.suite.ts';

const rows: [keyof typeof KERNEL_SAYS, ReturnType<typeof decodeAnswer>][] = [
  ['ack', { errno: 0, text: undefined }],
  ['noSuchDevice', { errno: 19, text: undefined }],
  ['badMtuCapped', { errno: 22, text: 'mtu less than device minimum' }],
  ['badMtuWhole', { errno: 22, text: 'mtu less than device minimum' }],
  ['dumpDone', { errno: 0, text: undefined }],
  ['dumpFailed', { errno: 2, text: 'ipv4: FIB table does not exist' }],
  ['proxy', undefined],
];
for (const [name, expected] of rows) {
  it(`an answer is read: ${name}`, () => assert.deepEqual(decodeAnswer(messageOf(KERNEL_SAYS[name])), expected));
}

it('a dump that ends without a number has ended well', () => {
  assert.deepEqual(decodeAnswer({ type: 3, flags: 2, sequence: 1, portId: 1, body: new Uint8Array() }), {
    errno: 0,
    text: undefined,
  });
});

it('an answer cut off or changed anywhere does not throw, and keeps its number', () => {
  checkBears(decodeAnswer);
  const message = messageOf(KERNEL_SAYS.badMtuCapped);
  for (let length = 20; length < message.body.length - 3; length++) {
    const answer = decodeAnswer({ ...message, body: message.body.slice(0, length) });
    assert.deepEqual(answer, { errno: 22, text: undefined });
  }
});
