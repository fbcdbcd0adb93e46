import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp } from '../net/ip.ts';
import { formatStep, planOf } from './plan.ts';
import { readTopology } from './read-topology.ts';

function plan(text: string): string {
  return planOf(readTopology('test', text)).map(formatStep).join('\n');
}

test('two hosts on one segment, of both families, beside nothing else', () => {
  const text = `
name: pair
segments: [lan]
hosts:
  a: { links: { eth0: { segment: lan, addresses: [10.0.0.1/24, "fd00::1/64"] } }, gateways: [10.0.0.254] }
  b: { links: { eth0: { segment: lan, addresses: [10.0.0.2/24] } } }
workloads:
  w: { host: a }
`;
  assert.equal(
    plan(text),
    `\
muslin-pair-lan: make it
muslin-pair-lan: bridge br0
muslin-pair-a: make it
muslin-pair-a: ipv6/conf/default/accept_dad = 0
muslin-pair-b: make it
muslin-pair-a: eth0 to a-eth0 of muslin-pair-lan
muslin-pair-b: eth0 to b-eth0 of muslin-pair-lan
muslin-pair-a: eth0 has 10.0.0.1/24
muslin-pair-a: eth0 has fd00::1/64
muslin-pair-b: eth0 has 10.0.0.2/24
muslin-pair-a: 0.0.0.0/0 via 10.0.0.254`,
  );
});

test('a router between two segments forwards and has static routes; a long port name is a hash', () => {
  const text = `
name: routed
segments: [left, right]
hosts:
  a: { links: { eth0: { segment: left, addresses: [10.0.1.1/24] } } }
routers:
  core-of-the-rack:
    links:
      eth0: { segment: left, addresses: [10.0.1.254/24] }
      eth1: { segment: right, addresses: [10.0.2.254/24, "fd00:2::fe/64"] }
    routes: [{ to: 10.9.0.0/16, via: 10.0.2.1 }]
`;
  assert.equal(
    plan(text),
    `\
muslin-routed-left: make it
muslin-routed-left: bridge br0
muslin-routed-right: make it
muslin-routed-right: bridge br0
muslin-routed-a: make it
muslin-routed-core-of-the-rack: make it
muslin-routed-core-of-the-rack: ipv6/conf/default/accept_dad = 0
muslin-routed-core-of-the-rack: ipv4/ip_forward = 1
muslin-routed-core-of-the-rack: ipv6/conf/all/forwarding = 1
muslin-routed-a: eth0 to a-eth0 of muslin-routed-left
muslin-routed-core-of-the-rack: eth0 to port-333331f8 of muslin-routed-left
muslin-routed-core-of-the-rack: eth1 to port-3433338b of muslin-routed-right
muslin-routed-a: eth0 has 10.0.1.1/24
muslin-routed-core-of-the-rack: eth0 has 10.0.1.254/24
muslin-routed-core-of-the-rack: eth1 has 10.0.2.254/24
muslin-routed-core-of-the-rack: eth1 has fd00:2::fe/64
muslin-routed-core-of-the-rack: 10.9.0.0/16 via 10.0.2.1`,
  );
});

test('machines have addresses of their own on lo; a link without addresses has its link-local one at once, and is routed to', () => {
  const text = `
name: bare
segments: [wire]
hosts:
  a: { links: { eth0: { segment: wire } }, addresses: [10.9.0.1/32] }
routers:
  r: { links: { eth0: { segment: wire } }, addresses: [10.9.0.2/32] }
`;
  assert.equal(
    plan(text),
    `\
muslin-bare-wire: make it
muslin-bare-wire: bridge br0
muslin-bare-a: make it
muslin-bare-a: ipv6/conf/default/accept_dad = 0
muslin-bare-r: make it
muslin-bare-r: ipv6/conf/default/accept_dad = 0
muslin-bare-r: ipv4/ip_forward = 1
muslin-bare-r: ipv6/conf/all/forwarding = 1
muslin-bare-a: eth0 to a-eth0 of muslin-bare-wire
muslin-bare-r: eth0 to r-eth0 of muslin-bare-wire
muslin-bare-a: lo has 10.9.0.1/32
muslin-bare-r: lo has 10.9.0.2/32`,
  );
});

test('a fabric passes what is between addresses that machines have, through it and within its segments', () => {
  const text = `
name: cloud
segments: [left, right, aside]
hosts:
  a: { links: { eth0: { segment: left, addresses: [10.0.1.1/24, "fd00:1::1/64"] } } }
  b: { links: { eth0: { segment: right, addresses: [10.0.2.1/24] }, eth1: { segment: aside, addresses: [10.0.3.1/24] } } }
routers:
  fabric:
    links:
      eth0: { segment: left, addresses: [10.0.1.254/24] }
      eth1: { segment: right, addresses: [10.0.2.254/24] }
    forwards: assigned
`;
  const steps = planOf(readTopology('test', text)).filter((step) => step.kind === 'fabric');
  assert.deepEqual(steps.map(formatStep), [
    'muslin-cloud-fabric: pass only what is between the 5 addresses that machines have',
    'muslin-cloud-left: pass only what is between the 5 addresses that machines have',
    'muslin-cloud-right: pass only what is between the 5 addresses that machines have',
  ]);
  const [router, left] = steps.map(({ script }) => script.replaceAll(/\s+/g, ' ').trim());
  const sets =
    'set assigned4 { type ipv4_addr elements = { 10.0.1.1, 10.0.2.1, 10.0.1.254, 10.0.2.254 } } ' +
    'set assigned6 { type ipv6_addr elements = { fd00:1::1 } }';
  const verdict =
    'ip saddr @assigned4 ip daddr @assigned4 accept ip6 saddr @assigned6 ip6 daddr @assigned6 accept counter drop';
  const chain = 'chain forward { type filter hook forward priority 0; policy drop;';
  const anew = (family: string) => `table ${family} fabric { } delete table ${family} fabric table ${family} fabric`;
  assert.equal(router, `${anew('inet')} { ${sets} ${chain} ${verdict} } }`);
  const neighbours =
    'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept';
  assert.equal(left, `${anew('bridge')} { ${sets} ${chain} ether type arp accept ${neighbours} ${verdict} } }`);
});

test('machines know each other from the start only where there are too many for the kernel to keep their neighbours', () => {
  const network = (hosts: number) => {
    const links = (index: number) =>
      `{ left: { segment: left, addresses: [10.0.1.${index}/24] }, right: { segment: right, addresses: [10.0.2.${index}/24] } }`;
    const lines = Array.from({ length: hosts }, (_, index) => `  h${index + 1}: { links: ${links(index + 1)} }\n`);
    return `name: many\nsegments: [left, right]\nhosts:\n${lines.join('')}`;
  };
  // Two segments of 16 hosts make 480 neighbours, of 17 hosts 544; the kernel keeps 1,024 for the whole machine.
  assert.doesNotMatch(plan(network(16)), /know each other/);
  const large = planOf(readTopology('test', network(17))).filter((step) => step.kind === 'neighbours');
  assert.deepEqual(
    large.map(({ ends }) => ends.map((end) => `${end.namespace} ${end.interface} ${end.addresses.map(formatIp)}`)),
    ['left 10.0.1', 'right 10.0.2'].map((segment) => {
      const [name, prefix] = segment.split(' ');
      return Array.from({ length: 17 }, (_, index) => `muslin-many-h${index + 1} ${name} ${prefix}.${index + 1}`);
    }),
  );
});
