import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr, containsIp } from '../../../net/cidr.ts';
import { type Ip, ip } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import { buildFilterProgram } from './build.ts';
import type { ConntrackState, FilterProgram, Hook, Match } from './program.ts';

function endpoint(id: string, deviceName: string, ...addresses: string[]): DesiredEndpoint {
  const provenance = { origin: `WorkloadEndpoint default/${id}` };
  return { id, deviceName, addresses: addresses.map(cidr), provenance };
}

const V4_ONLY = endpoint('a', 'cali-a', '172.17.8.2/32');
const DUAL = endpoint('b', 'cali-b', '172.17.8.3/32', '172.17.8.4/32', 'fd00::3/128');

interface Packet {
  readonly from?: string;
  readonly to?: string;
  readonly source: string;
  readonly state?: ConntrackState | 'new' | 'untracked';
  readonly protocol?: number;
  readonly port?: number;
  readonly icmpv6?: number;
}

/** What netfilter would do, and by which rule: "drop: Forged IPv4 source", or "accept" where none of ours has a say. */
function verdict(program: FilterProgram, point: Hook['point'], packet: Packet): string {
  const chain = (name: string) => program.chains.find((each) => each.name === name)!;
  const walk = (name: string): string | undefined => {
    for (const rule of chain(name).rules) {
      if (!rule.matches.every((match) => matches(match, packet, ip(packet.source)))) continue;
      const { action } = rule;
      if (action.kind === 'drop' || action.kind === 'accept') return `${action.kind}: ${rule.comment}`;
      if (action.kind === 'return') return undefined;
      if (action.kind === 'goto') return walk(action.chain);
      if (action.kind === 'jump') {
        const inner = walk(action.chain);
        if (inner !== undefined) return inner;
        continue;
      }
      const device = action.direction === 'in' ? packet.from : packet.to;
      const target = program.maps.find(({ name: map }) => map === action.map)!.entries.get(device ?? '');
      if (target !== undefined) return walk(target);
    }
    return undefined;
  };
  const base = program.chains.find(({ hook }) => hook?.point === point);
  return (base && walk(base.name)) ?? 'accept';
}

function matches(match: Match, packet: Packet, source: Ip): boolean {
  switch (match.kind) {
    case 'devicePrefix':
      return ((match.direction === 'in' ? packet.from : packet.to) ?? '').startsWith(match.prefix);
    case 'family':
      return source.family === match.family;
    case 'source':
      if (match.prefixes[0]!.address.family !== source.family) return false;
      return match.prefixes.some((prefix) => containsIp(prefix, source)) === match.inside;
    case 'conntrack':
      return match.states.some((state) => state === packet.state);
    case 'protocol':
      return packet.protocol === match.protocol;
    case 'destinationPort':
      return packet.protocol === (match.protocol === 'udp' ? 17 : 6) && packet.port === match.port;
    case 'icmpv6Type':
      return packet.icmpv6 !== undefined && match.types.includes(packet.icmpv6);
  }
}

const FORGED_4 = 'drop: Forged IPv4 source';
const FORGED_6 = 'drop: Forged IPv6 source';
const TO_HOST = 'accept: Workload to its host';
const UNKNOWN = 'drop: Unknown interface';
const NEIGHBOUR = 'accept: Neighbour discovery';

const rows: readonly [string, Hook['point'], Packet, string][] = [
  ['from its own address', 'forward', { from: 'cali-a', to: 'eth0', source: '172.17.8.2' }, 'accept'],
  ['from a second address', 'forward', { from: 'cali-b', to: 'eth0', source: '172.17.8.4' }, 'accept'],
  ['from its IPv6 address', 'forward', { from: 'cali-b', to: 'eth0', source: 'fd00::3' }, 'accept'],
  ['a neighbour’s address', 'forward', { from: 'cali-a', to: 'eth0', source: '172.17.8.3' }, FORGED_4],
  ['a neighbour’s IPv6 address', 'forward', { from: 'cali-b', to: 'eth0', source: 'fd00::2' }, FORGED_6],
  ['IPv6 without an IPv6 address', 'forward', { from: 'cali-a', to: 'eth0', source: 'fd00::3' }, FORGED_6],
  [
    'forged into an established connection',
    'forward',
    { from: 'cali-a', to: 'eth0', source: '172.17.8.3', state: 'established' },
    FORGED_4,
  ],
  ['forged towards the host', 'input', { from: 'cali-a', source: '10.9.9.9' }, FORGED_4],
  ['to the host', 'input', { from: 'cali-a', source: '172.17.8.2' }, TO_HOST],
  ['a known connection to the host', 'input', { from: 'cali-a', source: '172.17.8.2', state: 'established' }, TO_HOST],
  ['between two containers', 'forward', { from: 'cali-a', to: 'cali-b', source: '172.17.8.2' }, 'accept'],
  ['to an unknown container', 'forward', { from: 'cali-a', to: 'cali-x', source: '172.17.8.2' }, UNKNOWN],
  ['from an unknown container', 'forward', { from: 'cali-x', to: 'cali-a', source: '172.17.8.9' }, UNKNOWN],
  ['from an unknown container to the host', 'input', { from: 'cali-x', source: '172.17.8.9' }, UNKNOWN],
  [
    'established towards an unknown container',
    'forward',
    { from: 'cali-a', to: 'cali-x', source: '172.17.8.2', state: 'established' },
    UNKNOWN,
  ],
  ['from outside', 'forward', { from: 'eth0', to: 'cali-a', source: '10.0.0.1' }, 'accept'],
  [
    'invalid from outside',
    'forward',
    { from: 'eth0', to: 'cali-a', source: '10.0.0.1', state: 'invalid' },
    'drop: Invalid connection state',
  ],
  [
    'invalid from a container',
    'input',
    { from: 'cali-a', source: '172.17.8.2', state: 'invalid' },
    'drop: Invalid connection state',
  ],
  ['invalid between others', 'forward', { from: 'eth0', to: 'eth1', source: '10.0.0.1', state: 'invalid' }, 'accept'],
  ['from outside to the host', 'input', { from: 'eth0', source: '10.0.0.1', state: 'invalid' }, 'accept'],
  ['from the host to a container', 'output', { to: 'cali-a', source: '10.0.0.1' }, 'accept'],
  ['from the host to an unknown container', 'output', { to: 'cali-x', source: '10.0.0.1' }, 'accept'],
  [
    'IPIP',
    'forward',
    { from: 'cali-a', to: 'eth0', source: '172.17.8.2', protocol: 4, state: 'established' },
    'drop: IPIP from a workload',
  ],
  [
    'VXLAN to the host',
    'input',
    { from: 'cali-a', source: '172.17.8.2', protocol: 17, port: 4789, state: 'established' },
    'drop: VXLAN from a workload',
  ],
  ['TCP to port 4789', 'input', { from: 'cali-a', source: '172.17.8.2', protocol: 6, port: 4789 }, TO_HOST],
  ['neighbour solicitation', 'input', { from: 'cali-b', source: 'fe80::1', icmpv6: 135 }, NEIGHBOUR],
  ['duplicate address detection', 'input', { from: 'cali-b', source: '::', icmpv6: 135 }, NEIGHBOUR],
  ['solicitation from another’s address', 'input', { from: 'cali-b', source: 'fd00::2', icmpv6: 135 }, FORGED_6],
  ['ping from a link-local address', 'input', { from: 'cali-b', source: 'fe80::1', icmpv6: 128 }, FORGED_6],
  ['link-local to elsewhere', 'forward', { from: 'cali-b', to: 'eth0', source: 'fe80::1', icmpv6: 135 }, FORGED_6],
  ['router advertisement', 'input', { from: 'cali-b', source: 'fd00::3', icmpv6: 134 }, 'drop: Router advertisement'],
];

for (const [what, point, packet, expected] of rows) {
  test(`${point}: ${what}: ${expected}`, () => {
    assert.equal(verdict(buildFilterProgram([V4_ONLY, DUAL]), point, packet), expected);
  });
}

const refused: readonly [string, DesiredEndpoint[], string][] = [
  ['a device of another name', [endpoint('x', 'eth7', '10.0.0.1/32')], 'x: device name "eth7" cannot be policed'],
  ['the bare prefix', [endpoint('x', 'cali', '10.0.0.1/32')], 'x: device name "cali" cannot be policed'],
  ['a name too long', [endpoint('x', 'cali012345678901')], 'x: device name "cali012345678901" cannot be policed'],
  ['text that is not a name', [endpoint('x', 'cali"; drop')], 'x: device name "cali\\"; drop" cannot be policed'],
  [
    'a device claimed twice',
    [endpoint('y', 'calix'), endpoint('x', 'calix')],
    'x: device calix belongs to several endpoints: x, y | y: device calix belongs to several endpoints: x, y',
  ],
];

for (const [what, endpoints, expected] of refused) {
  test(`${what} is refused, and the others are policed`, () => {
    const program = buildFilterProgram([...endpoints, V4_ONLY]);
    const reasons = program.refusals.map(({ endpointId, reason }) => `${endpointId}: ${reason.split(',')[0]}`);
    assert.equal(
      reasons.join(' | '),
      expected
        .split(' | ')
        .map((each) => each.split(',')[0])
        .join(' | '),
    );
    assert.deepEqual(
      program.maps.map(({ entries }) => [...entries.keys()]),
      [['cali-a'], ['cali-a']],
    );
  });
}

test('an unchanged endpoint keeps its very chains', () => {
  const before = buildFilterProgram([V4_ONLY]).chains;
  const after = buildFilterProgram([DUAL, V4_ONLY]).chains;
  assert.deepEqual(
    before.filter((chain) => !after.includes(chain)),
    [],
  );
});

const anyEndpoints = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1 }),
    device: fc.integer({ min: 0, max: 5 }),
    octets: fc.uniqueArray(fc.nat(255)),
  }),
  { selector: ({ id }) => id, maxLength: 8 },
);

test('the program does not depend on any order, and names only what it has', () => {
  const build = (list: readonly { id: string; device: number; octets: number[] }[]) =>
    buildFilterProgram(
      list.map(({ id, device, octets }) =>
        endpoint(
          id,
          `cali${device}`,
          ...octets.map((octet) => (octet % 2 ? `fd00::${octet}/128` : `10.0.0.${octet}/32`)),
        ),
      ),
    );
  fc.assert(
    fc.property(anyEndpoints, (list) => {
      const program = build(list);
      const turned = build([...list].reverse().map((each) => ({ ...each, octets: [...each.octets].reverse() })));
      assert.deepEqual(turned, program);
      const names = program.chains.map(({ name }) => name);
      assert.equal(new Set(names).size, names.length);
      const targets = [
        ...program.maps.flatMap(({ entries }) => [...entries.values()]),
        ...program.chains.flatMap(({ rules }) =>
          rules.flatMap(({ action }) => ('chain' in action ? [action.chain] : [])),
        ),
      ];
      assert.deepEqual(
        targets.filter((name) => !names.includes(name)),
        [],
      );
      // Everything is reached: a chain that is neither hooked nor named would police nobody.
      const idle = program.chains.filter(({ name, hook }) => hook === undefined && !targets.includes(name));
      assert.deepEqual(idle, []);
    }),
  );
});
