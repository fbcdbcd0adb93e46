/**
 * store export, import and migrate as a user meets them, on SQLite files of the test's own.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import fc from 'fast-check';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Entry, Json, Store } from '../store/store.ts';
import { revision } from '../store/store.ts';
import { CommandError } from './exit-code.ts';
import { progress } from './progress.ts';
import { storeExportCommand } from './store-export.ts';
import { storeImportCommand } from './store-import.ts';
import { storeMigrateCommand } from './store-migrate.ts';
import { writeBatches } from './write-batches.ts';

const root = mkdtempSync(join(tmpdir(), 'muslin-test-store-commands-'));
after(() => rmSync(root, { recursive: true, force: true }));
let files = 0;

function freshPath(): string {
  files += 1;
  return join(root, `${files}.db`);
}

async function run(...words: string[]): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  let stdout = '';
  let stderr = '';
  const program = new Command('store');
  for (const command of [storeExportCommand(), storeImportCommand(), storeMigrateCommand()]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => {
        stdout += text;
      },
      writeErr: (text) => {
        stderr += text;
      },
    });
    program.addCommand(command);
  }
  try {
    await program.parseAsync(words, { from: 'user' });
    return { stdout, stderr, exitCode: 0 };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { stdout, stderr: stderr + error.message, exitCode: error.exitCode };
  }
}

async function withStore<Result>(path: string, work: (store: Store) => Promise<Result>): Promise<Result> {
  const store = openSqliteStore(path);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function fill(path: string, values: Readonly<Record<string, Json>>): Promise<void> {
  return withStore(path, async (store) => {
    const writes = Object.entries(values).map(([key, value]) => ({
      write: { kind: 'put' as const, key, value },
      expect: { key, revision: revision(0) },
    }));
    for (const batch of writeBatches(writes)) {
      assert.ok((await store.transact({ expect: [], writes: batch.map(({ write }) => write) })).ok);
    }
  });
}

function contents(path: string): Promise<Record<string, Json>> {
  const plain = ({ key, value }: Entry) => [key, value] as const;
  return withStore(path, async (store) => Object.fromEntries((await store.list('/')).entries.map(plain)));
}

function resource(kind: string, name: string, spec: Json): Readonly<Record<string, Json>> {
  const value = { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, uid: `uid-${name}` }, spec };
  return { [`/resources/${kind}/${name}`]: value };
}

/** A block of four addresses, one of them taken by `handle`. */
function block(handle: string): Readonly<Record<string, Json>> {
  return resource('IPAMBlock', '10-0-0-0-30', {
    cidr: '10.0.0.0/30',
    affinity: 'host:host-a',
    allocations: [0, null, null, null],
    unallocated: [1, 2, 3],
    attributes: [{ handle_id: handle, secondary: {} }],
    deleted: false,
  });
}

/** Keys of no kind and values of every JSON type: what goes over raw. */
const RAW: Readonly<Record<string, Json>> = {
  '/raw/null': null,
  '/raw/text': 'a\u0000b\u2028"\\ü😀',
  '/raw/number': 1.5e300,
  '/raw/list': [true, [], {}, [1, [2]]],
  '/elsewhere': { b: 1, a: { d: 1, c: 2 } },
};

const NETWORK = { ...resource('Node', 'host-a', {}), ...resource('Node', 'host-b', {}), ...block('k8s-pod.1') };

function thousands(count: number): Record<string, Json> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`/many/${n}`, { n, text: 'x'.repeat(200) }]));
}

test('migrate copies every key and value, and says how many and their digest', async () => {
  const [from, to] = [freshPath(), freshPath()];
  const all = { ...RAW, ...NETWORK, ...thousands(1000) };
  await fill(from, all);
  const result = await run('migrate', '--from', from, '--to', to);
  assert.match(result.stdout, /^1008 entries, the same in both stores; sha256 [0-9a-f]{64}\n$/);
  assert.equal(result.exitCode, 0);
  assert.deepEqual(await contents(to), all);
});

test('the digest is the same for equal stores, whatever the order of writing, and another one for others', async () => {
  const digest = async (values: Readonly<Record<string, Json>>) => {
    const from = freshPath();
    await fill(from, values);
    return /sha256 (\S+)/.exec((await run('migrate', '--from', from, '--to', freshPath())).stdout)?.[1];
  };
  const first = await digest({ '/a': { x: 1, y: 2 }, '/b': 1 });
  assert.equal(await digest({ '/b': 1, '/a': { y: 2, x: 1 } }), first);
  assert.notEqual(await digest({ '/b': 1, '/a': { y: 2, x: 2 } }), first);
});

test('migrate refuses a target that holds something, and with --overwrite makes it a copy', async () => {
  const [from, to] = [freshPath(), freshPath()];
  await fill(from, NETWORK);
  await fill(to, { '/stays': 1, '/resources/Node/host-a': 'another' });
  const refused = await run('migrate', '--from', from, '--to', to);
  assert.equal(refused.exitCode, 4);
  assert.match(refused.stderr, /holds 2 entries already: choose an empty store; or --overwrite/);
  assert.equal(Object.keys(await contents(to)).length, 2);
  assert.equal((await run('migrate', '--from', from, '--to', to, '--overwrite')).exitCode, 0);
  assert.deepEqual(await contents(to), NETWORK);
});

test('migrate again with --overwrite writes nothing that is right already', async () => {
  const [from, to] = [freshPath(), freshPath()];
  await fill(from, NETWORK);
  await run('migrate', '--from', from, '--to', to);
  const before = await withStore(to, async (store) => (await store.list('/')).revision);
  assert.equal((await run('migrate', '--from', from, '--to', to, '--overwrite')).exitCode, 0);
  assert.equal(await withStore(to, async (store) => (await store.list('/')).revision), before);
});

test('migrate refuses an empty source, the same store twice, and what is no store', async () => {
  const from = freshPath();
  assert.match((await run('migrate', '--from', from, '--to', freshPath())).stderr, /holds nothing; is it the right/);
  await fill(from, NETWORK);
  assert.match((await run('migrate', '--from', from, '--to', `sqlite://${from}`)).stderr, /are the same store/);
  assert.match((await run('migrate', '--from', from, '--to', 'redis://x')).stderr, /"redis:\/\/x" is not a store/);
});

test('an interrupted migration says what to do, and that goes on to the end', { timeout: 60_000 }, async () => {
  const [from, to] = [freshPath(), freshPath()];
  await fill(from, thousands(12_000));
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'store', 'migrate', '--from', from, '--to', to]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (/^copied/.test(stderr)) child.kill('SIGINT');
  });
  const probe = openSqliteStore(to);
  for await (const event of probe.watch('/', revision(0), AbortSignal.timeout(30_000))) {
    if (event.kind === 'put') break;
  }
  await probe.close();
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  assert.equal(code, 130, stderr);
  assert.match(
    stderr,
    /SIGINT: \d+ of 12000 changes made; .* is incomplete: run the same command again with --overwrite/,
  );
  assert.equal((await run('migrate', '--from', from, '--to', to)).exitCode, 4);
  assert.equal((await run('migrate', '--from', from, '--to', to, '--overwrite')).exitCode, 0);
  assert.equal(Object.keys(await contents(to)).length, 12_000);
});

test('what export prints, import takes back, with agents\u2019 own kinds only on request', async () => {
  const from = freshPath();
  await fill(from, { ...NETWORK, ...resource('IPPool', 'pool', { cidr: '10.0.0.0/16', blockSize: 26 }), ...RAW });
  const part = await run('export', '--store', from);
  assert.equal(part.stderr, '');
  assert.doesNotMatch(part.stdout, /IPAMBlock|resourceVersion/);
  const file = join(root, 'export.yaml');
  assert.deepEqual(await run('export', '--all', '--store', from, '-o', file), { stdout: '', stderr: '', exitCode: 0 });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const to = freshPath();
  const imported = await run('import', '-f', file, '--store', to);
  assert.deepEqual(imported, { stdout: '4 created, 0 configured, 0 unchanged\n', stderr: '', exitCode: 0 });
  const back = await run('export', '--all', '--store', to);
  assert.equal(back.stdout, readFileSync(file, 'utf8'));
  assert.match(back.stdout, /uid: uid-host-a/);
});

test('export leaves out what is no resource, and says so', async () => {
  const from = freshPath();
  await fill(from, { ...NETWORK, '/resources/Node/broken': { kind: 'Node' } });
  const { stdout, stderr } = await run('export', '--store', from);
  assert.equal(stdout.match(/^kind: Node$/gm)?.length, 2);
  assert.match(stderr, /warning: left out: \/resources\/Node\/broken: .*\nwarning: 1 entries are not in this export/);
});

test('export refuses what import would refuse', async () => {
  const from = freshPath();
  const nodes = Array.from({ length: 10_001 }, (_, n) => resource('Node', `host-${n}`, {}));
  await fill(from, Object.assign({}, ...nodes));
  const { stderr, exitCode } = await run('export', '--store', from);
  assert.match(stderr, /^10001 resources; import takes at most 10000 at once; .* muslin store migrate/);
  assert.equal(exitCode, 1);
});

test('import refuses a store that holds something; --merge replaces what is there and different', async () => {
  const to = freshPath();
  await fill(to, { ...resource('Node', 'host-a', {}), ...RAW });
  const file = join(root, 'merge.yaml');
  const node = (name: string, more: string) =>
    `---\napiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: ${name}, uid: uid-${name}${more}}\nspec: {}\n`;
  writeFileSync(file, node('host-a', '') + node('host-b', ''));
  const refused = await run('import', '-f', file, '--store', to);
  assert.equal(refused.exitCode, 4);
  assert.match(refused.stderr, /holds 6 entries already: choose an empty store, or --merge/);
  const merged = await run('import', '--merge', '-f', file, '--store', to);
  assert.equal(merged.stdout, '1 created, 0 configured, 1 unchanged\n', merged.stderr);
  writeFileSync(file, node('host-a', ', labels: {a: b}'));
  assert.equal(
    (await run('import', '--merge', '-f', file, '--store', to)).stdout,
    '0 created, 1 configured, 0 unchanged\n',
  );
});

test('a merge never replaces a block that is there and different', async () => {
  const [from, to] = [freshPath(), freshPath()];
  await fill(from, block('old'));
  await fill(to, block('new'));
  const file = join(root, 'blocks.yaml');
  await run('export', '--all', '--store', from, '-o', file);
  const { stderr, exitCode } = await run('import', '--merge', '-f', file, '--store', to);
  assert.equal(exitCode, 4);
  assert.match(
    stderr,
    /blocks.yaml:2: IPAMBlock 10-0-0-0-30 is there, and different: it records which .*\nnothing was/,
  );
  assert.deepEqual(await contents(to), block('new'));
});

test('import checks the rules that join resources, as apply does', async () => {
  const file = join(root, 'overlap.yaml');
  const pool = (name: string, cidr: string) =>
    `---\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: ${name}}\nspec: {cidr: ${cidr}}\n`;
  writeFileSync(file, pool('a', '10.0.0.0/16') + pool('b', '10.0.0.0/24'));
  const to = freshPath();
  assert.equal((await run('import', '-f', file, '--store', to)).exitCode, 2);
  assert.deepEqual(await contents(to), {});
});

test('a file of a hundred megabytes, a device and a stdin without an end are refused before they are parsed', async () => {
  const big = join(root, 'big.yaml');
  writeFileSync(big, '');
  truncateSync(big, 100 * 1024 * 1024);
  for (const [file, message] of [
    [big, /big\.yaml: has 104857600 bytes; at most 33554432 bytes/],
    ['/dev/zero', /^\/dev\/zero: goes on and on; at most/],
  ] as const) {
    const { stderr, exitCode } = await run('import', '-f', file, '--store', freshPath());
    assert.match(stderr, message);
    assert.equal(exitCode, 2);
  }
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const words = [main, 'store', 'import', '-f', '-', '--store', freshPath()];
  const { status, stderr } = spawnSync(process.execPath, words, {
    input: Buffer.alloc(40 * 1024 * 1024),
    encoding: 'utf8',
  });
  assert.match(stderr, /stdin: goes on and on/);
  assert.equal(status, 2);
});

test('an export that cannot be written leaves the one before as it is', async () => {
  const from = freshPath();
  await fill(from, NETWORK);
  const { stderr, exitCode } = await run('export', '--store', from, '-o', join(root, 'nowhere', 'x.yaml'));
  assert.equal(exitCode, 1);
  assert.match(stderr, /nowhere\/x\.yaml cannot be written: ENOENT/);
});

test('batches keep the order, and no transaction is beyond the limits unless one write alone is', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 60 }),
      (lengths, writesMax, bytesMax) => {
        const writes = lengths.map((length, n) => {
          const key = `/${n}`;
          return {
            write: { kind: 'put' as const, key, value: 'x'.repeat(length) },
            expect: { key, revision: revision(0) },
          };
        });
        const batches = writeBatches(writes, writesMax, bytesMax);
        assert.deepEqual(batches.flat(), writes);
        for (const batch of batches) {
          assert.ok(batch.length > 0 && batch.length <= writesMax);
          const bytes = batch.reduce(
            (sum, { write }) => sum + write.key.length + lengths[Number(write.key.slice(1))]! + 2,
            0,
          );
          assert.ok(batch.length === 1 || bytes <= bytesMax);
        }
      },
    ),
  );
});

test('progress is silent for the first second, then speaks once a second', () => {
  let time = 0;
  let told = '';
  const output = {
    result: () => undefined,
    talk: (text: string) => {
      told += text;
    },
  };
  const report = progress('copied', 9, output, () => time);
  for (const [at, count] of [
    [900, 1],
    [1000, 2],
    [1900, 3],
    [2000, 4],
    [2001, 5],
  ] as const) {
    time = at;
    report(count);
  }
  assert.equal(told, 'copied 2 of 9\ncopied 4 of 9\n');
});
