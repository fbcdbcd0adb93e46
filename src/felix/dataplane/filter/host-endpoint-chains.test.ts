import assert from 'node:assert/strict';
import test from 'node:test';
import type { DesiredHostEndpoint, DesiredPolicy, PolicyId, PolicyStage } from '../../desired/policy.ts';
import { holdersOfDevices } from './host-devices.ts';
import { hostEndpointChains } from './host-endpoint-chains.ts';
import { ruleText } from './rule-text.suite.ts';

/** Policies are named after what they are: "untracked", "preDnat staged". */
function policyOf(id: PolicyId): DesiredPolicy {
  const [stage = '', staged] = id.split(' ');
  return {
    id,
    tier: 'default',
    selector: 'all()',
    staged: staged === 'staged',
    stage: stage as PolicyStage,
    applyOnForward: true,
    ingress: [],
    egress: [],
    provenance: { origin: id },
  };
}

function hostEndpoint(
  deviceName: string,
  ingress: readonly string[] = [],
  egress: readonly string[] = [],
): DesiredHostEndpoint {
  const tier = {
    name: 'default',
    defaultAction: 'deny' as const,
    ingress: ingress as PolicyId[],
    egress: egress as PolicyId[],
    provenance: { origin: 'Tier default' },
  };
  return {
    name: `hep-${deviceName}`,
    deviceName,
    expectedAddresses: [],
    policy: { tiers: [tier], profiles: [] },
    provenance: { origin: `HostEndpoint hep-${deviceName}` },
  };
}

/** "table chain: rule" for each rule, "table chain = kind endpoint" for each endpoint's chain. */
function texts(endpoints: readonly DesiredHostEndpoint[]): string[] {
  const leaves: string[] = [];
  const chains = hostEndpointChains(holdersOfDevices(endpoints, []), policyOf, ({ table, name, kind, endpoint }) => {
    leaves.push(`${table} ${name} = ${kind} ${endpoint.name}`);
    return { table, name, hook: undefined, rules: [] };
  });
  const rules = chains.flatMap(({ table, name, rules }) => rules.map((each) => `${table} ${name}: ${ruleText(each)}`));
  assert.equal(new Set(chains.map(({ table, name }) => `${table} ${name}`)).size, chains.length);
  return [...rules, ...leaves];
}

test('without host endpoints the dispatch chains are there, and empty', () => {
  const chains = hostEndpointChains(holdersOfDevices([], []), policyOf, () => assert.fail('no endpoint'));
  assert.deepEqual(
    chains.map(({ table, name, rules }) => `${table} ${name} ${rules.length}`),
    [
      'raw cali-from-host-endpoint 0',
      'raw cali-to-host-endpoint 0',
      'mangle cali-from-host-endpoint 0',
      'mangle cali-to-host-endpoint 0',
      'filter cali-from-host-endpoint 0',
      'filter cali-to-host-endpoint 0',
      'filter cali-from-hep-forward 0',
      'filter cali-to-hep-forward 0',
    ],
  );
});

test('a device of a host endpoint leads to its chains, others lead nowhere', () => {
  assert.deepEqual(texts([hostEndpoint('eth1', ['normal', 'untracked staged']), hostEndpoint('eth0')]), [
    'mangle cali-to-host-endpoint: out eth0 => goto cali-th-eth0',
    'mangle cali-to-host-endpoint: out eth1 => goto cali-th-eth1',
    'filter cali-from-host-endpoint: in eth0 => goto cali-fh-eth0',
    'filter cali-from-host-endpoint: in eth1 => goto cali-fh-eth1',
    'filter cali-to-host-endpoint: out eth0 => goto cali-th-eth0',
    'filter cali-to-host-endpoint: out eth1 => goto cali-th-eth1',
    'filter cali-from-hep-forward: in eth0 => goto cali-fhfw-eth0',
    'filter cali-from-hep-forward: in eth1 => goto cali-fhfw-eth1',
    'filter cali-to-hep-forward: out eth0 => goto cali-thfw-eth0',
    'filter cali-to-hep-forward: out eth1 => goto cali-thfw-eth1',
    'mangle cali-th-eth0 = to-host-post-nat hep-eth0',
    'mangle cali-th-eth1 = to-host-post-nat hep-eth1',
    'filter cali-fh-eth0 = from-host hep-eth0',
    'filter cali-fh-eth1 = from-host hep-eth1',
    'filter cali-th-eth0 = to-host hep-eth0',
    'filter cali-th-eth1 = to-host hep-eth1',
    'filter cali-fhfw-eth0 = from-host-forward hep-eth0',
    'filter cali-fhfw-eth1 = from-host-forward hep-eth1',
    'filter cali-thfw-eth0 = to-host-forward hep-eth0',
    'filter cali-thfw-eth1 = to-host-forward hep-eth1',
  ]);
});

test('untracked and pre-DNAT chains are there where such a policy is, by direction', () => {
  const made = texts([hostEndpoint('eth0', ['untracked']), hostEndpoint('eth1', ['preDnat'], ['untracked'])]);
  assert.deepEqual(
    made.filter((line) => /^raw|^mangle cali-f/.test(line)),
    [
      'raw cali-from-host-endpoint: in eth0 => goto cali-fh-eth0',
      'raw cali-to-host-endpoint: out eth1 => goto cali-th-eth1',
      'mangle cali-from-host-endpoint: in eth1 => goto cali-fh-eth1',
      'raw cali-fh-eth0 = from-host-untracked hep-eth0',
      'raw cali-th-eth1 = to-host-untracked hep-eth1',
      'mangle cali-fh-eth1 = from-host-pre-dnat hep-eth1',
    ],
  );
});

test('"*" comes last, for all devices but containers, loopback, and those of other endpoints', () => {
  const made = texts([hostEndpoint('*', ['untracked']), hostEndpoint('eth0')]);
  const [ANY, FORWARD] = ['any-interface-at-all', 'any-interface-at-a'];
  const others = (chain: string, direction: string, leaf: string) => [
    `${chain}: ${direction} cali+ => return`,
    `${chain}: ${direction} lo => return`,
    `${chain}: => goto ${leaf}`,
  ];
  assert.deepEqual(made, [
    'raw cali-from-host-endpoint: in eth0 => return',
    ...others('raw cali-from-host-endpoint', 'in', `cali-fh-${ANY}`),
    'mangle cali-to-host-endpoint: out eth0 => goto cali-th-eth0',
    ...others('mangle cali-to-host-endpoint', 'out', `cali-th-${ANY}`),
    'filter cali-from-host-endpoint: in eth0 => goto cali-fh-eth0',
    ...others('filter cali-from-host-endpoint', 'in', `cali-fh-${ANY}`),
    'filter cali-to-host-endpoint: out eth0 => goto cali-th-eth0',
    ...others('filter cali-to-host-endpoint', 'out', `cali-th-${ANY}`),
    'filter cali-from-hep-forward: in eth0 => goto cali-fhfw-eth0',
    ...others('filter cali-from-hep-forward', 'in', `cali-fhfw-${FORWARD}`),
    'filter cali-to-hep-forward: out eth0 => goto cali-thfw-eth0',
    ...others('filter cali-to-hep-forward', 'out', `cali-thfw-${FORWARD}`),
    `raw cali-fh-${ANY} = from-host-untracked hep-*`,
    'mangle cali-th-eth0 = to-host-post-nat hep-eth0',
    `mangle cali-th-${ANY} = to-host-post-nat hep-*`,
    'filter cali-fh-eth0 = from-host hep-eth0',
    `filter cali-fh-${ANY} = from-host hep-*`,
    'filter cali-th-eth0 = to-host hep-eth0',
    `filter cali-th-${ANY} = to-host hep-*`,
    'filter cali-fhfw-eth0 = from-host-forward hep-eth0',
    `filter cali-fhfw-${FORWARD} = from-host-forward hep-*`,
    'filter cali-thfw-eth0 = to-host-forward hep-eth0',
    `filter cali-thfw-${FORWARD} = to-host-forward hep-*`,
  ]);
  for (const line of made) assert.ok((/ (cali-[^ :]+)/.exec(line)?.[1] ?? '').length <= 28, line);
});
