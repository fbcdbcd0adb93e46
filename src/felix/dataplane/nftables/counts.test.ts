import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Chain } from '../filter/program.ts';
import { readCounts, ruleCounts } from './counts.ts';
import { ListingUnreadable } from './listing.ts';
import { printChain } from './print.ts';
import { rule } from './random-program.suite.ts';

const CHAIN: Chain = {
  table: 'raw',
  name: 'cali-OUTPUT',
  hook: 'OUTPUT',
  rules: [
    // Never met: it has no rule in the kernel.
    rule(
      [
        { kind: 'family', family: 4 },
        { kind: 'family', family: 6 },
      ],
      { kind: 'drop' },
    ),
    rule([], { kind: 'accept' }),
    rule([{ kind: 'dnat', is: false }], { kind: 'drop' }),
  ],
  hookRules: [rule([], { kind: 'return' })],
};
const { hashes } = printChain(CHAIN);

function listed(comment: string | undefined, packets: number): object {
  const expr = [{ match: {} }, { counter: { packets, bytes: packets * 100 } }, { accept: null }];
  return { rule: { chain: 'raw-cali-OUTPUT', ...(comment && { comment }), expr } };
}

const packetsOf = (...items: object[]) =>
  ruleCounts(CHAIN, readCounts({ nftables: [{ metainfo: {} }, ...items] })).map(({ packets }) => packets);
const OURS = hashes.map((hash, index) => listed(`cali:${hash}; words`, 10 ** index));

test('each rule has its counts, one that is two nft rules those of both', () => {
  assert.deepEqual(packetsOf(...OURS), [0, 1, 110, 1000]);
  assert.deepEqual(ruleCounts(CHAIN, readCounts({ nftables: OURS }))[2], { packets: 110, bytes: 11_000 });
});

test('rules of others, and ours that are gone, count nothing', () => {
  assert.deepEqual(packetsOf(listed(undefined, 7), OURS[1]!, listed('mine', 7), listed('cali:x;', 7)), [0, 0, 10, 0]);
});

test('no chain, no listing, no counter: nothing was met', () => {
  assert.deepEqual(packetsOf(), [0, 0, 0, 0]);
  assert.deepEqual(ruleCounts(CHAIN, readCounts(undefined))[3], { packets: 0, bytes: 0 });
  const stateless = { rule: { chain: 'raw-cali-OUTPUT', comment: `cali:${hashes[0]}`, expr: [{ counter: null }] } };
  assert.deepEqual(packetsOf(stateless), [0, 0, 0, 0]);
});

test('what is no listing is refused', () => {
  assert.throws(() => readCounts({}), ListingUnreadable);
});
