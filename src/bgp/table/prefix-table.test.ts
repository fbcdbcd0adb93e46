import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr, formatCidr, prefixOf } from '../../net/cidr.ts';
import { addressBits, type Family, ipFromBytes } from '../../net/ip.ts';
import { PrefixTable, prefixBytesAt } from './prefix-table.ts';

const ROOM = 20;

/** A prefix as a message has it, behind a byte that is none of its own, with bits beyond its length as they come. */
function wire(length: number, address: Uint8Array): Uint8Array {
  return Uint8Array.of(0xee, length, ...address.subarray(0, (length + 7) >> 3), 0xee);
}

/** Few different addresses, so that prefixes meet again, in all lengths; host bits are set. */
function somePrefix(family: Family) {
  const bits = addressBits(family);
  const byte = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff);
  const address = fc.array(byte, { minLength: bits / 8, maxLength: bits / 8 }).map((bytes) => Uint8Array.from(bytes));
  return fc.record({ length: fc.integer({ min: 0, max: bits }), address });
}

for (const family of [4, 6] as const) {
  test(`IPv${family}: what is added is found under its row, what is removed is not, as in a Map`, () => {
    const step = fc.record({ what: fc.constantFrom('add', 'addPrefix', 'remove', 'find'), prefix: somePrefix(family) });
    const steps = fc.array(step, { maxLength: 200 });
    fc.assert(
      fc.property(steps, (all) => {
        const table = new PrefixTable(family);
        const model = new Map<string, number>();
        for (const { what, prefix } of all) {
          const value = prefixOf(ipFromBytes(prefix.address), prefix.length);
          const text = formatCidr(value);
          const bytes = wire(prefix.length, prefix.address);
          assert.equal(prefixBytesAt(bytes, 1), bytes.length - 2);
          const known = model.get(text);
          assert.equal(table.find(bytes, 1), known ?? -1);
          assert.equal(table.findPrefix(value), known ?? -1);
          if (what === 'remove' && known !== undefined) {
            table.remove(known);
            model.delete(text);
            assert.ok(table.isFree(known));
          } else if (what === 'add' || what === 'addPrefix') {
            const row = what === 'add' ? table.add(bytes, 1) : table.addPrefix(value);
            assert.equal(row, known ?? row);
            assert.ok(known !== undefined || ![...model.values()].includes(row), 'a row stands for one prefix');
            model.set(text, row);
          }
          assert.equal(table.size, model.size);
        }
        for (const [text, row] of model) checkRow(table, row, text);
      }),
      { numRuns: 200 },
    );
  });

  test(`IPv${family}: a table that grows and shrinks loses nothing, and uses rows again`, () => {
    const table = new PrefixTable(family);
    const textOf = (index: number): string =>
      family === 4 ? `10.${index >> 8}.${index & 255}.0/24` : `fd00:${index.toString(16)}::/32`;
    const count = 10_000;
    const rows = Array.from({ length: count }, (_, index) => table.addPrefix(cidr(textOf(index))));
    assert.equal(new Set(rows).size, count);
    for (let index = 0; index < count; index += 3) table.remove(rows[index] ?? -1);
    for (let index = 0; index < count; index++) {
      assert.equal(table.findPrefix(cidr(textOf(index))), index % 3 === 0 ? -1 : rows[index]);
    }
    for (let index = 0; index < count; index += 3) rows[index] = table.addPrefix(cidr(textOf(index)));
    assert.equal(table.rows, count);
    assert.equal(new Set(rows).size, count);
    for (const [index, row] of rows.entries())
      if (index % 97 === 0) checkRow(table, row, formatCidr(cidr(textOf(index))));
    for (const row of rows) table.remove(row);
    assert.equal(table.size, 0);
    assert.equal(table.findPrefix(cidr(textOf(1))), -1);
  });
}

function checkRow(table: PrefixTable, row: number, text: string): void {
  assert.equal(formatCidr(table.prefix(row)), text);
  assert.equal(table.length(row), cidr(text).length);
  const bytes = new Uint8Array(ROOM).fill(0xee);
  const end = table.write(row, bytes, 1);
  assert.equal(end, 1 + prefixBytesAt(bytes, 1));
  const { address, length } = cidr(text);
  const expected = [0xee, length, ...address.bytes.subarray(0, (length + 7) >> 3)];
  assert.deepEqual([...bytes.subarray(0, end)], expected);
  assert.equal(table.find(bytes, 1), row);
}
