import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { ifIndex, type Route } from '../net/kernel-objects.ts';
import { parseMac } from '../net/mac.ts';
import { fits, neighbourLine, routeLine } from './iproute-text.ts';

const deviceName = (index: number) => `eth${index}`;

function route(destination: string, more: Partial<Route> = {}): Route {
  return {
    destination: cidr(destination),
    type: 'unicast',
    nextHops: [{ gateway: undefined, index: ifIndex(0), onlink: false }],
    protocol: 3,
    scope: 0,
    table: 254,
    metric: 0,
    source: undefined,
    ...more,
  };
}

const via = (gateway: string, onlink = false) => ({ gateway: ip(gateway), index: ifIndex(0), onlink });

const ROWS: readonly [Route, string][] = [
  [
    route('172.17.9.0/24', { nextHops: [via('192.168.100.101', true)], protocol: 12 }),
    '172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink',
  ],
  [route('0.0.0.0/0', { nextHops: [via('169.254.1.1')] }), 'default via 169.254.1.1 dev eth0'],
  [route('172.17.8.2/32', { scope: 253 }), '172.17.8.2 dev eth0 scope link'],
  [
    route('192.168.100.0/24', { protocol: 2, scope: 253, source: ip('192.168.100.100') }),
    '192.168.100.0/24 dev eth0 proto kernel scope link src 192.168.100.100',
  ],
  [route('10.0.0.0/8', { type: 'blackhole', nextHops: [], protocol: 12 }), 'blackhole 10.0.0.0/8 proto bird'],
  [
    route('fd00::/120', { type: 'blackhole', nextHops: [], protocol: 12 }),
    'blackhole fd00::/120 dev lo proto bird metric 1024 pref medium',
  ],
  [route('10.0.0.0/8', { metric: 5, protocol: 80 }), '10.0.0.0/8 dev eth0 proto 80 metric 5'],
  [
    route('fd00::/120', { nextHops: [via('fe80::1', true)], protocol: 12 }),
    'fd00::/120 via fe80::1 dev eth0 proto bird metric 1024 onlink pref medium',
  ],
  [
    route('10.0.0.0/8', { nextHops: [via('10.1.0.1'), via('10.1.0.2')], protocol: 12 }),
    '10.0.0.0/8 proto bird nexthop via 10.1.0.1 dev eth0 weight 1 nexthop via 10.1.0.2 dev eth0 weight 1',
  ],
  [
    route('10.0.0.0/8', { nextHops: [via('10.1.0.1', true), via('10.1.0.2', true)], protocol: 12 }),
    '10.0.0.0/8 proto bird nexthop via 10.1.0.1 dev eth0 weight 1 onlink nexthop via 10.1.0.2 dev eth0 weight 1 onlink',
  ],
  [
    route('fd77::/64', { nextHops: [via('fd00:1::1', true), via('fd00:1::2', true)], protocol: 12 }),
    'fd77::/64 proto bird metric 1024 pref medium nexthop via fd00:1::1 dev eth0 weight 1 onlink nexthop via fd00:1::2 dev eth0 weight 1 onlink',
  ],
  [
    route('11.0.0.0/8', { nextHops: [via('fe80::1', true)], protocol: 12 }),
    '11.0.0.0/8 via inet6 fe80::1 dev eth0 proto bird onlink',
  ],
];

test('routes and neighbours read as iproute2 prints them', () => {
  for (const [value, line] of ROWS) assert.equal(routeLine(value, deviceName), line);
  const gateway = {
    index: ifIndex(0),
    address: ip('169.254.1.1'),
    mac: parseMac('ee:ee:ee:ee:ee:ee'),
    permanent: false,
  };
  assert.equal(neighbourLine(gateway, deviceName), '169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee');
  assert.equal(neighbourLine({ ...gateway, mac: undefined }, deviceName), '169.254.1.1 dev eth0');
});

const FITS: readonly [pattern: string, line: string, fits: boolean][] = [
  ['172.17.8.2 dev cali* scope link', '172.17.8.2 dev cali0123456789a scope link', true],
  ['172.17.8.2  dev cali* scope link ', '172.17.8.2 dev cali0 scope link', true],
  ['172.17.8.2 dev cali* scope link', '172.17.8.2 dev eth0 scope link', false],
  ['172.17.8.2 dev *', '172.17.8.2 dev cali0 scope link', false],
  ['172.17.8.2 dev x', '172.17.812 dev x', false],
  ['fd::/64\n  nexthop via fd00::1 dev *', 'fd::/64 nexthop via fd00::1 dev eth0', true],
];

test('a pattern fits a line word by word', () => {
  for (const [pattern, line, expected] of FITS) assert.equal(fits(pattern, line), expected, `${pattern} | ${line}`);
});
