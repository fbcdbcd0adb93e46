import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionFailed } from '../../../lib/assert.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { containsCidr, formatCidr, prefixOf, sameCidr } from '../../../net/cidr.ts';
import { addressBits, formatIp, ipFromBytes } from '../../../net/ip.ts';
import { PrefixTree } from './prefix-tree.ts';

/** Few different bits, at the edges of words too, so that prefixes nest and part everywhere. */
function prefixes(bytes: 4 | 16): fc.Arbitrary<Cidr> {
  const byte = fc.constantFrom(0, 1, 0x80, 0xff);
  const length = fc.oneof(fc.nat(bytes * 8), fc.constantFrom(0, bytes * 8));
  return fc
    .tuple(fc.array(byte, { minLength: bytes, maxLength: bytes }), length)
    .map(([list, bits]) => prefixOf(ipFromBytes(Uint8Array.from(list)), bits));
}

function text({ address, length }: Cidr): string {
  return length === addressBits(address.family) ? formatIp(address) : formatCidr({ address, length });
}

test('the tree answers as a search of all members does', () => {
  const prefix = fc.oneof(prefixes(4), prefixes(16));
  const steps = fc.array(fc.record({ prefix, adds: fc.boolean() }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, fc.array(prefix, { maxLength: 10 }), (list, others) => {
      const tree = new PrefixTree();
      const members = new Map<string, Cidr>();
      const strictlyIn = (outer: Cidr, inner: Cidr) => containsCidr(outer, inner) && !sameCidr(outer, inner);
      const check = (asked: Cidr) => {
        const all = [...members.values()];
        const covered = all.some((member) => strictlyIn(member, asked));
        assert.equal(tree.isCovered(text(asked)), covered, `${text(asked)} in ${[...members.keys()]}`);
        const within = all.filter((member) => strictlyIn(asked, member));
        const outermost = within.filter((member) => !within.some((other) => strictlyIn(other, member)));
        assert.deepEqual(tree.outermostWithin(text(asked)).sort(), outermost.map(text).sort());
      };
      for (const { prefix, adds } of list) {
        if (adds) {
          members.set(text(prefix), prefix);
          tree.add(text(prefix));
        } else {
          // Every second removal is of what is there, whatever was drawn.
          const [known] = members.keys();
          const gone = members.has(text(prefix)) ? text(prefix) : known;
          if (gone === undefined) continue;
          members.delete(gone);
          tree.remove(gone);
        }
        check(prefix);
      }
      for (const asked of [...others, ...list.map(({ prefix }) => prefix)]) check(asked);
    }),
    { numRuns: 300 },
  );
});

test('what is no member cannot be taken away', () => {
  const tree = new PrefixTree();
  tree.add('10.0.0.0/9');
  tree.add('10.128.0.0/9');
  for (const net of ['10.0.0.0/8', '10.0.0.1', '0.0.0.0/0', 'fd00::1']) {
    assert.throws(() => tree.remove(net), AssertionFailed, net);
  }
});
