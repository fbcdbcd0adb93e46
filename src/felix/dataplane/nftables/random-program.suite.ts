/**
 * Programs at random, all of which a kernel takes, and what differs between two of them.
 *
 * Chains jump only to chains of a higher number that are there, sets hold no prefix inside of another, and each table has
 * only what the kernel allows at its hooks. Both the tests on a model of nft and those on a kernel draw from here.
 */
import fc from 'fast-check';
import { cidr, containsCidr } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import { ip } from '../../../net/ip.ts';
import { setId } from '../../desired/policy.ts';
import type {
  Action,
  Chain,
  ConntrackState,
  FilterProgram,
  HookName,
  Match,
  ProgramChanges,
  ProgramSet,
  ProgramSetChange,
  Rule,
  TableName,
} from '../filter/program.ts';
import { chainKey, setKey } from '../filter/program.ts';

const DEVICES = ['cali-a', 'cali-b', 'cali0.c'];
const NETS: Readonly<Record<Family, readonly string[]>> = {
  4: [
    '0.0.0.0/0',
    '0.0.0.0/1',
    '10.0.0.0/8',
    '10.0.0.0/9',
    '10.128.0.0/9',
    '10.1.0.0/16',
    '224.0.0.0/3',
    '128.0.0.0/1',
  ],
  6: ['::/0', '::/1', '8000::/1', 'fd00::/8', 'fd00::/64', 'fd00:0:0:1::/64', '::ffff:0.0.0.0/96', 'ff00::/8'],
};
const ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.0.0.1', '10.0.0.2', '255.255.255.255', '0.0.0.0'],
  6: ['fd00::1', '::ffff:1.2.3.4', '::102:304', '::', 'fe80::1'],
};
const FAMILIES: readonly Family[] = [4, 6];

export function rule(matches: readonly Match[], action: Action, comment = 'A rule'): Rule {
  return { matches, action, comment, provenance: { origin: 'GlobalNetworkPolicy all' }, origin: undefined };
}

const anyFamily = fc.constantFrom<Family>(...FAMILIES);
const anyEnd = fc.constantFrom('source' as const, 'destination' as const);
const anyBits = fc.constantFrom(0x10000, 0x20000, 0x30000, 0x80000000);
const anyRange = fc
  .tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 0, max: 100 }))
  .map(([first, more]) => ({ first, last: Math.min(first + more, 65535) }));
const anyPorts = fc.array(anyRange, { minLength: 1, maxLength: 4 });

function subset<Value>(values: readonly Value[]): fc.Arbitrary<Value[]> {
  return fc.subarray([...values]);
}

/** Members of one family and part. */
function anyMembers({ family, kind, part }: Omit<ProgramSet, 'set' | 'members'>): fc.Arbitrary<ReadonlySet<string>> {
  if (kind === 'ports') {
    const ports = ADDRESSES[family].flatMap((address) => [
      `${address},tcp:80`,
      `${address},udp:53`,
      `${address},sctp:9`,
    ]);
    return subset(ports).map((members) => new Set(members));
  }
  if (part === 'addresses') return subset(ADDRESSES[family]).map((members) => new Set(members));
  return subset(NETS[family]).map((members) => {
    const prefixes = members.map(cidr);
    const outer = prefixes.filter((one) => !prefixes.some((other) => other !== one && containsCidr(other, one)));
    return new Set(members.filter((_, index) => outer.includes(prefixes[index]!)));
  });
}

const SETS: readonly Omit<ProgramSet, 'members'>[] = FAMILIES.flatMap((family) => [
  ...['s:one', 's:two_-x'].flatMap((id): Omit<ProgramSet, 'members'>[] => [
    { set: setId(id), family, part: 'addresses', kind: 'nets' },
    { set: setId(id), family, part: 'prefixes', kind: 'nets' },
  ]),
  { set: setId('n:web'), family, part: 'all', kind: 'ports' },
]);

const anySets = subset(SETS).chain((sets) =>
  fc.tuple(...sets.map((set) => anyMembers(set).map((members): ProgramSet => ({ ...set, members })))),
);

/** What every chain may ask. */
function anyMatch(sets: readonly ProgramSet[]): fc.Arbitrary<Match> {
  const is = fc.boolean();
  const address = { end: anyEnd, family: anyFamily, is };
  const names = fc.constantFrom('eth0', 'cali', '0eth', 'br-x.1');
  const choices: fc.Arbitrary<Match>[] = [
    fc.record({
      kind: fc.constant('device'),
      direction: fc.constantFrom('in', 'out'),
      name: names,
      prefix: fc.boolean(),
      is,
    }),
    fc.record({ kind: fc.constant('family'), family: anyFamily }),
    fc.record({ kind: fc.constant('protocol'), protocol: fc.constantFrom(4, 6, 17, 58, 132), is }),
    fc.record({
      kind: fc.constant('ports'),
      end: anyEnd,
      protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
      ports: anyPorts,
      is,
    }),
    fc.record({
      kind: fc.constant('icmp'),
      family: anyFamily,
      match: fc.record({ type: fc.constantFrom(0, 3, 8, 134), code: fc.constantFrom(undefined, 0, 4) }),
      is,
    }),
    fc.record({
      kind: fc.constant('conntrack'),
      states: fc.subarray<ConntrackState>(['new', 'established', 'related', 'invalid', 'untracked'], { minLength: 1 }),
      is,
    }),
    fc.record({ kind: fc.constant('dnat'), is }),
    fc.record({ kind: fc.constant('mark'), bits: anyBits, is }),
    fc.record({ kind: fc.constant('local'), end: anyEnd, onOutDevice: fc.constant(false), is }),
    fc.record({
      kind: fc.constant('limit'),
      count: fc.integer({ min: 1, max: 100 }),
      per: fc.constantFrom('second', 'minute', 'hour', 'day'),
      burst: fc.integer({ min: 1, max: 100 }),
    }),
    fc
      .record(address)
      .chain((rest) =>
        fc
          .subarray([...NETS[rest.family]], { minLength: 1 })
          .map((nets): Match => ({ kind: 'nets', ...rest, prefixes: nets.map(cidr) })),
      ),
  ];
  if (sets.length > 0) {
    const asked = fc.record({ set: fc.constantFrom(...sets), end: anyEnd, is }).map(({ set, end, is }): Match => {
      const { family, part, kind } = set;
      return { kind: kind === 'ports' ? 'portSet' : 'set', end, family, set: set.set, part, is } as Match;
    });
    choices.push(asked, asked);
  }
  return fc.oneof(...choices);
}

const OWN_ACTIONS: Readonly<Record<TableName, readonly Action[]>> = {
  raw: [{ kind: 'notrack' }],
  mangle: [],
  nat: [
    { kind: 'dnat', to: ip('10.0.0.1') },
    { kind: 'dnat', to: ip('fd00::1') },
  ],
  filter: [
    { kind: 'reject' },
    { kind: 'log', prefix: 'calico-packet: "$x" ' },
    { kind: 'nflog', group: 2, prefix: 'DPI0|GlobalNetworkPolicy deny-all' },
  ],
};
const SOURCE_ACTIONS: readonly Action[] = [
  { kind: 'masquerade', ports: undefined },
  { kind: 'snat', to: ip('fd00::2'), ports: undefined },
  { kind: 'snat', to: ip('10.0.0.2'), ports: undefined },
];

/** Matches and what to do, in a chain that may go to `targets`. */
function anyRules(
  table: TableName,
  hook: HookName | undefined,
  sets: readonly ProgramSet[],
  targets: readonly string[],
) {
  const translations = table === 'nat' && hook === 'POSTROUTING' ? SOURCE_ACTIONS : OWN_ACTIONS[table];
  const actions = fc.oneof(
    fc.constantFrom<Action>({ kind: 'accept' }, { kind: 'return' }, ...translations),
    ...(table === 'nat' ? [] : [fc.constant<Action>({ kind: 'drop' })]),
    fc.record({ kind: fc.constant('mark'), set: fc.constantFrom(0, 0x10000), clear: fc.constantFrom(0, 0x30000) }),
    ...(targets.length === 0
      ? []
      : [fc.record({ kind: fc.constantFrom('jump', 'goto'), chain: fc.constantFrom(...targets) })]),
  ) as fc.Arbitrary<Action>;
  const words = fc.constantFrom('A rule', 'ü "};$x');
  const ruleOf = fc
    .tuple(fc.array(anyMatch(sets), { maxLength: 3 }), actions, words)
    .map(([matches, action, comment]) => rule(matches, action, comment));
  return fc.array(ruleOf, { maxLength: 4 });
}

const HOOKS: readonly (readonly [TableName, HookName])[] = [
  ['raw', 'PREROUTING'],
  ['raw', 'OUTPUT'],
  ['mangle', 'PREROUTING'],
  ['mangle', 'POSTROUTING'],
  ['nat', 'PREROUTING'],
  ['nat', 'OUTPUT'],
  ['nat', 'POSTROUTING'],
  ['filter', 'INPUT'],
  ['filter', 'FORWARD'],
  ['filter', 'OUTPUT'],
];

type Draft = Pick<Chain, 'table' | 'name' | 'hook'> & { readonly targets: readonly string[] };

function draftsOf(hooks: typeof HOOKS, plain: readonly string[], devices: readonly string[]): Draft[] {
  const later = (name: string) => plain.filter((other) => other > name);
  return [
    ...hooks.map(([table, hook]) => ({
      table,
      name: `cali-${hook}`,
      hook,
      targets: table === 'filter' ? [...plain, 'cali-from-wl-dispatch'] : [],
    })),
    ...plain.map((name): Draft => ({ table: 'filter', name, hook: undefined, targets: later(name) })),
    ...['a', 'b'].map((name): Draft => ({ table: 'raw', name: `cali-pi-gnp/${name}`, hook: undefined, targets: [] })),
    ...devices.map(
      (device): Draft => ({ table: 'filter', name: `cali-fw-${device}`, hook: undefined, targets: plain }),
    ),
  ];
}

export const anyProgram: fc.Arbitrary<FilterProgram> = fc
  .tuple(
    subset(HOOKS),
    subset(['cali-1', 'cali-pi-gnp/2', 'cali-pi-np/default/3', 'cali-4_x']),
    subset(DEVICES),
    anySets,
    fc.boolean(),
  )
  .chain(([hooks, plain, devices, sets, tail]) => {
    const chains = draftsOf(hooks, plain, devices).map(({ targets, ...draft }) =>
      anyRules(draft.table, draft.hook, sets, targets).map(
        (rules): Chain => ({
          ...draft,
          rules,
          ...(draft.hook !== undefined && tail && { hookRules: [rule([], { kind: 'accept' })] }),
        }),
      ),
    );
    return fc.tuple(...chains).map((all) => programOf([dispatchChain(), ...all], devices, sets));
  });

function dispatchChain(): Chain {
  return {
    table: 'filter',
    name: 'cali-from-wl-dispatch',
    hook: undefined,
    rules: [
      rule([], { kind: 'dispatch', direction: 'in', map: 'cali-from-wl' }),
      rule([], { kind: 'dispatch', direction: 'out', map: 'cali-to-wl' }),
      rule([], { kind: 'drop' }),
    ],
  };
}

/** Both maps lead from a device to "cali-fw-DEVICE". */
export function programOf(
  chains: readonly Chain[],
  devices: readonly string[],
  sets: readonly ProgramSet[],
): FilterProgram {
  const entries = new Map(devices.map((device) => [device, `cali-fw-${device}`]));
  return {
    chains: new Map(chains.map((chain) => [chainKey(chain), chain])),
    maps: new Map([
      ['cali-from-wl', entries],
      ['cali-to-wl', new Map(entries)],
    ]),
    sets: new Map(sets.map((set) => [setKey(set), set])),
  };
}

/** What a builder would tell that went from one to the other. */
export function changesBetween(before: FilterProgram, after: FilterProgram): ProgramChanges {
  return {
    chains: mapChanges(before.chains, after.chains),
    maps: new Map([...after.maps].map(([name, map]) => [name, mapChanges(before.maps.get(name) ?? new Map(), map)])),
    sets: new Map(
      [...mapChanges(before.sets, after.sets)].flatMap(([key, now]): [typeof key, ProgramSetChange][] => {
        const old = before.sets.get(key)?.members ?? new Set();
        const added = [...(now?.members ?? [])].filter((member) => !old.has(member));
        const removed = [...old].filter((member) => now !== undefined && !now.members.has(member));
        const isSame = now !== undefined && before.sets.has(key) && added.length + removed.length === 0;
        return isSame ? [] : [[key, { now, added, removed }]];
      }),
    ),
  };
}

function mapChanges<Key, Value>(before: ReadonlyMap<Key, Value>, after: ReadonlyMap<Key, Value>) {
  const changes = new Map<Key, Value | undefined>();
  for (const [key, value] of after) if (before.get(key) !== value) changes.set(key, value);
  for (const key of before.keys()) if (!after.has(key)) changes.set(key, undefined);
  return changes;
}
