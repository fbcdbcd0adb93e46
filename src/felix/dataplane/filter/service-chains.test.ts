import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatIp, ip } from '../../../net/ip.ts';
import type { DesiredEndpoint, DesiredService } from '../../desired/desired.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../desired/filter-settings.ts';
import type { DesiredRule, RuleEnd } from '../../desired/policy.ts';
import { FilterBuilder } from './builder.ts';
import type { Packet } from './evaluate.ts';
import { evaluationOf } from './evaluate.ts';
import type { FilterWorld } from './match.ts';
import { IPTABLES_DIALECT, NFTABLES_DIALECT } from './program.ts';
import { chainText } from './rule-text.suite.ts';

function service(address: string, isHere: boolean, ...backends: string[]): DesiredService {
  return { address: ip(address), isHere, backends: backends.map((text) => ({ address: ip(text), provenance: FROM })) };
}

const NO_END: RuleEnd = {
  ...{ nets: [], notNets: [], sets: [], notSets: [] },
  ...{ ports: [], portSets: [], notPorts: [], notPortSets: [] },
};
const ALLOW: DesiredRule = {
  ...{ index: 0, action: 'allow', family: undefined, source: NO_END, destination: NO_END },
  ...{ protocol: undefined, notProtocol: undefined, icmp: undefined, notIcmp: undefined },
  provenance: { origin: 'Profile open' },
};
const FROM = { origin: 'WorkloadEndpoint default/a' };
const WEB = service('203.0.113.10', true, '10.0.0.1', '10.0.0.2', '10.0.0.3');
const ELSEWHERE = service('203.0.113.9', false, '10.0.1.1', '10.0.1.2');
const SIX = service('2001:db8::a', true, 'fd00::1');

function built(...services: readonly DesiredService[]): FilterBuilder {
  const builder = new FilterBuilder(NFTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
  builder.updateServices(new Map(services.map((each) => [formatIp(each.address), each])));
  return builder;
}

function lines(builder: FilterBuilder, name: string): string[] | undefined {
  const chain = builder.program.chains.get(`nat ${name}`);
  return chain && [...chainText(chain)];
}

describe('chains of services', () => {
  test('each has one, where connections go to its containers in turn', () => {
    const builder = built(SIX, WEB, ELSEWHERE);
    assert.deepEqual(lines(builder, 'cali-svc-203.0.113.10'), [
      'one in 3 => dnat 10.0.0.1',
      'one in 2 => dnat 10.0.0.2',
      '=> dnat 10.0.0.3',
    ]);
    assert.deepEqual(lines(builder, 'cali-svc-203.0.113.9'), ['one in 2 => dnat 10.0.1.1', '=> dnat 10.0.1.2']);
  });

  test('are led to by address, by that of another host’s containers from containers alone', () => {
    const jumps = lines(built(SIX, WEB, ELSEWHERE), 'cali-fip-dnat');
    assert.deepEqual(jumps?.slice(0, 2), [
      'in cali+ | dst 203.0.113.9/32 => goto cali-svc-203.0.113.9',
      'dst 203.0.113.10/32 => goto cali-svc-203.0.113.10',
    ]);
    assert.match(jumps?.[2] ?? '', /^dst 2001:db8::a\/128 => goto cali-svc-_[\w-]{18}$/);
  });

  test('a container of this host that meets itself is answered by the service', () => {
    assert.deepEqual(lines(built(SIX, WEB, ELSEWHERE), 'cali-fip-snat'), [
      'src 10.0.0.1/32 | dst 10.0.0.1/32 => snat 203.0.113.10',
      'src 10.0.0.2/32 | dst 10.0.0.2/32 => snat 203.0.113.10',
      'src 10.0.0.3/32 | dst 10.0.0.3/32 => snat 203.0.113.10',
      'src fd00::1/128 | dst fd00::1/128 => snat 2001:db8::a',
    ]);
  });

  test('go with the last container, and change alone', () => {
    const builder = built(WEB, SIX);
    builder.takeChanges();
    builder.updateServices(new Map([['203.0.113.10', service('203.0.113.10', true, '10.0.0.1', '10.0.0.3')]]));
    const changed = [...builder.takeChanges().chains.keys()];
    assert.deepEqual(changed, ['nat cali-fip-snat', 'nat cali-svc-203.0.113.10']);
    builder.updateServices(new Map([['203.0.113.10', undefined]]));
    assert.equal(lines(builder, 'cali-svc-203.0.113.10'), undefined);
    assert.equal(lines(builder, 'cali-fip-dnat')?.length, 1);
  });

  test('are the same in both dialects', () => {
    const other = new FilterBuilder(IPTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
    other.updateServices(new Map([['203.0.113.10', WEB]]));
    assert.deepEqual(lines(other, 'cali-svc-203.0.113.10'), lines(built(WEB), 'cali-svc-203.0.113.10'));
  });
});

/** Containers 10.0.0.x are here, at cali1 … cali3; 192.0.2.1 is the host; all else is behind eth0. */
const WORLD: FilterWorld = {
  isLocal: (address) => formatIp(address) === '192.0.2.1',
  deviceOf: (address) =>
    /^10\.0\.0\.(\d+)$/
      .exec(formatIp(address))
      ?.slice(1)
      .map((last) => `cali${last}`)[0] ?? 'eth0',
};

describe('what a packet to a service meets', () => {
  const builder = built(WEB, ELSEWHERE);
  builder.updatePolicy({
    sets: new Map(),
    policies: new Map(),
    profiles: new Map([['open', { name: 'open', ingress: [ALLOW], egress: [ALLOW], provenance: FROM }]]),
    hostEndpoints: new Map(),
  });
  builder.updateEndpoints(new Map(['1', '2', '3'].map((last) => [`c${last}`, endpoint(last)])));
  const evaluate = evaluationOf(builder.program, WORLD);
  const rows: readonly (readonly [what: string, Partial<Packet> & { to: string }, turn: number, outcome: string])[] = [
    ['a client’s first connection', { to: '203.0.113.10' }, 0, '198.51.100.7 -> 10.0.0.1'],
    ['the next one', { to: '203.0.113.10' }, 1, '198.51.100.7 -> 10.0.0.2'],
    ['the one after', { to: '203.0.113.10' }, 2, '198.51.100.7 -> 10.0.0.3'],
    [
      'the host’s own',
      { to: '203.0.113.10', inDevice: undefined, outDevice: 'cali1', source: ip('192.0.2.1') },
      1,
      '192.0.2.1 -> 10.0.0.2',
    ],
    [
      'a container’s, to itself',
      { to: '203.0.113.10', inDevice: 'cali2', outDevice: 'cali1', source: ip('10.0.0.2') },
      1,
      '203.0.113.10 -> 10.0.0.2',
    ],
    [
      'a container’s, to another host’s',
      { to: '203.0.113.9', inDevice: 'cali2', source: ip('10.0.0.2') },
      1,
      '10.0.0.2 -> 10.0.1.2',
    ],
    ['a client’s, where the containers are elsewhere', { to: '203.0.113.9' }, 0, '198.51.100.7 -> 203.0.113.9'],
    ['what is no service', { to: '203.0.113.11' }, 0, '198.51.100.7 -> 203.0.113.11'],
  ];
  for (const [what, { to, ...fields }, turn, expected] of rows) {
    test(what, () => {
      const tcp = { protocol: 6, sourcePort: 40_000, destinationPort: 80, inDevice: 'eth0', outDevice: 'eth0' };
      const packet: Packet = { ...tcp, source: ip('198.51.100.7'), destination: ip(to), turn, ...fields };
      const { verdict, source, destination } = evaluate(packet);
      assert.deepEqual([verdict, `${formatIp(source)} -> ${formatIp(destination)}`], ['accept', expected]);
    });
  }
});

function endpoint(last: string): DesiredEndpoint {
  return {
    id: `c${last}`,
    deviceName: `cali${last}`,
    addresses: [],
    policy: { tiers: [], profiles: ['open'] },
    floatingIps: [],
    allowedSources: [],
    provenance: FROM,
  };
}
