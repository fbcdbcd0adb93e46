/** One result, printed for each version of CNI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { parseMac, WORKLOAD_HOST_MAC } from '../net/mac.ts';
import type { CniVersion } from './cni-error.ts';
import { type CniResult, encodeResult } from './result.ts';

const RESULT: CniResult = {
  interfaces: [
    { name: 'cali1', mac: WORKLOAD_HOST_MAC, mtu: 1500, sandbox: undefined },
    { name: 'eth0', mac: parseMac('02:00:00:00:00:07')!, mtu: 1500, sandbox: '/run/netns/a' },
  ],
  addresses: [
    { address: cidr('10.1.0.7/32'), gateway: undefined, interfaceIndex: 1 },
    { address: cidr('fd00::7/128'), gateway: ip('fe80::1'), interfaceIndex: 1 },
  ],
  routes: [
    { destination: cidr('0.0.0.0/0'), gateway: ip('169.254.1.1') },
    { destination: cidr('169.254.1.1/32'), gateway: undefined },
  ],
};

const HOST_END = '{"name":"cali1","mac":"ee:ee:ee:ee:ee:ee"}';
const CONTAINER_END = '{"name":"eth0","mac":"02:00:00:00:00:07","sandbox":"/run/netns/a"}';
const ROUTES = '"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"169.254.1.1/32"}]';
const IPS_VERSIONED =
  '"ips":[{"version":"4","interface":1,"address":"10.1.0.7/32"},' +
  '{"version":"6","interface":1,"address":"fd00::7/128","gateway":"fe80::1"}]';
const IPS =
  '"ips":[{"interface":1,"address":"10.1.0.7/32"},{"interface":1,"address":"fd00::7/128","gateway":"fe80::1"}]';

const ROWS: readonly [CniVersion, string][] = [
  ['0.3.0', `"interfaces":[${HOST_END},${CONTAINER_END}],${IPS_VERSIONED},${ROUTES},"dns":{}`],
  ['0.3.1', `"interfaces":[${HOST_END},${CONTAINER_END}],${IPS_VERSIONED},${ROUTES},"dns":{}`],
  ['0.4.0', `"interfaces":[${HOST_END},${CONTAINER_END}],${IPS_VERSIONED},${ROUTES},"dns":{}`],
  ['1.0.0', `"interfaces":[${HOST_END},${CONTAINER_END}],${IPS},${ROUTES}`],
  [
    '1.1.0',
    '"interfaces":[{"name":"cali1","mac":"ee:ee:ee:ee:ee:ee","mtu":1500},' +
      `{"name":"eth0","mac":"02:00:00:00:00:07","mtu":1500,"sandbox":"/run/netns/a"}],${IPS},${ROUTES}`,
  ],
];

test('the result has the shape of the caller’s version', () => {
  for (const [version, rest] of ROWS) {
    assert.equal(encodeResult(version, RESULT), `{"cniVersion":"${version}",${rest}}\n`);
  }
});
