import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { SecretFiles } from './bgp-secrets.ts';

describe('secrets in files', () => {
  let directory: string;
  let secrets: SecretFiles;
  let changes: number;
  let changed: () => void;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'muslin-secrets-'));
    mkdirSync(join(directory, 'tor'));
    changes = 0;
    changed = () => {};
    secrets = new SecretFiles(directory, () => {
      changes += 1;
      changed();
    });
  });
  afterEach(() => {
    secrets.close();
    rmSync(directory, { recursive: true });
  });

  const write = (text: string, mode = 0o600) => {
    writeFileSync(join(directory, 'tor', 'md5'), text);
    chmodSync(join(directory, 'tor', 'md5'), mode);
  };
  const read = (name = 'tor', key = 'md5') => secrets.read({ name, key });
  const nextChange = () =>
    new Promise<void>((resolve) => {
      changed = resolve;
    });

  it('are read without their last line end', () => {
    write('geheim\n');
    assert.deepEqual(read(), { secret: 'geheim' });
  });

  const rows: [string, () => void, [string, string], RegExp][] = [
    ['that is not there', () => {}, ['tor', 'md5'], /^there is no file .*\/tor\/md5$/],
    [
      'open to everybody',
      () => write('geheim', 0o644),
      ['tor', 'md5'],
      /is open to everybody \(mode 644\); chmod 600 it$/,
    ],
    ['empty', () => write('\n'), ['tor', 'md5'], /is empty; write the password into it$/],
    ['too long', () => write('x'.repeat(81)), ['tor', 'md5'], /holds 81 bytes; a TCP MD5 password has at most 80$/],
    [
      'a folder',
      () => mkdirSync(join(directory, 'tor', 'md5'), { mode: 0o700 }),
      ['tor', 'md5'],
      /cannot be read: EISDIR/,
    ],
    ['outside', () => {}, ['..', 'passwd'], /^"\.\." cannot be the name of a file$/],
    ['far outside', () => {}, ['tor', '../../etc/shadow'], /cannot be the name of a file$/],
  ];
  for (const [name, prepare, [folder, key], says] of rows) {
    it(`say what is wrong with one ${name}`, () => {
      prepare();
      const reading = read(folder, key);
      assert.ok('problem' in reading);
      assert.match(reading.problem, says);
      assert.doesNotMatch(reading.problem, /geheim/);
    });
  }

  it('tell when one that was asked for has changed, or has come', { timeout: 10_000 }, async () => {
    assert.ok('problem' in read());
    const come = nextChange();
    write('one');
    await come;
    assert.deepEqual(read(), { secret: 'one' });
    const another = nextChange();
    write('two');
    await another;
    assert.deepEqual(read(), { secret: 'two' });
    assert.ok(changes >= 2);
  });
});
