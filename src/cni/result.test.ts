/** One result, printed for each version of CNI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { parseMac, WORKLOAD_HOST_MAC } from '../net/mac.ts';
import type { CniVersion } from './cni-error.ts';
import { type PreviousResult, readPreviousResult } from './previous-result.ts';
import { type CniResult, encodeResult, type ResultSurroundings } from './result.ts';

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

const ALONE: ResultSurroundings = { previous: undefined, dns: undefined };

const HOST_END = '{"name":"cali1","mac":"ee:ee:ee:ee:ee:ee"}';
const CONTAINER_END = '{"name":"eth0","mac":"02:00:00:00:00:07","sandbox":"/run/netns/a"}';
const ROUTES = '"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"169.254.1.1/32"}]';
const IPS_VERSIONED =
  '"ips":[{"version":"4","interface":1,"address":"10.1.0.7/32"},' +
  '{"version":"6","interface":1,"address":"fd00::7/128","gateway":"fe80::1"}]';
const IPS =
  '"ips":[{"interface":1,"address":"10.1.0.7/32"},{"interface":1,"address":"fd00::7/128","gateway":"fe80::1"}]';

const SLOTS =
  '"ip4":{"ip":"10.1.0.7/32","routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"169.254.1.1/32"}]},' +
  '"ip6":{"ip":"fd00::7/128","gateway":"fe80::1"},"dns":{}';

const ROWS: readonly [CniVersion, string][] = [
  ['0.1.0', SLOTS],
  ['0.2.0', SLOTS],
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
    assert.equal(encodeResult(version, RESULT, ALONE), `{"cniVersion":"${version}",${rest}}\n`);
  }
});

/** Two interfaces of an earlier plugin, the second with an address, as a runtime hands them on. */
function previousResult(more: object = {}): PreviousResult {
  const interfaces = [{ name: 'x0' }, { name: 'lo', mac: '00:00:00:00:00:00', sandbox: '/run/netns/a', pciID: '7' }];
  const ips = [{ address: '127.0.0.1/8', interface: 1 }];
  const previous = { interfaces, ips, routes: [{ dst: '10.9.0.0/16', mtu: 1400 }], dns: { domain: 'old' }, ...more };
  const result = readPreviousResult(previous, (_code, message) => assert.fail(message));
  assert.ok(result !== undefined);
  return result;
}

test('what earlier plugins made comes first, as it came, and our addresses count their interfaces on', () => {
  const text = encodeResult('1.0.0', RESULT, { previous: previousResult(), dns: undefined });
  const { interfaces, ips, routes, dns } = JSON.parse(text);
  assert.deepEqual(
    interfaces.map(({ name }: { name: string }) => name),
    ['x0', 'lo', 'cali1', 'eth0'],
  );
  assert.equal(interfaces[1].pciID, '7');
  assert.deepEqual(ips.slice(0, 2), [
    { address: '127.0.0.1/8', interface: 1 },
    { interface: 3, address: '10.1.0.7/32' },
  ]);
  assert.deepEqual(routes[0], { dst: '10.9.0.0/16', mtu: 1400 });
  assert.equal(routes.length, 3);
  assert.deepEqual(dns, { domain: 'old' });
});

test('dns is the configuration’s, else that of earlier plugins, else nothing', () => {
  const dnsOf = (version: CniVersion, surroundings: Partial<ResultSurroundings>): unknown => {
    return JSON.parse(encodeResult(version, RESULT, { ...ALONE, ...surroundings })).dns;
  };
  const own = { nameservers: ['10.1.0.53'] };
  assert.deepEqual(dnsOf('1.1.0', { dns: own, previous: previousResult() }), own);
  assert.deepEqual(dnsOf('0.2.0', { dns: own }), own);
  assert.deepEqual(dnsOf('1.1.0', { previous: previousResult() }), { domain: 'old' });
  assert.equal(dnsOf('1.1.0', { previous: previousResult({ dns: undefined }) }), undefined);
});

test('the addresses of earlier plugins name their family up to 0.4.0, and never after', () => {
  for (const entry of [{ address: 'fd00::9/64' }, { version: '6', address: 'fd00::9/64' }]) {
    const previous = previousResult({ ips: [entry] });
    const first = (version: CniVersion): unknown =>
      JSON.parse(encodeResult(version, RESULT, { ...ALONE, previous })).ips[0];
    assert.deepEqual(first('0.4.0'), { version: '6', address: 'fd00::9/64' });
    assert.deepEqual(first('1.0.0'), { address: 'fd00::9/64' });
  }
});

test('in a chain before 0.3.0 the slot of a family belongs to the plugin that filled it first', () => {
  const ip4 = { ip: '10.9.0.2/24', gateway: '10.9.0.1', routes: [{ dst: '10.8.0.0/16' }] };
  const previous = readPreviousResult({ ip4 }, (_code, message) => assert.fail(message));
  const result = JSON.parse(encodeResult('0.2.0', RESULT, { ...ALONE, previous }));
  assert.equal(result.ip4.ip, '10.9.0.2/24');
  assert.equal(result.ip4.gateway, '10.9.0.1');
  assert.deepEqual(result.ip4.routes[0], { dst: '10.8.0.0/16' });
  assert.equal(result.ip6.ip, 'fd00::7/128');
});
