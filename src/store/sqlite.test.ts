/**
 * The SQLite store passes the suite that all drivers pass, and what only a file can do wrong is tested here: other
 * processes, kills, and files that cannot be opened.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { hasCode, take, testCompliance } from './compliance.suite.ts';
import { openStore } from './open-store.ts';
import { openSqliteStore } from './sqlite.ts';
import { revision, StoreError } from './store.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-store-'));
let files = 0;
after(() => rmSync(directory, { recursive: true, force: true }));

function freshPath(): string {
  files += 1;
  return join(directory, `${files}.db`);
}

testCompliance({ name: 'sqlite', open: async (changesMax) => openSqliteStore(freshPath(), { changesMax }) });

/** Runs a piece of code with `store` open on `path` in another process; its stdout is read by lines. */
function runChild(path: string, code: string): ChildProcess {
  const program = `
    import { openSqliteStore } from ${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)};
    const store = openSqliteStore(${JSON.stringify(path)});
    ${code}`;
  return spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

async function lineOf(child: ChildProcess): Promise<string> {
  const [line] = await once(createInterface({ input: child.stdout! }), 'line');
  return String(line);
}

test('a write of another process wakes a watch, and the other way round', async () => {
  const path = freshPath();
  const store = openSqliteStore(path);
  const child = runChild(
    path,
    `for await (const event of store.watch('/', 0, AbortSignal.timeout(60_000))) {
       if (event.kind !== 'put' || !event.entry.key.startsWith('/ping')) continue;
       await store.transact({ expect: [], writes: [{ kind: 'put', key: '/pong', value: event.entry.value }] });
       if (event.entry.value === 20) break;
     }
     await store.close();`,
  );
  const waits: number[] = [];
  for (let round = 1; round <= 20; round++) {
    const { revision: from } = await store.list('/');
    const start = performance.now();
    await store.transact({ expect: [], writes: [{ kind: 'put', key: '/ping', value: round }] });
    for await (const event of store.watch('/pong', from, AbortSignal.timeout(60_000))) {
      if (event.kind === 'put' && event.entry.value === round) break;
    }
    waits.push(performance.now() - start);
  }
  await once(child, 'exit');
  await store.close();
  assert.equal(child.exitCode, 0);
  // Two crossings each. Polling alone would take about a second for each: the median tells that the file was heard.
  const median = waits.sort((a, b) => a - b)[10] ?? 0;
  assert.ok(median < 500, `median of two crossings: ${median} ms`);
});

test('a watch goes on when the last other process has closed and removed nothing of ours', async () => {
  const path = freshPath();
  const store = openSqliteStore(path);
  const events = take(store, '/', revision(0), 6);
  for (const round of [1, 2, 3]) {
    const child = runChild(
      path,
      `await store.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: ${round} }] }); await store.close();`,
    );
    await once(child, 'exit');
  }
  const values = (await events).flatMap((event) => (event.kind === 'put' ? [event.entry.value] : []));
  assert.deepEqual(values.slice(0, 2), [1, 2]);
  await store.close();
});

test('several processes that open a new file at once all get the same store', async () => {
  const path = freshPath();
  const children = Array.from({ length: 4 }, (_, number) =>
    runChild(
      path,
      `for (let n = 0; n < 25; n++) {
         await store.transact({ expect: [], writes: [{ kind: 'put', key: '/c/${number}/' + n, value: n }] });
       }
       await store.close();`,
    ),
  );
  await Promise.all(children.map((child) => once(child, 'exit')));
  const store = openSqliteStore(path);
  const listing = await store.list('/c/');
  assert.equal(listing.entries.length, 100);
  assert.equal(listing.revision, 100);
  await store.close();
});

test('a writer that is killed loses nothing that was acknowledged, and breaks nothing', async () => {
  const path = freshPath();
  for (let round = 0; round < 3; round++) {
    const child = runChild(
      path,
      `for (let n = 0; ; n++) {
         const writes = [{ kind: 'put', key: '/k/${round}/' + n, value: n }, { kind: 'put', key: '/twin/${round}/' + n, value: n }];
         await store.transact({ expect: [], writes });
         process.stdout.write(n + '\\n');
         if (n % 16 === 0) await new Promise(setImmediate);
       }`,
    );
    let acknowledged = -1;
    for await (const line of createInterface({ input: child.stdout! })) {
      acknowledged = Number(line);
      if (acknowledged >= 100 + round * 7) child.kill('SIGKILL');
    }
    const store = openSqliteStore(path);
    const kept = new Set((await store.list(`/k/${round}/`)).entries.map((entry) => entry.value));
    for (let n = 0; n <= acknowledged; n++)
      assert.ok(kept.has(n), `round ${round}: write ${n} of ${acknowledged} is lost`);
    assert.equal((await store.list(`/twin/${round}/`)).entries.length, kept.size);
    await store.close();
  }
  const database = new DatabaseSync(path);
  assert.deepEqual(Object.values(database.prepare('PRAGMA integrity_check').get()!), ['ok']);
  database.close();
});

test('what was written is there after closing and opening again, history included', async () => {
  const path = freshPath();
  const first = openSqliteStore(path);
  await first.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: { b: 1 } }] });
  await first.close();
  const second = openSqliteStore(path);
  assert.deepEqual(await take(second, '/', revision(0), 2), [
    { kind: 'put', entry: { key: '/a', value: { b: 1 }, revision: 1 } },
    { kind: 'bookmark', revision: 1 },
  ]);
  await second.close();
});

test('the history in the file is bounded', async () => {
  const path = freshPath();
  const store = openSqliteStore(path, { changesMax: 10 });
  for (let n = 0; n < 50; n++) await store.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: n }] });
  await store.close();
  const database = new DatabaseSync(path);
  assert.deepEqual(Object.values(database.prepare('SELECT count(*) FROM change').get()!), [10]);
  database.close();
});

test('the files of the store are readable for their owner only', async () => {
  const path = freshPath();
  const store = openSqliteStore(path);
  await store.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: 1 }] });
  for (const file of [path, `${path}-wal`, `${path}-shm`]) assert.equal(statSync(file).mode & 0o777, 0o600, file);
  await store.close();
});

test('a store that is full says so, and takes writes again when there is room', async () => {
  const store = openSqliteStore(freshPath(), { bytesMax: 300_000, changesMax: 1 });
  const put = (key: string, value: string) => store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
  await put('/small', 'x');
  await assert.rejects(put('/large', 'x'.repeat(400_000)), hasCode('full'));
  assert.equal(await store.get('/large'), undefined);
  assert.ok((await put('/small', 'y')).ok);
  await store.close();
});

test('a lock that another process keeps is an error that names the cause', async () => {
  const path = freshPath();
  const store = openSqliteStore(path);
  const child = runChild(
    path,
    `import { DatabaseSync } from 'node:sqlite';
     const database = new DatabaseSync(${JSON.stringify(path)});
     database.exec('BEGIN IMMEDIATE');
     console.log('locked');
     process.stdin.resume();`,
  );
  assert.equal(await lineOf(child), 'locked');
  await assert.rejects(store.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: 1 }] }), (error) => {
    assert.match(String(error), /another process keeps the store locked/);
    return hasCode('unavailable')(error);
  });
  assert.equal(await store.get('/a'), undefined);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok((await store.transact({ expect: [], writes: [{ kind: 'put', key: '/a', value: 1 }] })).ok);
  await store.close();
});

interface Unopenable {
  readonly title: string;
  /** Makes the file, and says its path. */
  readonly make: () => string;
  readonly code: StoreError['code'];
  readonly message: RegExp;
}

const UNOPENABLE: readonly Unopenable[] = [
  {
    title: 'a missing directory',
    make: () => join(directory, 'nowhere', 'store.db'),
    code: 'unavailable',
    message: /nowhere\/store\.db: its directory does not exist; create it/,
  },
  {
    title: 'a directory',
    make: () => {
      const path = freshPath();
      mkdirSync(path);
      return path;
    },
    code: 'unavailable',
    message: /is a directory/,
  },
  {
    title: 'a file that is not a database',
    make: () => {
      const path = freshPath();
      writeFileSync(path, 'store: sqlite:///tmp/x\n'.repeat(100));
      return path;
    },
    code: 'corrupt',
    message: /not a database/,
  },
  {
    title: 'a database of another program',
    make: () => {
      const path = freshPath();
      const database = new DatabaseSync(path);
      database.exec('CREATE TABLE bookmarks (url TEXT)');
      database.close();
      return path;
    },
    code: 'invalid',
    message: /another program/,
  },
  {
    title: 'a store of a newer version',
    make: () => {
      const path = freshPath();
      openSqliteStore(path).close();
      const database = new DatabaseSync(path);
      database.exec('PRAGMA user_version = 99');
      database.close();
      return path;
    },
    code: 'invalid',
    message: /newer muslin \(layout 99, this one knows 1\)/,
  },
  {
    title: 'a file that was cut off',
    make: () => {
      const path = freshPath();
      openSqliteStore(path).close();
      truncateSync(path, 5000);
      return path;
    },
    code: 'corrupt',
    message: /damaged/,
  },
];

for (const { title, make, code, message } of UNOPENABLE) {
  test(`${title} cannot be opened, and the error says why`, async () => {
    const path = make();
    await assert.rejects(openStore(path), (error) => {
      assert.match(String(error), message);
      return hasCode(code)(error);
    });
  });
}

test('a file that may not be written is an error that names the remedy', {
  skip: process.getuid?.() !== 0 && 'needs root, to become another user',
}, async () => {
  const path = freshPath();
  openSqliteStore(path).close();
  chmodSync(directory, 0o755);
  chmodSync(path, 0o644);
  const url = new URL('./sqlite.ts', import.meta.url).href;
  const program = `
    import { openSqliteStore } from ${JSON.stringify(url)};
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    try { openSqliteStore(${JSON.stringify(path)}); console.log('opened'); }
    catch (error) { console.log(error.code + ' ' + error.message); }`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match(await lineOf(child), /^unavailable .*permission denied; run as root/);
});

test('openStore knows its addresses and refuses all others', async () => {
  const path = freshPath();
  for (const url of [path, `sqlite://${path}`, 'memory:']) {
    const store = await openStore(url);
    assert.equal(store.description, url === 'memory:' ? 'memory' : `sqlite://${path}`);
    await store.close();
  }
  for (const url of [
    '',
    'sqlite:store.db',
    'sqlite://host/store.db'.replace('/store.db', ''),
    'redis://localhost',
    'memory:x',
  ]) {
    await assert.rejects(openStore(url), (error) => {
      assert.match(
        String(error),
        /is not a store; write sqlite:\/\/\/PATH, a plain path, etcd:\/\/HOST:PORT\/PREFIX, or memory:/,
      );
      return error instanceof StoreError && error.code === 'invalid';
    });
  }
});
