/**
 * Random and damaged UPDATEs for the codec: whatever the bytes, it answers, and takes nothing that RFC 7606 forbids.
 *
 * For each message: the decoder does not throw; one that has seen all messages before answers like a fresh one; what it
 * announces survives being written and read again; and `forbidden`, a second and much simpler reader, has nothing against it.
 * A message that was not damaged must be taken. MUSLIN_FUZZ_SEED=… runs a seed again, MUSLIN_FUZZ_ROUNDS=… runs longer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { type Random, seededRandom } from '../../lib/prng.ts';
import { type Ip, ip, ipFromBytes } from '../../net/ip.ts';
import { encodeAttributes, type PathAttributes } from './attributes.ts';
import { isBgpError } from './errors.ts';
import { body, EXTERNAL, INTERNAL, mpReach } from './update.suite.ts';
import { type Update, type UpdateContext, UpdateDecoder } from './update.ts';

const SEED = Number(process.env.MUSLIN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env.MUSLIN_FUZZ_ROUNDS ?? 10_000);

const CONTEXTS: readonly UpdateContext[] = [
  INTERNAL,
  EXTERNAL,
  { ...INTERNAL, asnBytes: 2, families: [4] },
  { ...EXTERNAL, asnBytes: 2, addPathReceive: [4] },
  { ...EXTERNAL, role: 'customer', enforceFirstAs: false, ipv4OverIpv6: true },
  { ...EXTERNAL, role: 'provider', addPathReceive: [4, 6] },
  { ...INTERNAL, addPathReceive: [6], ipv4OverIpv6: true },
];

/** Numbers and choices from one generator. */
class Dice {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }

  list<Item>(max: number, item: () => Item): Item[] {
    return Array.from({ length: this.below(max + 1) }, item);
  }

  u32(): number {
    return this.chance(3) ? this.pick([0, 1, 23456, 65535, 65536, 0xffffffff]) : this.below(2 ** 32);
  }

  asn(): number {
    return this.u32() || 64512;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Attributes that every peer of the context may send. */
function randomAttributes(dice: Dice, context: UpdateContext, nextHop: Ip, linkLocal: Ip | undefined): PathAttributes {
  const asns = dice.list(dice.chance(20) ? 600 : 5, () => dice.asn());
  const otc = context.role === 'provider' || dice.chance(2) ? undefined : dice.asn();
  return {
    origin: dice.pick([0, 1, 2]),
    asPath: context.external ? [context.peerAsn, ...asns] : asns,
    nextHop,
    linkLocalNextHop: linkLocal,
    med: dice.chance(2) ? dice.u32() : undefined,
    localPreference: context.external || dice.chance(3) ? undefined : dice.u32(),
    atomicAggregate: dice.chance(4),
    aggregator: dice.chance(3) ? { asn: dice.asn(), address: ipFromBytes(dice.bytes(4)) } : undefined,
    communities: dice.list(dice.chance(10) ? 100 : 3, () => dice.u32()),
    extendedCommunities: dice.list(3, () => [dice.u32(), dice.u32()] as const),
    largeCommunities: dice.chance(2)
      ? []
      : [
          [dice.u32(), dice.u32(), 1],
          [0, 0, 2],
          [9, 9, dice.below(9) + 3],
        ],
    originatorId: undefined,
    clusterList: context.external ? [] : dice.list(3, () => dice.u32()),
    onlyToCustomer: otc ?? (context.role === 'customer' ? context.peerAsn : undefined),
    unknown: dice.chance(2) ? [] : [{ type: 200 + dice.below(9), flags: 0xe0, value: dice.bytes(dice.below(300)) }],
  };
}

function randomPrefixes(dice: Dice, bits: number, pathIds: boolean, count: number): string {
  const prefix = (): string => {
    const length = dice.below(bits + 1);
    return toHex(Uint8Array.of(...(pathIds ? dice.bytes(4) : []), length, ...dice.bytes((length + 7) >> 3)));
  };
  return Array.from({ length: count }, prefix).join('');
}

/** A message in which nothing is wrong, and the attributes that it announces. */
function goodUpdate(dice: Dice, context: UpdateContext): { bytes: Uint8Array; attributes: PathAttributes } {
  const family = context.families.includes(6) ? dice.pick([4, 6] as const) : 4;
  const isOverIpv6 = family === 6 || (context.ipv4OverIpv6 && dice.chance(2));
  const linkLocal = isOverIpv6 && dice.chance(2) ? ip('fe80::1') : undefined;
  const nextHop = isOverIpv6 ? ip('fd00::2') : ip('10.0.0.2');
  const attributes = randomAttributes(dice, context, nextHop, linkLocal);
  const block = encodeAttributes(attributes, context);
  const pathIds = context.addPathReceive.includes(family);
  const prefixes = randomPrefixes(dice, family === 4 ? 32 : 128, pathIds, 1 + dice.below(5));
  if (!isOverIpv6) {
    const gone = randomPrefixes(dice, 32, pathIds, dice.below(3));
    return { bytes: body(block, prefixes, gone), attributes };
  }
  const reach = mpReach(
    family,
    toHex(nextHop.bytes) + (linkLocal === undefined ? '' : toHex(linkLocal.bytes)),
    prefixes,
  );
  return { bytes: body(dice.chance(2) ? reach + toHex(block) : toHex(block) + reach), attributes };
}

/** Where the attributes of a message stand, as far as they can be told. */
function spans(bytes: Uint8Array): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  const start = 4 + bytes[0]! * 256 + bytes[1]!;
  const end = start + bytes[start - 2]! * 256 + bytes[start - 1]!;
  for (let at = start; at < end; at = found.at(-1)!.end) {
    const long = (bytes[at]! & 0x10) !== 0;
    found.push({ start: at, end: at + (long ? 4 + bytes[at + 2]! * 256 + bytes[at + 3]! : 3 + bytes[at + 2]!) });
  }
  return found;
}

/** The message with one thing wrong, or several: an attribute changed, doubled, lost or cut, or any byte. */
function damage(dice: Dice, good: Uint8Array): Uint8Array {
  const bytes = good.slice();
  const attributes = spans(good);
  const { start, end } = dice.pick(attributes);
  const first = attributes[0]!.start;
  const last = attributes.at(-1)!.end;
  const block = (pieces: readonly Uint8Array[]): Uint8Array => {
    const joined = pieces.flatMap((piece) => [...piece]);
    return Uint8Array.of(
      ...good.slice(0, first - 2),
      joined.length >> 8,
      joined.length & 255,
      ...joined,
      ...good.slice(last),
    );
  };
  switch (dice.below(8)) {
    case 0: // the flags
      bytes[start] = bytes[start]! ^ dice.pick([0x80, 0x40, 0x20, 0x10, 0x01]);
      return bytes;
    case 1: // the type
      bytes[start + 1] = dice.chance(2) ? dice.below(45) : dice.below(256);
      return bytes;
    case 2: // the length
      bytes[start + 2] = Math.max(0, bytes[start + 2]! + dice.pick([-4, -1, 1, 4]));
      return bytes;
    case 3: // twice
      return block([good.slice(first, last), good.slice(start, end)]);
    case 4: // lost
      return block([good.slice(first, start), good.slice(end, last)]);
    case 5: // another one, of any value
      return block([good.slice(first, last), randomAttribute(dice)]);
    case 6:
      return bytes.slice(0, dice.below(bytes.length));
    default:
      for (let count = 1 + dice.below(4); count > 0; count--) bytes[dice.below(bytes.length)] = dice.below(256);
      return bytes;
  }
}

function randomAttribute(dice: Dice): Uint8Array {
  const length = dice.chance(2) ? dice.below(40) : 4 * dice.below(8);
  const flags = dice.pick([0x40, 0x80, 0xc0, 0xe0, 0xd0]);
  const head = (flags & 0x10) === 0 ? [flags, dice.below(45), length] : [flags, dice.below(45), 0, length];
  return Uint8Array.of(...head, ...dice.bytes(length));
}

/** By type: Optional and Transitive as they must be, and the lengths that a value may have. */
const RULES: Readonly<
  Record<number, readonly [flags: number, lengthFits: (length: number, asnBytes: number) => boolean]>
> = {
  1: [0x40, (length) => length === 1],
  2: [0x40, (length) => length % 2 === 0],
  3: [0x40, (length) => length === 4],
  4: [0x80, (length) => length === 4],
  5: [0x40, (length) => length === 4],
  6: [0x40, () => true],
  7: [0xc0, () => true],
  8: [0xc0, (length) => length > 0 && length % 4 === 0],
  9: [0x80, (length) => length === 4],
  10: [0x80, (length) => length > 0 && length % 4 === 0],
  14: [0x80, (length) => length >= 5],
  15: [0x80, (length) => length >= 3],
  16: [0xc0, (length) => length > 0 && length % 8 === 0],
  17: [0xc0, (length) => length % 2 === 0],
  18: [0xc0, () => true],
  22: [0xc0, (length) => length >= 5],
  23: [0xc0, (length) => length % 1 === 0 && (length === 0 || length >= 4)],
  25: [0xc0, (length) => length > 0 && length % 20 === 0],
  32: [0xc0, (length) => length > 0 && length % 12 === 0],
  35: [0xc0, (length) => length === 4],
  128: [0xc0, (length) => length >= 4],
};
/** Dropped from external peers whatever their value. */
const INTERNAL_ONLY = [5, 9, 10];
/** Wrong flags only drop them. */
const DROPPED_BY_FLAGS = [26, 29, 39, 40];

/** Why RFC 7606 does not let anything of this message be announced; undefined where nothing is found. */
function forbidden(bytes: Uint8Array, { external, asnBytes }: UpdateContext): string | undefined {
  const first = 4 + bytes[0]! * 256 + bytes[1]!;
  const last = first + bytes[first - 2]! * 256 + bytes[first - 1]!;
  const seen = new Set<number>();
  for (const { start, end } of spans(bytes)) {
    if (end > last || start + 3 > last) return 'an attribute overruns';
    const [flags, type] = [bytes[start]!, bytes[start + 1]!];
    const value = bytes.slice(start + ((flags & 0x10) === 0 ? 3 : 4), end);
    if (seen.has(type)) {
      if (type === 14 || type === 15) return 'prefixes twice';
      continue;
    }
    seen.add(type);
    if (type === 3 && last === bytes.length) continue;
    const rule = RULES[type];
    if (rule === undefined) {
      if ((flags & 0x80) === 0 && !DROPPED_BY_FLAGS.includes(type)) return `unknown well-known ${type}`;
      continue;
    }
    if ((flags & 0xc0) !== rule[0]) return `flags of ${type}`;
    if ((flags & 0x20) !== 0 && rule[0] !== 0xc0) return `${type} is partial`;
    if (external && INTERNAL_ONLY.includes(type)) continue;
    if (!rule[1](value.length, asnBytes)) return `length of ${type}`;
    if (type === 1 && value[0]! > 2) return 'ORIGIN';
    if (type === 35 && value.every((byte) => byte === 0)) return 'OTC of AS 0';
    if (type === 2 && !isPath(value, asnBytes)) return 'AS_PATH';
  }
  if (!seen.has(1) || !seen.has(2)) return 'without ORIGIN or AS_PATH';
  return seen.has(14) || seen.has(3) ? undefined : 'without next hop';
}

function isPath(value: Uint8Array, asnBytes: number): boolean {
  let at = 0;
  while (at < value.length) {
    const end = at + 2 + (value[at + 1] ?? 0) * asnBytes;
    if (value[at] !== 2 || value[at + 1] === 0 || end > value.length) return false;
    for (at += 2; at < end; at += asnBytes) {
      if (value.subarray(at, at + asnBytes).every((byte) => byte === 0)) return false;
    }
  }
  return true;
}

/** The attributes written again, for one prefix. */
function rewritten(
  attributes: PathAttributes,
  range: { family: 4 | 6; pathIds: boolean },
  asnBytes: 2 | 4,
): Uint8Array {
  const block = encodeAttributes(attributes, { asnBytes });
  const prefix = `${range.pathIds ? '00000001' : ''}00`;
  const { nextHop, linkLocalNextHop } = attributes;
  if (range.family === 4 && nextHop?.family === 4) return body(block, prefix);
  const hops = toHex(nextHop!.bytes) + (linkLocalNextHop === undefined ? '' : toHex(linkLocalNextHop.bytes));
  return body(mpReach(range.family, hops, prefix) + toHex(block));
}

function checkAnnounced(update: Update, bytes: Uint8Array, context: UpdateContext): void {
  for (const { range, attributes } of update.announced) {
    assert.equal(forbidden(bytes, context), undefined);
    assert.ok(range.start < range.end && range.end <= bytes.length);
    const again = new UpdateDecoder(context).decode(rewritten(attributes, range, context.asnBytes));
    assert.ok(!isBgpError(again), isBgpError(again) ? again.why : '');
    assert.deepEqual(again.problems, []);
    assert.deepEqual(again.announced[0]?.attributes, attributes);
  }
  const mayWithdraw = update.withdrawn.every(({ start, end }) => start < end && end <= bytes.length);
  assert.ok(mayWithdraw, 'a range outside of the message');
}

test(`RFC 7606: random and damaged UPDATEs (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  const dice = new Dice(SEED);
  const decoders = new Map(CONTEXTS.map((context) => [context, new UpdateDecoder(context)]));
  const seen = { good: 0, announced: 0, withdrawn: 0, reset: 0 };
  let bytes: Uint8Array = new Uint8Array(0);
  for (let round = 0; round < ROUNDS; round++) {
    const context = dice.pick(CONTEXTS);
    const good = goodUpdate(dice, context);
    const isGood = dice.chance(5);
    const isNoise = !isGood && dice.chance(20);
    bytes = isGood ? good.bytes : isNoise ? dice.bytes(dice.below(100)) : damage(dice, good.bytes);
    try {
      const update = new UpdateDecoder(context).decode(bytes);
      assert.deepEqual(decoders.get(context)!.decode(bytes), update, 'a decoder with a memory answers otherwise');
      if (isGood) {
        assert.ok(!isBgpError(update), isBgpError(update) ? update.why : '');
        assert.deepEqual(update.problems, []);
        assert.deepEqual(update.announced[0]?.attributes, good.attributes);
        seen.good += 1;
      }
      if (isBgpError(update)) seen.reset += 1;
      else {
        checkAnnounced(update, bytes, context);
        if (update.announced.length > 0) seen.announced += 1;
        if (update.treatedAsWithdraw) seen.withdrawn += 1;
      }
    } catch (error) {
      console.error(`seed ${SEED}, round ${round}, ${JSON.stringify(context)}, message ${toHex(bytes)}`);
      throw error;
    }
  }
  // Where one of these is rare, the damage is too small or too great to find anything.
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > ROUNDS / 20, `${kind}: ${count} of ${ROUNDS}`);
});
