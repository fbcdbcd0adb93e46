import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fieldName, PEER_SETTINGS } from './bgp/peer-settings.ts';
import { parseStandalone } from './standalone-configuration.ts';

const TEXT = readFileSync(join(import.meta.dirname, '../../docs/bgp-run.md'), 'utf8');

describe('docs/bgp-run.md', () => {
  const examples = [...TEXT.matchAll(/^### (.*)\n[\s\S]*?```yaml\n([\s\S]*?)```/gm)];
  it('has three examples', () => assert.equal(examples.length, 3));
  for (const [, title = '', yaml = ''] of examples) {
    it(`is right about ${title}`, () => {
      const parsed = parseStandalone(yaml, title, () => ({ secret: 'x' }));
      assert.ok(parsed.ok, JSON.stringify(parsed));
    });
  }

  it('names every setting of a session', () => {
    const missing = Object.keys(PEER_SETTINGS)
      .map(fieldName)
      .filter((field) => !TEXT.includes(`\`${field}\``));
    assert.deepEqual(missing, []);
  });
});
