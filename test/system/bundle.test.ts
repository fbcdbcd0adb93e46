/**
 * The bundle of scripts/build.ts: it runs alone, from another directory, with all that its sources find beside themselves.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-bundle-'));
const MUSLIN = join(directory, 'copy', 'bin', 'muslin');
after(() => rmSync(directory, { recursive: true, force: true }));

before(() => {
  const built = spawnSync(process.execPath, [join(REPOSITORY, 'scripts', 'build.ts')], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  cpSync(join(REPOSITORY, 'build', 'muslin'), join(directory, 'copy'), { recursive: true });
  symlinkSync(process.execPath, join(directory, 'node'));
});

interface Row {
  readonly words: readonly string[];
  readonly code: number;
  readonly shown: RegExp;
}

const STORE = join(directory, 'store.db');
const NODE = 'apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: host-a}\n';

const ROWS: readonly Row[] = [
  { words: ['--version'], code: 0, shown: /^\d+\.\d+\.\d+\n$/ },
  { words: ['get', '--help'], code: 0, shown: /^Usage: muslin get/ },
  { words: ['get', 'nodes', '--store', STORE], code: 0, shown: /^no nodes\n$/ },
  { words: ['apply', '-f', '-', '--store', STORE], code: 0, shown: /^node\/host-a created\n$/ },
  { words: ['get', 'nodes', '--store', STORE, '-o', 'name'], code: 0, shown: /^node\/host-a\n$/ },
  { words: ['get', 'nodes', '--store', 'memory:'], code: 0, shown: /^no nodes\n$/ },
  { words: ['lab', 'list'], code: 0, shown: /two-hosts-dual-stack/ },
  { words: ['lab', 'status', 'no-such-lab'], code: 3, shown: /no lab "no-such-lab" is up/ },
  { words: ['lab', 'exec', '--lab', 'no-such-lab', 'a1', '--', 'true'], code: 3, shown: /no lab "no-such-lab" is up/ },
  { words: ['node', 'run', '--config', '/nonexistent.yaml'], code: 2, shown: /nonexistent\.yaml/ },
  { words: ['get', 'nodes', '--store', 'etcd://127.0.0.1:1/x'], code: 5, shown: /127\.0\.0\.1:1/ },
  { words: ['completion', 'bash'], code: 0, shown: /complete -F _muslin muslin/ },
];

for (const { words, code, shown } of ROWS) {
  test(`muslin ${words.join(' ')} ends with ${code}`, () => {
    const env = { ...process.env, PATH: `${directory}:${dirname(process.execPath)}:/usr/bin:/bin` };
    const result = spawnSync(MUSLIN, words, { encoding: 'utf8', cwd: '/', input: NODE, env });
    assert.match(result.stdout + result.stderr, shown);
    assert.doesNotMatch(result.stderr, /^ {4}at /m, 'a stack trace');
    assert.equal(result.status, code, result.stderr);
  });
}

test('the bundle has the native package, which calls libc', () => {
  const program = `const koffi = require('koffi'); console.log(koffi.load(null).func('int getpid()')() === process.pid)`;
  const cwd = join(directory, 'copy', 'program', 'cli');
  const result = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', cwd });
  assert.equal(result.stdout, 'true\n', result.stderr);
});

test('the bundle has the thread of BFD beside the chunk that starts it', () => {
  const program = `const worker = new (require('node:worker_threads').Worker)('./bfd-worker.js');
    worker.postMessage({ kind: 'stop' });
    worker.on('exit', (code) => console.log('ended with', code));`;
  const cwd = join(directory, 'copy', 'program', 'cli');
  const result = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', cwd, timeout: 30_000 });
  assert.equal(result.stdout, 'ended with 0\n', result.stderr);
});
