import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openGuard, openLeftovers, recordBackends } from './open-backend.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-backends-'));
const file = join(directory, 'packet-filters');
after(() => rmSync(directory, { recursive: true, force: true }));

test('without a record there is nothing to clear away', () => {
  assert.deepEqual(openLeftovers(join(directory, 'none')), []);
});

test('a record that another version wrote is passed over where it makes no sense', () => {
  writeFileSync(file, 'ebpf\n\nnft ables\n__proto__\n');
  assert.deepEqual(openLeftovers(file), []);
});

test('what is written down is for root alone, and is opened again', () => {
  recordBackends(file, ['nftables', 'ebpf']);
  assert.equal(readFileSync(file, 'utf8'), 'nftables\nebpf\n');
  rmSync(file);
  recordBackends(file, ['nftables']);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const guard = openGuard();
  guard?.close();
  const opened = openLeftovers(file);
  assert.deepEqual(
    opened.map(({ identity }) => identity),
    guard === undefined ? [] : ['nftables'],
  );
  for (const backend of opened) backend.close();
});
