/**
 * Completion as somebody at a shell meets it: the scripts are loaded into the real shells that are installed, and asked.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSqliteStore } from '../store/sqlite.ts';
import { COMMANDS, GROUPS } from './commands.ts';
import { nextCommandWords } from './complete-words.ts';
import { completionScript, type Shell } from './completion-scripts.ts';

const MUSLIN = fileURLToPath(new URL('../../bin/muslin', import.meta.url));
const TABLE = { rows: COMMANDS, groups: GROUPS };
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-completion-'));
const STORE = join(directory, 'store.db');
after(() => rmSync(directory, { recursive: true, force: true }));

before(async () => {
  const store = openSqliteStore(STORE);
  const put = (key: string) => ({ kind: 'put' as const, key: `/resources/${key}`, value: {} });
  const keys = [
    'Node/host-a',
    'Node/host-b',
    'IPPool/pool',
    'WorkloadEndpoint/default/web',
    'WorkloadEndpoint/blue/db',
  ];
  await store.transact({ expect: [], writes: keys.map(put) });
  await store.close();
  writeFileSync(join(directory, 'pools.yaml'), '');
});

function script(shell: Shell): string {
  const path = join(directory, `muslin.${shell}`);
  writeFileSync(path, completionScript(shell, TABLE));
  return path;
}

/** Fails the test where a shell that it needs is missing. */
function requireProgram(program: string): void {
  const folders = (process.env['PATH'] ?? '').split(':');
  const isThere = folders.some((folder) => existsSync(join(folder, program)));
  assert.ok(isThere, `${program} is not installed; scripts/setup --test installs it`);
}

/** What is left to type, and what must come of it: all candidates, or some of them. */
const LINES: readonly { readonly line: string; readonly all?: readonly string[]; readonly some?: readonly string[] }[] =
  [
    { line: 'muslin ', some: ['get', 'apply', 'lab', 'store', 'completion'] },
    { line: 'muslin ge', all: ['get'] },
    { line: 'muslin store ', all: ['export', 'import', 'migrate'] },
    { line: 'muslin nonsense ', all: [] },
    { line: 'muslin get ipp', all: ['ippools'] },
    { line: 'muslin get nodes,ipp', all: ['nodes,ippools'] },
    { line: 'muslin get node ', all: ['host-a', 'host-b'] },
    { line: 'muslin get node host-b', all: ['host-b'] },
    { line: 'muslin get node/', all: ['node/host-a', 'node/host-b'] },
    { line: 'muslin get nonsense ', all: [] },
    { line: 'muslin get wep -n ', all: ['default', 'blue'] },
    { line: 'muslin get wep -n blue ', all: ['db'] },
    { line: 'muslin get wep --namespace=b', all: ['blue'] },
    { line: 'muslin delete node host-a ', some: ['host-b'] },
    { line: 'muslin get node --sto', all: ['--store'] },
    { line: 'muslin completion ', all: ['bash', 'zsh', 'fish'] },
    { line: 'muslin lab status -o ', all: ['table', 'json'] },
    { line: 'muslin get node -o ', all: ['table', 'wide', 'yaml', 'json', 'name', 'jsonpath='] },
    { line: 'muslin lab up two-hosts-', all: ['two-hosts-dual-stack'] },
    { line: 'muslin lab exec --lab no-such-lab ', all: [] },
    { line: 'muslin apply -f poo', all: ['pools.yaml'] },
    { line: 'muslin get node --store nowhere/store.db ', all: [] },
    { line: 'muslin get node --store sqlite:///nowhere/store.db ', all: [] },
  ];

for (const { line, all, some } of LINES) {
  test(`bash completes "${line}"`, () => {
    requireProgram('bash');
    const program = `source '${script('bash')}'
      COMP_LINE=${JSON.stringify(line.replace(/^muslin/, MUSLIN))} COMP_POINT=\${#COMP_LINE}
      _muslin && printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { PATH: process.env['PATH'], MUSLIN_STORE: STORE };
    const result = spawnSync('bash', ['--norc', '-c', program], { encoding: 'utf8', cwd: directory, env });
    assert.equal(result.stderr, '');
    const found = result.stdout.split('\n').filter((word) => word !== '');
    if (all !== undefined) assert.deepEqual(found.toSorted(), all.toSorted());
    for (const word of some ?? []) assert.ok(found.includes(word), `${word} in ${found.join(' ')}`);
  });
}

test('a bash at a terminal completes commands, kinds and names', {
  timeout: 60_000,
}, async () => {
  requireProgram('bash');
  requireProgram('script');
  const env = { ...process.env, MUSLIN_STORE: STORE, TERM: 'dumb', HISTFILE: '' };
  const child = spawn('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], { cwd: directory, env });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  child.stdin.write(`source '${script('bash')}'; ln -s '${MUSLIN}' muslin; PATH=.:$PATH; PS1=\n`);
  child.stdin.write('echo muslin; muslin ge\tippo\tpo\t-o na\t; exit\n');
  await once(child, 'close');
  assert.match(shown, /muslin get ippools pool -o name ; exit/);
});

test('zsh takes the script', () => {
  requireProgram('zsh');
  const result = spawnSync('zsh', ['-fc', `autoload -U compinit; compinit -D; source '${script('zsh')}'`], {
    encoding: 'utf8',
  });
  assert.equal(result.stderr, '');
  assert.equal(result.status, 0);
});

test('fish completes', () => {
  requireProgram('fish');
  const program = `source '${script('fish')}'; complete -C 'muslin store '`;
  const result = spawnSync('fish', ['-N', '-c', program], { encoding: 'utf8' });
  assert.match(result.stdout, /^export\tprint all resources/m);
});

test('every command and group that people are to see is in every script, and no hidden one', () => {
  const seen = COMMANDS.filter(({ hidden }) => hidden !== true);
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const text = completionScript(shell, TABLE);
    for (const word of seen.flatMap(({ path }) => path)) assert.ok(text.includes(word), `${word} in ${shell}`);
  }
  assert.ok(!nextCommandWords(TABLE, []).some(({ word }) => word.startsWith('_')));
});

test('__complete ends with 0 and is silent on stderr, whatever it is asked', () => {
  for (const words of [
    [],
    ['--'],
    ['--', 'get'],
    ['--', 'get', 'node', '--store', '/proc/version', ''],
    ['--', '\u0000'.slice(1)],
  ]) {
    const result = spawnSync(MUSLIN, ['__complete', ...words], {
      encoding: 'utf8',
      env: { ...process.env, MUSLIN_STORE: '/dev/null' },
    });
    assert.deepEqual([result.status, result.stderr], [0, ''], words.join(' '));
  }
});
