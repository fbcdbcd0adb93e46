import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT_CODE } from './exit-code.ts';

const MUSLIN = fileURLToPath(new URL('../../bin/muslin', import.meta.url));

interface Row {
  readonly words: readonly string[];
  readonly code: number;
  readonly stdout: RegExp;
  readonly stderr: RegExp;
}

const NOTHING = /^$/;

const ROWS: readonly Row[] = [
  { words: [], code: EXIT_CODE.ok, stdout: /muslin lab up two-hosts/, stderr: NOTHING },
  { words: ['--version'], code: EXIT_CODE.ok, stdout: /^\d+\.\d+\.\d+\n$/, stderr: NOTHING },
  { words: ['--help'], code: EXIT_CODE.ok, stdout: /Example:/, stderr: NOTHING },
  { words: ['help', 'lab', 'up'], code: EXIT_CODE.ok, stdout: /Usage: muslin lab up/, stderr: NOTHING },
  { words: ['lab'], code: EXIT_CODE.usage, stdout: NOTHING, stderr: /Usage: muslin lab/ },
  { words: ['gett'], code: EXIT_CODE.usage, stdout: NOTHING, stderr: /unknown command 'gett'\n\(Did you mean get\?\)/ },
  { words: ['lab', 'dwon'], code: EXIT_CODE.usage, stdout: NOTHING, stderr: /Did you mean down/ },
  { words: ['lab', 'exec', 'a1', 'ls', '-l'], code: EXIT_CODE.usage, stdout: NOTHING, stderr: /comes after --/ },
  { words: ['lab', 'up', 'two-hots'], code: EXIT_CODE.notFound, stdout: NOTHING, stderr: /did you mean "two-hosts"/ },
  { words: ['lab', 'up', './no.yaml'], code: EXIT_CODE.notFound, stdout: NOTHING, stderr: /no file \.\/no\.yaml/ },
  { words: ['lab', 'up', 'x', '--timeout', '0'], code: EXIT_CODE.usage, stdout: NOTHING, stderr: /not a timeout/ },
  {
    words: ['node', 'status', '--socket', '/nonexistent/agent.sock'],
    code: EXIT_CODE.unreachable,
    stdout: NOTHING,
    stderr: /does not answer: .*\nto start it: muslin node run/,
  },
];

for (const { words, code, stdout, stderr } of ROWS) {
  test(`muslin ${words.join(' ')} ends with ${code}`, () => {
    const result = spawnSync(MUSLIN, words, { encoding: 'utf8', cwd: '/' });
    assert.match(result.stderr, stderr);
    assert.match(result.stdout, stdout);
    assert.doesNotMatch(result.stderr, /^ {4}at /m, 'a stack trace');
    assert.equal(result.status, code);
  });
}

test('muslin runs through symbolic links, relative ones too', () => {
  const directory = mkdtempSync(join(tmpdir(), 'muslin-test-'));
  try {
    symlinkSync(MUSLIN, join(directory, 'first'));
    symlinkSync('first', join(directory, 'second'));
    assert.equal(spawnSync(join(directory, 'second'), ['--version'], { cwd: '/' }).status, 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a reader that goes away is no error', () => {
  const result = spawnSync('sh', ['-c', `{ '${MUSLIN}' --help; echo $? >&2; } | true`], { encoding: 'utf8' });
  assert.equal(result.stderr, '0\n');
});
