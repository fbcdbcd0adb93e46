import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FelixConfiguration, FelixConfigurationSpec } from '../../model/felix-configuration.ts';
import { felixOnNode } from '../felix-layers.ts';
import { chooseBackend } from './backend-choice.ts';

const WORKS = undefined;

const ROWS: readonly (readonly [FelixConfigurationSpec, string | undefined, string])[] = [
  [{ nftablesMode: 'Auto' }, WORKS, 'nftables insert: nftablesMode Auto, and nftables works here'],
  [{ nftablesMode: 'Auto' }, 'no nft', 'iptables insert: nftablesMode Auto, and nftables does not work here: no nft'],
  [{ nftablesMode: 'Enabled' }, 'no nft', 'nftables insert: FelixConfiguration: nftablesMode Enabled'],
  [{ nftablesMode: 'Disabled' }, WORKS, 'iptables insert: FelixConfiguration: nftablesMode Disabled'],
  [
    { nftablesMode: 'Disabled', iptablesBackend: 'NFT', chainInsertMode: 'Append' },
    WORKS,
    'iptables nft append: FelixConfiguration: nftablesMode Disabled',
  ],
  [
    { nftablesMode: 'Disabled', iptablesBackend: 'Legacy' },
    WORKS,
    'iptables legacy insert: FelixConfiguration: nftablesMode Disabled',
  ],
  [
    { nftablesMode: 'Auto', iptablesBackend: 'Legacy' },
    'x',
    'iptables legacy insert: nftablesMode Auto, and nftables does not work here: x',
  ],
];

for (const [spec, problem, expected] of ROWS) {
  test(`${JSON.stringify(spec)} where nftables ${problem === undefined ? 'works' : 'does not'}`, () => {
    const { felix } = felixOn(spec);
    const { kind, variant, insertMode, why } = chooseBackend(felix, () => problem);
    assert.equal(`${[kind, variant, insertMode].filter((word) => word !== undefined).join(' ')}: ${why}`, expected);
  });
}

test('the rules are read anew as often as the backend in force is told to, and 0 is never', () => {
  const spec = { nftablesRefreshInterval: '30s', iptablesRefreshInterval: '0s' };
  const refreshMs = (nftablesMode: 'Enabled' | 'Disabled') =>
    chooseBackend(felixOn({ ...spec, nftablesMode }).felix, () => undefined).refreshMs;
  assert.deepEqual([refreshMs('Enabled'), refreshMs('Disabled')], [30_000, undefined]);
});

test('what is asked for by name is not looked into', () => {
  chooseBackend(felixOn({ nftablesMode: 'Enabled' }).felix, () => assert.fail('nobody asked whether it works'));
});

function felixOn(spec: FelixConfigurationSpec) {
  const configuration: FelixConfiguration = {
    ...{ apiVersion: 'projectcalico.org/v3', kind: 'FelixConfiguration', metadata: { name: 'default' } },
    spec,
  };
  return felixOnNode('host-a', undefined, new Map([['default', configuration]]));
}
