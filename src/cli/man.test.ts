/** The manual pages: what groff says of them, and that nothing of a text is read as a request. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { COMMANDS, GROUPS } from './commands.ts';
import { manCommand } from './man.ts';
import { type ManPage, manPageText } from './man-page.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-man-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const withoutGroff = spawnSync('groff', ['--version']).status !== 0 && 'groff is not installed';

/** The page as groff prints it, without styles; throws what groff complains of. */
function printed(text: string): string {
  const result = spawnSync('groff', ['-man', '-ww', '-Tutf8', '-P-cbou'], { input: text, encoding: 'utf8' });
  assert.equal(result.stderr, '');
  return result.stdout;
}

test('every command that people are to see has a page, of which groff has nothing to complain', async () => {
  const command = manCommand({ rows: COMMANDS, groups: GROUPS }).configureOutput({ writeOut: () => undefined });
  await command.parseAsync(['--directory', directory], { from: 'user' });
  const shown = COMMANDS.filter(({ hidden }) => hidden !== true).map(({ path }) => `muslin-${path.join('-')}.8`);
  assert.deepEqual(readdirSync(directory).sort(), ['muslin.8', ...shown].sort());
  for (const file of readdirSync(directory)) {
    const text = readFileSync(join(directory, file), 'utf8');
    for (const heading of ['NAME', 'SYNOPSIS', 'DESCRIPTION'])
      assert.match(text, new RegExp(`^\\.SH ${heading}$`, 'm'), file);
    assert.match(text, /^[ -~\n]*$/, file);
    if (withoutGroff === false) printed(text);
  }
});

const ODD: ManPage = {
  name: 'muslin-odd',
  summary: 'a "summary" - with \\ and ~',
  synopsis: 'muslin odd [options] <x...>',
  description: ".so /etc/passwd\n'quoted\n\n\\fBnot bold µ → 😀",
  sections: [{ title: 'OPTIONS', entries: [{ term: '-x, --x-y "z"', text: '.br\n\\n(.l' }] }],
  examples: ['  muslin get x -o jsonpath=\'{.a}\' | sed "s/\\./-/"', '', '.end'],
  seeAlso: ['muslin', 'muslin-lab'],
};

test('a page prints its texts as they are, whatever is in them', { skip: withoutGroff }, () => {
  const page = printed(manPageText(ODD, '1.0'));
  for (const text of [
    'a "summary" - with \\ and ~',
    ".so /etc/passwd 'quoted",
    '\\fBnot bold µ → 😀',
    '-x, --x-y "z"',
    '.br \\n(.l',
    'muslin get x -o jsonpath=\'{.a}\' | sed "s/\\./-/"',
    '.end',
    'muslin(8), muslin-lab(8)',
  ]) {
    assert.ok(page.includes(text), `${text} in\n${page}`);
  }
});
