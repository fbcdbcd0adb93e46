import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../../lib/clock.ts';
import { formatIp, ip } from '../../net/ip.ts';
import { answerDelayMs, chooseNeighbour, type Neighbour } from './unnumbered.ts';

const at = (address: string, milliseconds: number): Neighbour => ({
  address: ip(address),
  heardAt: instant(milliseconds),
});

const CASES: readonly (readonly [title: string, Neighbour | undefined, Neighbour, address: string, heardAt: number])[] =
  [
    ['the first is taken', undefined, at('fe80::1', 0), 'fe80::1', 0],
    ['the same one is heard again', at('fe80::1', 0), at('fe80::1', 10_000), 'fe80::1', 10_000],
    ['a second one does not take its place', at('fe80::1', 0), at('fe80::2', 30_000), 'fe80::1', 0],
    ['unless the first has been silent', at('fe80::1', 0), at('fe80::2', 30_001), 'fe80::2', 30_001],
  ];

test('a device has one neighbour', () => {
  for (const [title, known, heard, address, heardAt] of CASES) {
    const chosen = chooseNeighbour(known, heard);
    assert.deepEqual([formatIp(chosen.address), chosen.heardAt], [address, heardAt], title);
  }
});

const ANSWERS: readonly [advertisedAt: number | undefined, delayMs: number][] = [
  [undefined, 0],
  [0, 0],
  [9_500, 0],
  [9_501, 1],
  [9_990, 490],
];
for (const [advertisedAt, delayMs] of ANSWERS) {
  test(`RFC 4861 section 6.2.6: at 10 s, advertised at ${advertisedAt}, an answer is sent in ${delayMs} ms`, () => {
    const at = advertisedAt === undefined ? undefined : instant(advertisedAt);
    assert.equal(answerDelayMs(instant(10_000), at), delayMs);
  });
}
