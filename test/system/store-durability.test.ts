/**
 * What the SQLite store promises when the machine lets it down: killed writers, full disks, files that are read-only or
 * damaged. Nothing that was acknowledged is lost, and each failure is an error that says what to do.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { StoreError } from '../../src/store/store.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-durability-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const STORE_MODULE = new URL('../../src/store/sqlite.ts', import.meta.url).href;
const WRITES = 10_000;
const ROUNDS = 4;

/** A program with `openSqliteStore` at hand, and `put(store, key, value)`. */
function program(code: string): readonly string[] {
  const text = `
    import { openSqliteStore } from ${JSON.stringify(STORE_MODULE)};
    const put = (store, key, value) => store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
    ${code}`;
  return ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '--eval', text];
}

function integrityOf(path: string): unknown {
  const database = new DatabaseSync(path);
  try {
    return Object.values(database.prepare('PRAGMA integrity_check').get() ?? {})[0];
  } finally {
    database.close();
  }
}

test(`kill -9 in the middle of ${WRITES} writes loses nothing that was acknowledged`, {
  timeout: 240_000,
}, async () => {
  const path = join(directory, 'killed.db');
  let acknowledged = -1;
  for (let round = 0; round <= ROUNDS; round++) {
    // Written with a plain system call, so that what we read has been acknowledged and nothing waits in a buffer.
    const code = `
      import { writeSync } from 'node:fs';
      const store = openSqliteStore(${JSON.stringify(path)});
      for (let n = ${acknowledged + 1}; n < ${WRITES}; n++) {
        await put(store, '/k/' + n, { n, text: 'x'.repeat(n % 500) });
        writeSync(1, n + '\\n');
      }
      await store.close();`;
    const child = spawn(process.execPath, program(code), { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    const killAt =
      round === ROUNDS ? Number.POSITIVE_INFINITY : Math.floor(((round + 1) * WRITES) / (ROUNDS + 1)) + round * 37;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      if (acknowledged === killAt) child.kill('SIGKILL');
    }
    const [, signal] = await closed;
    assert.equal(signal, round === ROUNDS ? null : 'SIGKILL');
    const store = openSqliteStore(path);
    const values = new Map((await store.list('/k/')).entries.map(({ key, value }) => [key, value]));
    for (let n = 0; n <= acknowledged; n++) {
      assert.deepEqual(values.get(`/k/${n}`), { n, text: 'x'.repeat(n % 500) }, `round ${round}: write ${n} is lost`);
    }
    assert.ok(values.size <= acknowledged + 2, 'at most one write more than was acknowledged');
    await store.close();
    assert.equal(integrityOf(path), 'ok');
  }
  assert.equal(acknowledged, WRITES - 1);
});

/** Runs in a mount namespace of its own on a file system of 1 MiB, so that nothing of the machine is touched. */
function onSmallDisk(code: string): string {
  const mount = join(directory, 'small');
  const shell = 'mkdir -p "$0" && mount -t tmpfs -o size=1m,mode=700 muslin-test "$0" && exec "$@"';
  const words = ['-m', '--propagation', 'private', 'sh', '-c', shell, mount, process.execPath, ...program(code)];
  const result = spawnSync('unshare', words, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(result.stderr, '');
  return result.stdout;
}

test('a full disk is an error that says so; what was written stays, and with room again writes go on', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, () => {
  const path = JSON.stringify(join(directory, 'small', 'store.db'));
  const output = onSmallDisk(`
    import { rmSync, writeFileSync } from 'node:fs';
    const ballast = ${path} + '.ballast';
    writeFileSync(ballast, 'x'.repeat(300_000));
    let store = openSqliteStore(${path});
    let written = 0;
    let failure;
    while (failure === undefined) {
      try {
        await put(store, '/k/' + written, 'x'.repeat(5_000));
        written += 1;
      } catch (error) {
        failure = error;
      }
    }
    console.log(failure.code, failure.message);
    const count = async () => (await store.list('/k/')).entries.length - written;
    console.log('lost', await count());
    rmSync(ballast);
    console.log('again', (await put(store, '/again', 1)).ok);
    await store.close();
    store = openSqliteStore(${path});
    console.log('lost after opening again', await count(), (await store.get('/again')).value, written > 5);
    await store.close();`);
  assert.match(
    output,
    /^full sqlite:\S+: the disk is full, or the store has reached its size limit; free some space\n/,
  );
  assert.match(output, /\nlost 0\nagain true\nlost after opening again 0 1 true\n$/);
});

test('a file system that has become read-only is an error that says so, and costs no data', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, () => {
  const path = JSON.stringify(join(directory, 'small', 'store.db'));
  const output = onSmallDisk(`
    import { spawnSync } from 'node:child_process';
    const mount = ${JSON.stringify(join(directory, 'small'))};
    const remount = (how) => spawnSync('mount', ['-o', 'remount,' + how, mount]).status;
    let store = openSqliteStore(${path});
    await put(store, '/k', 1);
    await store.close();
    console.log('read-only', remount('ro'));
    try {
      openSqliteStore(${path});
      console.log('opened');
    } catch (error) {
      console.log(error.code, error.message);
    }
    console.log('writable', remount('rw'));
    store = openSqliteStore(${path});
    console.log((await store.get('/k')).value, (await put(store, '/k', 2)).ok);
    await store.close();`);
  assert.match(output, /^read-only 0\nread-only sqlite:\S+: its file system is read-only\nwritable 0\n1 true\n$/);
});

test('a damaged file is an error that names the remedy, and is not changed', async () => {
  const path = join(directory, 'damaged.db');
  const store = openSqliteStore(path);
  for (let n = 0; n < 200; n++) {
    await store.transact({ expect: [], writes: [{ kind: 'put', key: `/k/${n}`, value: 'x'.repeat(1_000) }] });
  }
  await store.close();
  const copy = join(directory, 'copy.db');
  copyFileSync(path, copy);
  const file = openSync(path, 'r+');
  const { size } = statSync(path);
  // All pages but the first, which says that it is a database and ours.
  for (let at = 4096; at < size; at += 4096) writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, at);
  closeSync(file);
  await assert.rejects(
    async () => {
      const damaged = openSqliteStore(path);
      try {
        await damaged.list('/');
      } finally {
        await damaged.close();
      }
    },
    (error) => {
      assert.ok(error instanceof StoreError, String(error));
      assert.match(error.message, /damaged\.db: the file is damaged; stop all agents, then restore it from a copy/);
      return error.code === 'corrupt';
    },
  );
  assert.equal(statSync(path).size, size);
  copyFileSync(copy, path);
  const restored = openSqliteStore(path);
  assert.equal((await restored.list('/k/')).entries.length, 200);
  await restored.close();
});
