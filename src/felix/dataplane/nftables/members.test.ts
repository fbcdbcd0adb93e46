import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printMember, readMembers } from './members.ts';

/** A member, as an element of ours, and as nft lists it. */
const ROWS: readonly [string, string, unknown][] = [
  ['10.0.0.1', '10.0.0.1', '10.0.0.1'],
  ['10.0.0.0/8', '10.0.0.0/8', { prefix: { addr: '10.0.0.0', len: 8 } }],
  ['0.0.0.0/0', '0.0.0.0/0', { prefix: { addr: '0.0.0.0', len: 0 } }],
  ['fd00::/64', 'fd00::/64', { prefix: { addr: 'fd00::', len: 64 } }],
  ['::102:304', '::102:304', '::1.2.3.4'],
  ['::ffff:1.2.3.4', '::ffff:1.2.3.4', '::ffff:1.2.3.4'],
  ['10.0.0.1,tcp:80', '10.0.0.1 . 6 . 80', { concat: ['10.0.0.1', 'tcp', 80] }],
  ['fd00::1,udp:53', 'fd00::1 . 17 . 53', { concat: ['fd00::1', 17, 53] }],
  ['fd00::1,sctp:9', 'fd00::1 . 132 . 9', { concat: ['fd00::1', '132', 9] }],
];

for (const [member, element, listed] of ROWS) {
  test(`${member}, there and back`, () => {
    assert.equal(printMember(member), element);
    assert.deepEqual(readMembers([listed]), { members: new Set([member]), odd: false });
  });
}

const ODD: readonly [string, unknown][] = [
  ['a range', { range: ['10.0.0.1', '10.0.0.9'] }],
  ['an element with a comment', { elem: { val: '10.0.0.1', comment: 'x' } }],
  ['another protocol', { concat: ['10.0.0.1', 'udplite', 80] }],
  ['a range of ports', { concat: ['10.0.0.1', 'tcp', { range: [1, 2] }] }],
  ['a concatenation of two', { concat: ['10.0.0.1', 'tcp'] }],
  ['a prefix in a concatenation', { concat: [{ prefix: { addr: '10.0.0.0', len: 8 } }, 'tcp', 80] }],
  ['a number', 5],
  ['nothing', null],
  ['an address that is none', 'fd00::x'],
];

for (const [what, listed] of ODD) {
  test(`${what} is odd`, () => {
    assert.deepEqual(readMembers(['10.0.0.1', listed]), { members: new Set(['10.0.0.1']), odd: true });
  });
}

test('what is no member is our bug', () => {
  for (const text of ['', 'x', '10.0.0.1 }', '10.0.0.1,icmp:8', 'localhost', '10.0.0.1,tcp:80, 10.0.0.2']) {
    assert.throws(() => printMember(text), { name: 'AssertionFailed' }, text);
  }
});
