import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Profiles } from './profiles.ts';

describe('profiles', () => {
  it('hand down labels as long as something names them, and have rules as long as something here does', () => {
    const heard: string[] = [];
    const profiles = new Profiles({
      labels: (name, labels) => heard.push(`${name} ${labels === undefined ? 'gone' : Object.keys(labels).length}`),
      rulesMayDiffer: (name) => heard.push(`${name} rules`),
    });
    const heardOf = (step: () => void): string[] => {
      heard.length = 0;
      step();
      return [...heard];
    };
    const nobody = { names: [], isLocal: false };
    const here = { names: ['kns.shop'], isLocal: true };
    const elsewhere = { names: ['kns.shop'], isLocal: false };
    assert.deepEqual(
      heardOf(() => profiles.rename(nobody, elsewhere)),
      ['kns.shop 2'],
    );
    assert.equal(profiles.active('kns.shop'), undefined);
    assert.deepEqual(
      heardOf(() => profiles.rename(nobody, here)),
      ['kns.shop rules'],
    );
    assert.equal(profiles.active('kns.shop')?.provenance.origin, 'Namespace shop');
    assert.deepEqual(
      heardOf(() => profiles.rename(here, elsewhere)),
      ['kns.shop rules'],
    );
    assert.deepEqual(
      heardOf(() => profiles.rename(elsewhere, nobody)),
      [],
    );
    assert.deepEqual(
      heardOf(() => profiles.rename(elsewhere, nobody)),
      ['kns.shop gone'],
    );
  });
});
