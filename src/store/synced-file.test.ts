/** Many who wait for a sync wait for few; each for one that began after it asked. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SyncedFile } from './synced-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-synced-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('those who ask during a sync share the next one, and are done after it', async () => {
  const path = join(directory, 'log');
  writeFileSync(path, 'x');
  const file = new SyncedFile(path);
  const order: string[] = [];
  const ask = (name: string) => file.sync().then(() => order.push(name));
  await Promise.all([ask('first'), ask('second'), ask('third'), ask('fourth')]);
  assert.deepEqual(order, ['first', 'second', 'third', 'fourth']);
  await ask('later');
  await file.close();
  await file.close();
});

test('an error is that of whoever asked, and the next one tries again', async () => {
  const path = join(directory, 'later');
  const file = new SyncedFile(path);
  await assert.rejects(file.sync(), /ENOENT/);
  writeFileSync(path, 'x');
  await file.sync();
  await file.close();
});
