import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import type { SetElement, SetElementsChange } from '../../net/set-element.ts';
import { NO_EDITS } from '../../net/table-edit.ts';
import { checkBears, messageOf } from './golden.suite.ts';
import { encodeMessage, type NetlinkMessage, parseAttributes, parseMessages } from './message.ts';
import {
  decodeChain,
  decodeGeneration,
  decodeTable,
  encodeChainsDump,
  encodeGenerationGet,
  encodeTableBatch,
  encodeTablesDump,
  isAboutTable,
  nextGeneration,
} from './nftables.ts';

/** What nft 1.0.6 sends for `add element` in sets a4, n4, n6, p4, p6 of the table inet muslin, one transaction. */
const NFT_ADDS =
  '140000001000010000000000000000000000000a540000000c0a01040100000000000000010000000b0001006d75736c696e0000070002006134' +
  '0000080004000000000124000380100001800c000180080001000a000001100002800c000180080001000a000002b80000000c0a010402000000' +
  '00000000010000000b0001006d75736c696e0000070002006e3400000800040000000003880003801800018008000300000000010c0001800800' +
  '010000000000100002800c000180080001000a0000001800038008000300000000010c000180080001000b000000100004800c00018008000100' +
  '0b0000001800058008000300000000010c000180080001000c0000001c0006800c00018008000100ffffff000a0006000104010000000000c000' +
  '00000c0a01040300000000000000010000000b0001006d75736c696e0000070002006e3600000800040000000004900003802400018008000300' +
  '000000011800018014000100000000000000000000000000000000001c0002801800018014000100fd0000000000000000000000000000002400' +
  '038008000300000000011800018014000100fe000000000000000000000000000000280004801800018014000100ff0000000000000000000000' +
  '000000000a00060001040100000000004c0000000c0a01040400000000000000010000000b0001006d75736c696e000007000200703400000800' +
  '0400000000051c0003801800018014000180100001000a0000010600000000500000580000000c0a01040500000000000000010000000b000100' +
  '6d75736c696e0000070002007036000008000400000000062800038024000180200001801c000100fd0000000000000000000000000000018400' +
  '000000500000140000001100010006000000000000000000000a';
/** And for `delete element inet muslin n4 { 11.0.0.0/8, 255.255.255.0/24 }`. */
const NFT_DELETES =
  '140000001000010000000000000000000000000a700000000e0a01000100000000000000010000000b0001006d75736c696e0000070002006e34' +
  '000048000380100001800c000180080001000b0000001800028008000300000000010c000180080001000c0000001c0003800c00018008000100' +
  'ffffff000a0006000104010000000000140000001100010002000000000000000000000a';

const addresses = (...texts: string[]): SetElement[] => texts.map((text) => ({ kind: 'address', address: ip(text) }));
const prefixes = (...texts: string[]): SetElement[] => texts.map((text) => ({ kind: 'prefix', prefix: cidr(text) }));
const port = (text: string, protocol: number, number: number): SetElement[] => [
  { kind: 'port', address: ip(text), protocol, port: number },
];

const batchOf = (...members: SetElementsChange[]): Uint8Array =>
  Buffer.concat(
    encodeTableBatch('muslin', { ...NO_EDITS, members }).map(({ request }, index) => encodeMessage(request, index)),
  );

interface Readable {
  readonly type: number;
  readonly flags: number;
  readonly head: string;
  readonly names: readonly string[];
  readonly elements: readonly string[];
}

/** A batch without what is nft's own: numbers of sets and elements, and the end of nothing at the first address. */
function readable(batch: Uint8Array): Readable[] {
  const { messages, malformed } = parseMessages(batch);
  assert.equal(malformed, undefined);
  return messages.map(({ type, flags, body }) => {
    const attributes = parseAttributes(body, 4)!;
    return {
      type,
      flags,
      head: toHex(body.subarray(0, 4)),
      names: [1, 2].map((name) => toHex(attributes.get(name) ?? new Uint8Array())),
      elements: elementsIn(attributes.get(3) ?? new Uint8Array()).filter((each) => !isFirstEnd(each)),
    };
  });
}

function elementsIn(list: Uint8Array): string[] {
  const found: string[] = [];
  for (let offset = 0; offset < list.length; ) {
    const length = list[offset]! | (list[offset + 1]! << 8);
    found.push(toHex(list.subarray(offset + 4, offset + length)));
    offset += (length + 3) & ~3;
  }
  return found;
}

function isFirstEnd(element: string): boolean {
  return /^0800030000000001(0c00018008000100|1800018014000100)0+$/.test(element);
}

describe('a batch of set members', () => {
  test('is byte for byte as that of nft', () => {
    const ours = batchOf(
      { set: 'a4', removed: [], added: addresses('10.0.0.1', '10.0.0.2') },
      { set: 'n4', removed: [], added: prefixes('10.0.0.0/8', '11.0.0.0/8', '255.255.255.0/24') },
      { set: 'n6', removed: [], added: prefixes('fd00::/8', 'ff00::/8') },
      { set: 'p4', removed: [], added: port('10.0.0.1', 6, 80) },
      { set: 'p6', removed: [], added: port('fd00::1', 132, 80) },
    );
    assert.deepEqual(readable(ours), readable(Buffer.from(NFT_ADDS, 'hex')));
    const removals = batchOf({ set: 'n4', removed: prefixes('11.0.0.0/8', '255.255.255.0/24'), added: [] });
    assert.deepEqual(readable(removals), readable(Buffer.from(NFT_DELETES, 'hex')));
  });

  const ENDS: readonly (readonly [prefix: string, begin: string, end: string | undefined])[] = [
    ['10.0.0.0/9', '0a000000', '0a800000'],
    ['10.128.0.0/9', '0a800000', '0b000000'],
    ['10.0.0.255/32', '0a0000ff', '0a000100'],
    ['9.255.255.254/31', '09fffffe', '0a000000'],
    ['0.0.0.0/1', '00000000', '80000000'],
    ['128.0.0.0/1', '80000000', undefined],
    ['0.0.0.0/0', '00000000', undefined],
    ['255.255.255.255/32', 'ffffffff', undefined],
    ['::/0', '0'.repeat(32), undefined],
    ['fd00::ffff:ffff:ffff:ffff/128', `fd00${'0'.repeat(12)}${'f'.repeat(16)}`, `fd000000000000010000000000000000`],
  ];
  for (const [prefix, begin, end] of ENDS) {
    test(`${prefix} ${end === undefined ? 'has no end' : `ends before ${end}`}`, () => {
      const [, message] = readable(batchOf({ set: 's', removed: [], added: prefixes(prefix) }));
      const keys = message!.elements.map(
        (element) => /(?:08000100|14000100)([0-9a-f]+?)(?:0a0006.*)?$/.exec(element)![1],
      );
      assert.deepEqual(keys, end === undefined ? [begin] : [begin, end]);
      assert.equal(
        message!.elements.some((element) => element.includes('0a000600010401000000')),
        end === undefined,
      );
    });
  }

  test('takes members off before others come, in messages that an attribute can hold', () => {
    const many = Array.from({ length: 2_500 }, (_, index) => `fd00::${index.toString(16)}:0/112`);
    const members = [{ set: 's', removed: prefixes('fd00::/16'), added: prefixes(...many) }];
    const messages = encodeTableBatch('muslin', { ...NO_EDITS, members });
    assert.deepEqual(
      messages.map(({ request: { type }, what }) => [type, what()]),
      [
        [0x10, 'table inet muslin: a transaction'],
        [0x0a0e, 'set inet muslin s: removing fd00::/16'],
        [0x0a0c, 'set inet muslin s: adding fd00::/112, fd00::1:0/112, fd00::2:0/112, … (1000)'],
        [0x0a0c, 'set inet muslin s: adding fd00::3e8:0/112, fd00::3e9:0/112, fd00::3ea:0/112, … (1000)'],
        [0x0a0c, 'set inet muslin s: adding fd00::7d0:0/112, fd00::7d1:0/112, fd00::7d2:0/112, … (500)'],
        [0x11, 'table inet muslin: a transaction'],
      ],
    );
  });
});

describe('what the kernel tells', () => {
  const message = (type: number, hex: string): NetlinkMessage => ({
    ...{ type, flags: 0, sequence: 0, portId: 0 },
    body: Buffer.from(hex.replaceAll(' ', ''), 'hex'),
  });
  const GENERATION = message(0x0a0f, '00000000 0800010000000007 0800020000001267 080003006e667400');
  const muslin = (family: string) => `${family}000000 0b0001006d75736c696e0000 0800020061626300`;

  test('a generation has a number and a maker', () => {
    assert.deepEqual(decodeGeneration(GENERATION), { id: 7, by: 'nft (process 4711)' });
    assert.deepEqual([nextGeneration(7), nextGeneration(0xffff_ffff)], [8, 1]);
    assert.deepEqual(encodeGenerationGet(), { type: 0x0a10, flags: 0, body: new Uint8Array(4) });
  });

  const ABOUT: readonly (readonly [what: string, message: NetlinkMessage, isOurs: boolean])[] = [
    ['a rule of the table', message(0x0a06, muslin('01')), true],
    ['a set member that goes', message(0x0a0e, muslin('01')), true],
    ['the table itself going', message(0x0a02, muslin('01')), true],
    ['a table of that name of another family', message(0x0a06, muslin('02')), false],
    ['another table', message(0x0a06, '01000000 0c0001006d75736c696e3200'), false],
    ['a generation', GENERATION, false],
    ['a connection', message(0x0100, muslin('01')), false],
    ['something without attributes', message(0x0a06, '01000000'), false],
  ];
  for (const [what, each, isOurs] of ABOUT) {
    test(`${what} is ${isOurs ? '' : 'not '}about the table`, () => assert.equal(isAboutTable(each, 'muslin'), isOurs));
  }

  const IN_MUSLIN = '0b0001006d75736c696e0000 0800030000000001 0c0004000000000000000001';
  const TABLE = message(0x0a00, `01000007 ${IN_MUSLIN} 0800020000000000`);
  const BRIDGE = message(0x0a00, `07000007 ${IN_MUSLIN} 0800020000000000`);
  const CHAIN = message(
    0x0a03,
    '01000007 0b0001006d75736c696e0000 0600030061000000 0c0002000000000000000001 0800060000000001',
  );
  const BASE = message(
    0x0a03,
    '0a000007 0b00010066696c7465720000 0c000300464f525741524400 0c0002000000000000000001 ' +
      '14000400 0800010000000002 0800020000000000 0800050000000000 0b00070066696c7465720000 0800060000000000',
  );

  test('tables and chains have a family, a name and what uses them', () => {
    assert.deepEqual(decodeTable(TABLE), { family: 'inet', name: 'muslin', uses: 1 });
    assert.deepEqual(decodeChain(CHAIN), { family: 'inet', table: 'muslin', name: 'a', uses: 1, policy: undefined });
    assert.deepEqual(decodeChain(BASE), { family: 'ip6', table: 'filter', name: 'FORWARD', uses: 0, policy: 'drop' });
    assert.deepEqual([decodeTable(BRIDGE), decodeTable(CHAIN), decodeChain(TABLE)], [undefined, undefined, undefined]);
    assert.deepEqual([encodeTablesDump().type, encodeChainsDump().type], [0x0a01, 0x0a04]);
  });

  test('messages cut off, changed, and of others are no exceptions', () => {
    checkBears(decodeGeneration);
    for (const decode of [decodeTable, decodeChain]) {
      const bytes = [TABLE, CHAIN, BASE].map((each) => Buffer.from(encodeMessage(each, 0)).toString('hex'));
      checkBears(decode, bytes);
    }
    checkBears((each) => (isAboutTable(each, 'muslin') ? each : undefined));
    const bytes = Buffer.from(encodeMessage({ type: 0x0a0f, flags: 0, body: GENERATION.body }, 0)).toString('hex');
    assert.ok(decodeGeneration(messageOf(bytes)) !== undefined);
    checkBears(decodeGeneration, [bytes]);
  });
});
