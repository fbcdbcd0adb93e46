import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IntTable } from './int-table.ts';

test('fields keep what was written to them, signed, while the table grows', () => {
  const write = fc.record({ row: fc.nat(500), field: fc.nat(2), value: fc.integer() });
  fc.assert(
    fc.property(fc.array(write), (writes) => {
      const table = new IntTable(3, 4);
      const model = new Map<string, number>();
      for (const { row, field, value } of writes) {
        table.reserve(row);
        table.set(row, field, value);
        model.set(`${row} ${field}`, value);
      }
      for (const { row } of writes) {
        for (const field of [0, 1, 2]) assert.equal(table.get(row, field), model.get(`${row} ${field}`) ?? 0);
      }
    }),
  );
});

test('numbers of 32 bits come back as signed, and as what they were with >>> 0', () => {
  const table = new IntTable(1, 4);
  table.set(0, 0, 0xffffffff);
  assert.equal(table.get(0, 0), -1);
  assert.equal(table.get(0, 0) >>> 0, 0xffffffff);
});

test('a row far beyond the end is 0 before anything is written to it', () => {
  const table = new IntTable(2, 4);
  assert.equal(table.get(1_000_000, 1), 0);
  table.reserve(1_000_000);
  table.set(1_000_000, 1, 7);
  assert.deepEqual([table.get(1_000_000, 0), table.get(1_000_000, 1), table.get(999_999, 1)], [0, 7, 0]);
});
