/** Depths at the bound and far beyond it, with brackets inside and outside of strings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from './parse-json.ts';

const nested = (depth: number, open = '[', close = ']'): string => open.repeat(depth) + close.repeat(depth);

const ROWS: readonly [name: string, text: string, reason: RegExp | undefined][] = [
  ['as deep as it may be', nested(64), undefined],
  ['one deeper', nested(65), /^nested more than 64 deep$/],
  ['far deeper', nested(500_000), /^nested more than 64 deep$/],
  ['objects', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, /^nested more than 64 deep$/],
  ['never closed', '['.repeat(500_000), /^nested more than 64 deep$/],
  ['wide', `[${Array.from({ length: 100 }, () => nested(60)).join(',')}]`, undefined],
  ['brackets in a string', JSON.stringify(nested(1000)), undefined],
  ['brackets after an escaped quote', JSON.stringify(`"${nested(1000)}\\`), undefined],
  ['a string that does not end', `"${nested(10)}`, /./],
  ['a long string that does not end', `"${'\\\\"'.repeat(300_000)}`, /./],
  ['a long string', JSON.stringify('"'.repeat(300_000)), undefined],
  ['no JSON', '{nope', /./],
  ['nothing', '', /./],
];

test('text is read as JSON up to a depth, and what is wrong is said', () => {
  for (const [name, text, reason] of ROWS) {
    const parsed = parseJson(text);
    if (reason === undefined) assert.deepEqual(parsed, { ok: true, value: JSON.parse(text) }, name);
    else assert.match(parsed.ok ? '' : parsed.reason, reason, name);
  }
});
