import assert from 'node:assert/strict';
import test from 'node:test';
import { ip } from '../../../net/ip.ts';
import type { DesiredHostEndpoint } from '../../desired/policy.ts';
import { holdersOfDevices } from './host-devices.ts';

const DEVICES = [
  { name: 'lo', addresses: [ip('127.0.0.1')] },
  { name: 'eth1', addresses: [ip('192.0.2.1'), ip('2001:db8::1')] },
  { name: 'eth0', addresses: [ip('10.0.0.1')] },
  { name: 'cali1', addresses: [ip('10.0.0.9')] },
  { name: 'eth 2', addresses: [ip('10.0.0.2')] },
];

/** Endpoints as "name: device or addresses". */
const ROWS: readonly (readonly [what: string, endpoints: string[], holders: string[], refused: string[]])[] = [
  ['none', [], [], []],
  ['by name', ['a: eth0', 'b: eth1'], ['eth0 a', 'eth1 b'], []],
  ['by name before the device is there', ['a: eth9'], ['eth9 a'], []],
  ['by one of its addresses', ['a: 192.0.2.9 2001:db8::1'], ['eth1 a'], []],
  ['several devices by addresses', ['a: 192.0.2.1 10.0.0.1'], ['eth0 a', 'eth1 a'], []],
  ['an address that no device has', ['a: 192.0.2.9'], [], []],
  ['a name goes before addresses', ['a: 10.0.0.1', 'b: eth0'], ['eth0 b'], []],
  ['all others', ['a: *', 'b: eth0', 'c: 192.0.2.1'], ['eth0 b', 'eth1 c', '* a'], []],
  ['the smallest of several names', ['c: eth0', 'a: eth0', 'b: eth0'], ['eth0 a'], []],
  ['the smallest of several with an address', ['c: 10.0.0.1', 'b: 10.0.0.1'], ['eth0 b'], []],
  ['the smallest of several for all', ['c: *', 'b: *'], ['* b'], []],
  ['loopback, when it is named', ['a: lo'], ['lo a'], []],
  ['no container by its address', ['a: 10.0.0.9'], [], []],
  [
    'no container by its name',
    ['a: cali1'],
    [],
    [`a: device "cali1" is a container's, for it begins with "cali"; a host endpoint must name a device of the host`],
  ],
  [
    'no name that a backend would mistake',
    ['a: 10.0.0.2'],
    [],
    [
      'a: device name "eth 2" cannot be policed, it must be a letter and up to 14 more letters, digits, dots, dashes or underscores',
    ],
  ],
];

for (const [what, endpoints, expected, refused] of ROWS) {
  test(`devices of host endpoints: ${what}`, () => {
    const made = endpoints.map(hostEndpoint);
    for (const order of [made, made.toReversed()]) {
      const { named, others, refusals } = holdersOfDevices(order, DEVICES);
      const texts = [...named].map(([deviceName, { name }]) => `${deviceName} ${name}`);
      assert.deepEqual([...texts, ...(others === undefined ? [] : [`* ${others.name}`])], expected);
      assert.deepEqual(
        refusals.map(({ endpointId, reason }) => `${endpointId}: ${reason}`),
        refused,
      );
    }
  });
}

function hostEndpoint(text: string): DesiredHostEndpoint {
  const [name = '', rest = ''] = text.split(': ');
  const byAddress = /^[0-9]/.test(rest);
  return {
    name,
    deviceName: byAddress ? undefined : rest,
    expectedAddresses: byAddress ? rest.split(' ').map(ip) : [ip('10.0.0.1')],
    policy: { tiers: [], profiles: [] },
    provenance: { origin: `HostEndpoint ${name}` },
  };
}
