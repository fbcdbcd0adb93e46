import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import {
  assemble,
  call,
  compute,
  exit,
  jump,
  jumpIf,
  label,
  load,
  loadMap,
  r0,
  r1,
  r2,
  r6,
  r9,
  type Step,
  stack,
  stackAddress,
  store,
  toNetworkOrder,
} from './assembler.ts';

describe('the bytes of an instruction', () => {
  // By hand from RFC 9669.
  const rows: [string, Step | readonly Step[], string][] = [
    ['r6 = r1', compute(r6, '=', r1), 'bf16000000000000'],
    ['r0 = -1', compute(r0, '=', -1), 'b7000000ffffffff'],
    ['r1 += 14', compute(r1, '+', 14), '070100000e000000'],
    ['r2 -= r9', compute(r2, '-', r9), '1f92000000000000'],
    ['r1 *= 1000', compute(r1, '*', 1000), '27010000e8030000'],
    ['r1 &= 0xff', compute(r1, '&', 0xff), '57010000ff000000'],
    ['r1 |= r2', compute(r1, '|', r2), '4f21000000000000'],
    ['r1 ^= r2', compute(r1, '^', r2), 'af21000000000000'],
    ['r1 <<= 8', compute(r1, '<<', 8), '6701000008000000'],
    ['r1 >>= 16', compute(r1, '>>', 16), '7701000010000000'],
    ['r1 = be16 r1', toNetworkOrder(r1, 16), 'dc01000010000000'],
    ['r1 = be32 r1', toNetworkOrder(r1, 32), 'dc01000020000000'],
    ['r1 = *(u8 *)(r6 + 9)', load(1, r1, r6, 9), '7161090000000000'],
    ['r1 = *(u16 *)(r6 + 2)', load(2, r1, r6, 2), '6961020000000000'],
    ['r1 = *(u32 *)(r6 + 76)', load(4, r1, r6, 76), '61614c0000000000'],
    ['r1 = *(u64 *)(r9 + 8)', load(8, r1, r9, 8), '7991080000000000'],
    ['*(u8 *)(r10 - 1) = 5', store(1, stack, -1, 5), '720affff05000000'],
    ['*(u16 *)(r10 - 2) = r1', store(2, stack, -2, r1), '6b1afeff00000000'],
    ['*(u32 *)(r10 - 4) = r1', store(4, stack, -4, r1), '631afcff00000000'],
    ['*(u64 *)(r10 - 8) = 0', store(8, stack, -8, 0), '7a0af8ff00000000'],
    ['map 5', loadMap(r1, 5), '1811000005000000' + '0000000000000000'],
    ['call 69', call(69), '8500000045000000'],
    ['exit', exit(), '9500000000000000'],
    ['r2 = r10; r2 += -8', stackAddress(r2, -8), 'bfa2000000000000' + '07020000f8ffffff'],
  ];
  for (const [title, steps, hex] of rows) {
    it(title, () => assert.equal(toHex(assemble([steps].flat())), hex));
  }
});

describe('jumps', () => {
  it('count from the next instruction, forwards and backwards, and a map counts twice', () => {
    const program = [
      label('start'),
      jumpIf(r0, '==', 0, 'end'),
      loadMap(r1, 5),
      jumpIf(r1, '>', r2, 'start'),
      jump('end'),
      label('end'),
      exit(),
    ];
    const words = toHex(assemble(program)).match(/.{16}/g);
    assert.deepEqual(words, [
      '1500040000000000',
      '1811000005000000',
      '0000000000000000',
      '2d21fcff00000000',
      '0500000000000000',
      '9500000000000000',
    ]);
  });

  const conditions: [Parameters<typeof jumpIf>[1], string, string][] = [
    ['==', '15', '1d'],
    ['!=', '55', '5d'],
    ['>', '25', '2d'],
    ['>=', '35', '3d'],
    ['<', 'a5', 'ad'],
    ['<=', 'b5', 'bd'],
    ['&', '45', '4d'],
  ];
  for (const [condition, number, register] of conditions) {
    it(`if ${condition}`, () => {
      const opcode = (step: Step): string => toHex(assemble([step, label('end')])).slice(0, 2);
      assert.equal(opcode(jumpIf(r1, condition, 3, 'end')), number);
      assert.equal(opcode(jumpIf(r1, condition, r2, 'end')), register);
    });
  }
});

describe('what cannot be assembled', () => {
  const rows: [string, () => unknown, RegExp][] = [
    ['a label that is missing', () => assemble([jump('nowhere')]), /no label "nowhere"/],
    ['a label that is there twice', () => assemble([label('x'), label('x')]), /"x" is there twice/],
    ['a number of more than 32 bits', () => assemble([compute(r0, '=', 2 ** 32)]), /it has 32 bits/],
    ['an offset of more than 16 bits', () => assemble([load(1, r0, r6, 2 ** 15)]), /at most 32767/],
    ['a place outside of the stack', () => stackAddress(r1, 0), /the stack is from -512 to -1/],
  ];
  for (const [title, work, message] of rows) it(title, () => assert.throws(work, message));
});
