import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Column, renderTable } from './table.ts';

const COLUMNS: readonly Column<readonly [string, string]>[] = [
  { title: 'PEER', cell: ([peer]) => peer },
  { title: 'STATE', cell: ([, state]) => state },
];

test('columns are as wide as their widest cell, three spaces apart, without trailing blanks', () => {
  const text = renderTable(COLUMNS, [
    ['192.168.100.101', 'Established'],
    ['b', ''],
    ['', 'Idle'],
  ]);
  assert.equal(text, 'PEER              STATE\n192.168.100.101   Established\nb\n                  Idle\n');
});

test('a table without rows has its titles', () => {
  assert.equal(renderTable(COLUMNS, []), 'PEER   STATE\n');
});
