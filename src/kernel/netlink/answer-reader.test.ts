import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readAnswer } from './answer-reader.ts';
import { type NetlinkMessage, NLM_F } from './message.ts';

const ROUTE = 24;

function message(sequence: number, type: number, flags: number, body: number[] = []): NetlinkMessage {
  return { type, flags, sequence, portId: 1, body: Uint8Array.from(body) };
}

const part = (sequence: number, flags = 0): NetlinkMessage => message(sequence, ROUTE, NLM_F.multi | flags, [sequence]);
const done = (sequence: number, flags = 0): NetlinkMessage => message(sequence, 3, NLM_F.multi | flags, [0, 0, 0, 0]);
const error = (sequence: number, errno: number): NetlinkMessage =>
  message(sequence, 2, NLM_F.capped, [256 - errno, 255, 255, 255, ...new Array(16).fill(0)]);
const ack = (sequence: number): NetlinkMessage => message(sequence, 2, NLM_F.capped, new Array(20).fill(0));

const rows: [string, NetlinkMessage[][], number, { errno: number; torn: boolean }][] = [
  ['an ack', [[ack(7)]], 0, { errno: 0, torn: false }],
  ['a refusal', [[error(7, 17)]], 0, { errno: 17, torn: false }],
  ['a message and its ack', [[message(7, ROUTE, 0)], [ack(7)]], 1, { errno: 0, torn: false }],
  [
    'a dump of two datagrams',
    [
      [part(7), part(7)],
      [part(7), done(7)],
    ],
    3,
    { errno: 0, torn: false },
  ],
  [
    'leftovers of another request',
    [[part(6), done(6)], [error(6, 1)], [part(7), done(7)]],
    1,
    { errno: 0, torn: false },
  ],
  ['a dump torn in the middle', [[part(7), part(7, NLM_F.dumpInterrupted)], [done(7)]], 2, { errno: 0, torn: true }],
  ['a dump torn at its end', [[part(7)], [done(7, NLM_F.dumpInterrupted)]], 1, { errno: 0, torn: true }],
  ['a no-op on the way', [[message(7, 1, 0)], [ack(7)]], 0, { errno: 0, torn: false }],
];
for (const [name, datagrams, count, expected] of rows) {
  it(`an answer is picked out: ${name}`, () => {
    const queue = [...datagrams];
    const received: NetlinkMessage[] = [];
    const { errno, torn } = readAnswer(
      () => queue.shift() ?? assert.fail('read on after the end'),
      7,
      (each) => received.push(each),
    );
    assert.deepEqual({ errno, torn }, expected);
    assert.equal(received.length, count);
    assert.deepEqual(queue, []);
  });
}
