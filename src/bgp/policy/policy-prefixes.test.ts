import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, formatCidr, subPrefix } from '../../net/cidr.ts';
import { boxOf, PrefixIndex } from './policy-prefixes.ts';
import type { PrefixCondition } from './policy-rules.ts';

const RULES = 10_000;
/** Nodes on the way to the longest prefix, and bytes that are looked at in each: far less than one look a rule. */
const LOOKS_MAX = { 4: 200, 6: 600 } as const;

function indexOf(conditions: readonly PrefixCondition[]): PrefixIndex {
  const index = new PrefixIndex();
  for (const [rule, condition] of conditions.entries()) {
    const box = boxOf(condition);
    if (box !== 'always' && box !== 'never') index.add(box, rule, 0);
  }
  return index;
}

/** A view of an array that counts how often an element is read. */
function counting(array: Uint8Array<ArrayBuffer>, count: () => void): Uint8Array<ArrayBuffer> {
  return new Proxy(array, {
    get(target, property) {
      if (typeof property === 'string' && /^\d+$/.test(property)) count();
      return Reflect.get(target, property);
    },
  });
}

/** The first rule that the prefix fits, and how many bytes of it and how many rules were looked at. */
function look(index: PrefixIndex, { address, length }: Cidr): { readonly rule: number; readonly looks: number } {
  let looks = 0;
  const count = () => {
    looks += 1;
  };
  const prefix = { address: { ...address, bytes: counting(Uint8Array.from(address.bytes), count) }, length };
  const rule = index.first(prefix, counting(Uint8Array.of(1), count), RULES);
  return { rule, looks };
}

const condition = (prefix: Cidr, operator: PrefixCondition['operator']): PrefixCondition => ({
  cidr: prefix,
  operator,
  lengthMin: undefined,
  lengthMax: undefined,
});

describe(`of ${RULES} rules few are looked at`, () => {
  for (const family of [4, 6] as const) {
    const all = cidr(family === 4 ? '10.0.0.0/8' : 'fd00::/8');
    const length = family === 4 ? 24 : 64;
    /** Spread, so that the trie branches at many places. */
    const prefixes = Array.from({ length: RULES }, (_, rule) => subPrefix(all, length, (rule * 7919) % 2 ** 16));
    for (const operator of ['Equal', 'In'] as const) {
      const index = indexOf(prefixes.map((prefix) => condition(prefix, operator)));
      for (const rule of [0, 1, RULES / 2, RULES - 1]) {
        test(`IPv${family} ${operator}: rule ${rule} is found`, () => {
          const found = look(index, prefixes[rule]!);
          assert.equal(found.rule, rule);
          assert.ok(found.looks <= LOOKS_MAX[family], `${found.looks} looks`);
        });
      }

      test(`IPv${family} ${operator}: a prefix that fits no rule`, () => {
        for (const prefix of [subPrefix(all, length, 65_535), all, cidr(family === 4 ? '0.0.0.0/0' : '::/0')]) {
          const found = look(index, prefix);
          assert.equal(found.rule, RULES, formatCidr(prefix));
          assert.ok(found.looks <= LOOKS_MAX[family], `${found.looks} looks`);
        }
      });
    }
  }

  test('the same rule again and again', () => {
    const index = indexOf(Array(RULES).fill({ ...condition(cidr('10.0.0.0/8'), 'In'), lengthMin: 20 }));
    const { rule, looks } = look(index, cidr('10.0.0.0/16'));
    assert.equal(rule, RULES);
    assert.ok(looks <= LOOKS_MAX[4], `${looks} looks`);
  });

  test('all outside of one prefix', () => {
    const index = indexOf(
      Array.from({ length: RULES }, (_, n) => condition(subPrefix(cidr('10.0.0.0/8'), 24, n), 'NotIn')),
    );
    assert.equal(look(index, cidr('11.0.0.0/8')).rule, 0);
    const second = look(index, cidr('10.0.0.0/24'));
    assert.equal(second.rule, 1);
    assert.ok(second.looks <= LOOKS_MAX[4], `${second.looks} looks`);
  });
});
