import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../../net/cidr.ts';
import type { DesiredEndpoint } from '../desired/desired.ts';
import { deviceSettings, isHostSetting, settingsThatFollow } from './settings.ts';

const ENDPOINT: DesiredEndpoint = {
  id: 'default/a1',
  deviceName: 'calia1',
  addresses: [cidr('10.65.0.1/32')],
  policy: { tiers: [], profiles: [] },
  floatingIps: [],
  allowedSources: [],
  provenance: { origin: 'WorkloadEndpoint default/a1' },
};

const ROWS = [
  { title: 'the kernel checks sources, too', endpoint: ENDPOINT, name: 'ipv4/conf/calia1/rp_filter', value: '1' },
  {
    title: 'the kernel, which knows of no exceptions, leaves sources to the packet filter where there are any',
    endpoint: { ...ENDPOINT, allowedSources: [cidr('203.0.113.0/28')] },
    name: 'ipv4/conf/calia1/rp_filter',
    value: '0',
  },
  {
    title: 'IPv6 is not forwarded for a container that has none',
    endpoint: ENDPOINT,
    name: 'ipv6/conf/calia1/forwarding',
    value: undefined,
  },
  {
    title: 'IPv6 is forwarded for one that has',
    endpoint: { ...ENDPOINT, addresses: [cidr('fd65::1/128')] },
    name: 'ipv6/conf/calia1/forwarding',
    value: '1',
  },
] as const;

for (const { title, endpoint, name, value } of ROWS) {
  test(title, () => assert.equal(deviceSettings(endpoint).get(name), value));
}

const OWNERS: [name: string, isHosts: boolean][] = [
  ['ipv4/ip_forward', true],
  ['ipv6/conf/all/forwarding', true],
  ['ipv4/conf/eth0/rp_filter', true],
  ['ipv4/conf/calia1/rp_filter', false],
  ['ipv4/neigh/cali0123456789a/proxy_delay', false],
];
for (const [name, isHosts] of OWNERS) {
  test(`${name} ${isHosts ? 'outlives us' : 'goes with its container'}`, () => {
    assert.equal(isHostSetting(name), isHosts);
  });
}

test('forwarding of the host is forwarding of each device that is not a container’s', () => {
  assert.deepEqual(settingsThatFollow('ipv4/ip_forward', ['lo', 'eth0', 'calia1']), [
    'ipv4/conf/all/accept_redirects',
    'ipv4/conf/default/forwarding',
    'ipv4/conf/lo/forwarding',
    'ipv4/conf/eth0/forwarding',
  ]);
  assert.deepEqual(settingsThatFollow('ipv6/conf/all/forwarding', ['lo']), [
    'ipv6/conf/default/forwarding',
    'ipv6/conf/lo/forwarding',
  ]);
  assert.deepEqual(settingsThatFollow('ipv4/conf/eth0/rp_filter', ['lo']), []);
});
