/**
 * The calculation as lists of states: whatever the order in which facts come, the same state gives the same output.
 *
 * A case is a set of facts and what must follow from them. Each is told forwards, backwards, one by one with a look in
 * between, twice, and after facts that are then taken back.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnyResource } from '../../model/kinds.ts';
import { validateResource } from '../../model/validate.ts';
import { cidr, formatCidr } from '../../net/cidr.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { DesiredRoute, Gateway } from '../desired/desired.ts';
import { Calculation } from './calculation.ts';
import { endpointId } from './local-endpoints.ts';
import type { Step } from './states.suite.ts';
import { toldInVain, WAYS } from './states.suite.ts';

type Fact =
  | { readonly resource: AnyResource; readonly name: string }
  | { readonly learned: string; readonly via: readonly string[] }
  | { readonly peer: string; readonly gateway: string };

function resource(kind: string, name: string, spec: object, namespace?: string): Fact {
  const metadata = namespace === undefined ? { name } : { name, namespace };
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return { resource: validated.resource, name };
}

const endpoint = (name: string, node: string, ...ipNetworks: string[]): Fact =>
  resource('WorkloadEndpoint', name, { node, interfaceName: `cali${name}`, ipNetworks }, 'default');
const pool = (name: string, prefix: string, more: object = {}): Fact =>
  resource('IPPool', name, { cidr: prefix, blockSize: prefix.includes(':') ? 122 : 24, ...more });
const block = (prefix: string, node: string): Fact =>
  resource('IPAMBlock', prefix.replaceAll(/[.:/]/g, '-'), {
    cidr: prefix,
    affinity: `host:${node}`,
    allocations: new Array(2 ** ((prefix.includes(':') ? 128 : 32) - Number(prefix.split('/')[1]))).fill(null),
    unallocated: [...new Array(2 ** ((prefix.includes(':') ? 128 : 32) - Number(prefix.split('/')[1]))).keys()],
    attributes: [],
    deleted: false,
  });
const affinity = (prefix: string, node: string, state: string): Fact =>
  resource('BlockAffinity', `${node}-${prefix.replaceAll(/[.:/]/g, '-')}`, {
    node,
    cidr: prefix,
    state,
    deleted: false,
  });
const learned = (prefix: string, ...via: string[]): Fact => ({ learned: prefix, via });
const reachable = (peer: string, gateway: string): Fact => ({ peer, gateway });
const gateway = (text: string): Gateway => {
  const [address = '', deviceName] = text.split('%');
  return { address: ip(address), deviceName };
};

function tell(calculation: Calculation, fact: Fact, present: boolean): void {
  if ('learned' in fact) {
    const gateways = present ? fact.via.map(gateway) : [];
    calculation.updateLearned(cidr(fact.learned), gateways, gateways[0]?.address);
    return;
  }
  if ('peer' in fact) {
    const route = { peer: ip(fact.peer), gateway: ip(fact.gateway), origin: 'BGPPeer tor' };
    calculation.updatePeerRoutes(present ? [route] : []);
    return;
  }
  const { resource, name } = fact;
  if (resource.kind === 'WorkloadEndpoint')
    calculation.updateEndpoint(endpointId('default', name), present ? resource : undefined);
  if (resource.kind === 'IPPool') calculation.updatePool(name, present ? resource : undefined);
  if (resource.kind === 'IPAMBlock') calculation.updateBlock(name, present ? resource : undefined);
  if (resource.kind === 'BlockAffinity') calculation.updateAffinity(name, present ? resource : undefined);
}

/** Collects changes as the agent does, so that what was taken back is seen to go. */
class Collected {
  readonly routes = new Map<string, DesiredRoute>();
  readonly endpoints = new Set<string>();
  announced: string[] = [];

  take(calculation: Calculation): void {
    const changes = calculation.takeChanges();
    for (const [key, route] of changes.routes) {
      if (route === undefined) this.routes.delete(key);
      else this.routes.set(key, route);
    }
    for (const [id, each] of changes.endpoints) {
      if (each === undefined) this.endpoints.delete(id);
      else this.endpoints.add(id);
    }
    this.announced = changes.announcements?.map(({ prefix }) => formatCidr(prefix)).sort() ?? this.announced;
  }

  text(): string[] {
    const target = ({ target }: DesiredRoute): string => {
      if (target.kind === 'device') return `dev ${target.deviceName}`;
      if (target.kind === 'blackhole') return 'blackhole';
      const hops = target.gateways.map(({ address, deviceName = '' }) => `${formatIp(address)} ${deviceName}`.trim());
      return `via ${hops.join()}`;
    };
    return [
      ...[...this.routes].map(([key, route]) => `${key} ${target(route)}`),
      ...[...this.endpoints].map((id) => `endpoint ${id}`),
      ...this.announced.map((prefix) => `announce ${prefix}`),
    ]
      .filter((line) => line !== '169.254.1.1/32 dev lo')
      .sort();
  }
}

const POOL = pool('pool', '172.17.0.0/16');

const CASES: { name: string; facts: Fact[]; expected: string[] }[] = [
  { name: 'nothing', facts: [], expected: [] },
  {
    name: 'the way to a peer, whatever the peer says of itself',
    facts: [reachable('10.1.0.1', '10.0.0.254'), learned('10.1.0.1/32', '10.0.0.9')],
    expected: ['10.1.0.1/32 via 10.0.0.254'],
  },
  {
    name: 'a prefix behind two link-local gateways',
    facts: [learned('10.2.0.0/16', 'fe80::1%eth1', 'fe80::1%eth2')],
    expected: ['10.2.0.0/16 via fe80::1 eth1,fe80::1 eth2'],
  },
  {
    name: 'a container in a block of ours',
    facts: [
      POOL,
      block('172.17.8.0/24', 'host-a'),
      affinity('172.17.8.0/24', 'host-a', 'confirmed'),
      endpoint('a1', 'host-a', '172.17.8.2/32'),
    ],
    expected: ['172.17.8.0/24 blackhole', '172.17.8.2/32 dev calia1', 'announce 172.17.8.0/24', 'endpoint default/a1'],
  },
  {
    name: "another host's container and block",
    facts: [POOL, block('172.17.9.0/24', 'host-b'), endpoint('b1', 'host-b', '172.17.9.2/32')],
    expected: [],
  },
  {
    name: 'a block whose claim is pending: nothing may rely on it',
    facts: [POOL, block('172.17.8.0/24', 'host-a'), affinity('172.17.8.0/24', 'host-a', 'pending')],
    expected: [],
  },
  {
    name: "an address borrowed from another host's block is announced by itself",
    facts: [
      POOL,
      block('172.17.9.0/24', 'host-b'),
      endpoint('a1', 'host-a', '172.17.9.7/32'),
      learned('172.17.9.0/24', '192.168.100.101'),
    ],
    expected: [
      '172.17.9.0/24 via 192.168.100.101',
      '172.17.9.7/32 dev calia1',
      'announce 172.17.9.7/32',
      'endpoint default/a1',
    ],
  },
  {
    name: 'a container that is here beats what BGP says of its address',
    facts: [
      POOL,
      block('172.17.8.0/24', 'host-a'),
      endpoint('a1', 'host-a', '172.17.8.2/32'),
      learned('172.17.8.2/32', '192.168.100.101'),
    ],
    expected: ['172.17.8.0/24 blackhole', '172.17.8.2/32 dev calia1', 'announce 172.17.8.0/24', 'endpoint default/a1'],
  },
  {
    name: 'a pool that is not exported, and a block in no pool',
    facts: [
      pool('private', '10.1.0.0/16', { disableBGPExport: true }),
      block('10.1.1.0/24', 'host-a'),
      block('10.2.1.0/24', 'host-a'),
    ],
    expected: ['10.1.1.0/24 blackhole', '10.2.1.0/24 blackhole'],
  },
  {
    name: 'a block of one address has no rest to blackhole',
    facts: [pool('single', '10.3.0.0/24', { blockSize: 32 }), block('10.3.0.1/32', 'host-a')],
    expected: ['announce 10.3.0.1/32'],
  },
  {
    name: 'two gateways to one prefix',
    facts: [learned('172.17.9.0/24', '192.168.100.101', '192.168.100.102')],
    expected: ['172.17.9.0/24 via 192.168.100.101,192.168.100.102'],
  },
  {
    name: 'IPv6 beside IPv4',
    facts: [
      POOL,
      pool('six', 'fd00:17::/64'),
      block('fd00:17::/122', 'host-a'),
      block('172.17.8.0/24', 'host-a'),
      endpoint('a1', 'host-a', '172.17.8.2/32', 'fd00:17::2/128'),
    ],
    expected: [
      '172.17.8.0/24 blackhole',
      '172.17.8.2/32 dev calia1',
      'announce 172.17.8.0/24',
      'announce fd00:17::/122',
      'endpoint default/a1',
      'fd00:17::/122 blackhole',
      'fd00:17::2/128 dev calia1',
    ],
  },
];

function run(steps: readonly Step<Fact>[]): string[] {
  const calculation = new Calculation('host-a');
  const collected = new Collected();
  for (const step of [...steps, 'look' as const]) {
    if (step === 'look') collected.take(calculation);
    else tell(calculation, step.fact, step.present);
  }
  return collected.text();
}

describe('the calculation', () => {
  for (const { name, facts, expected } of CASES) {
    for (const way of WAYS) {
      it(`${name} (${way.name})`, () => {
        assert.deepEqual(run(way.steps(facts)), expected);
      });
    }
    it(`${name}: nothing is left when all facts are gone`, () => {
      assert.deepEqual(run(toldInVain(facts)), []);
    });
  }

  it('always has a way to the gateway of containers, so that the kernel answers for it', () => {
    const changes = new Calculation('host-a').takeChanges();
    assert.deepEqual(changes.routes.get('169.254.1.1/32')?.target, { kind: 'device', deviceName: 'lo' });
  });

  it('says once that there is nothing to announce, for BGP waits to hear it', () => {
    const calculation = new Calculation('host-a');
    assert.deepEqual(calculation.takeChanges().announcements, []);
    assert.equal(calculation.takeChanges().announcements, undefined);
  });

  it('says who asked for a route', () => {
    const calculation = new Calculation('host-a');
    calculation.updateLearned(cidr('172.17.9.0/24'), [gateway('192.168.100.101')], ip('192.168.100.101'));
    assert.equal(calculation.takeChanges().routes.get('172.17.9.0/24')?.provenance.origin, 'BGP peer 192.168.100.101');
  });
});
