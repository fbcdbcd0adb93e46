/**
 * Edits of nftables by netlink, on a real kernel: what they come to is what libnftables would have made, whole or not at all.
 *
 * One namespace is changed by netlink, another one in the same way by nft; what nft lists is compared. Everything is in
 * namespaces of this test's own.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import type {
  Action,
  Chain,
  ConntrackState,
  FilterProgram,
  Match,
  ProgramSet,
} from '../../src/felix/dataplane/filter/program.ts';
import { directEdits } from '../../src/felix/dataplane/nftables/direct.ts';
import { elementOf, printMember, readMembers } from '../../src/felix/dataplane/nftables/members.ts';
import { NFT_TABLE } from '../../src/felix/dataplane/nftables/names.ts';
import { planChanges, planFilter } from '../../src/felix/dataplane/nftables/plan.ts';
import {
  anyProgram,
  changesBetween,
  programOf,
  rule,
} from '../../src/felix/dataplane/nftables/random-program.suite.ts';
import { setId } from '../../src/felix/desired/policy.ts';
import { KernelError } from '../../src/kernel/kernel.ts';
import { addNamespace, inNamespace, namespacePath, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { type Nft, openNft } from '../../src/kernel/nft.ts';
import { type NftEdits, openNftEdits } from '../../src/kernel/nft-edits.ts';
import { NO_EDITS } from '../../src/net/table-edit.ts';
import { openNftablesBackend } from '../../src/node/filter/nftables-backend.ts';

const PREFIX = `muslin-test-edits-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

/** By name of the set, which says the type. */
const SETS = {
  a4: 'type ipv4_addr;',
  a6: 'type ipv6_addr;',
  n4: 'type ipv4_addr; flags interval;',
  n6: 'type ipv6_addr; flags interval;',
  p4: 'type ipv4_addr . inet_proto . inet_service;',
  p6: 'type ipv6_addr . inet_proto . inet_service;',
} as const;
type SetName = keyof typeof SETS;

interface Change {
  readonly set: SetName;
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

const TABLE = `add table inet muslin\ndelete table inet muslin\nadd table inet muslin\n${Object.entries(SETS)
  .map(([name, type]) => `add set inet muslin ${name} { ${type} }\n`)
  .join('')}`;

const STEPS: readonly (readonly [title: string, steps: readonly (readonly Change[])[]])[] = [
  [
    'single addresses',
    [
      [
        { set: 'a4', removed: [], added: ['10.0.0.1', '0.0.0.0', '255.255.255.255'] },
        { set: 'a6', removed: [], added: ['fd00::1', '::', '::102:304', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'] },
      ],
      [
        { set: 'a4', removed: ['10.0.0.1', '255.255.255.255'], added: ['10.0.0.2'] },
        { set: 'a6', removed: ['::'], added: [] },
      ],
      [{ set: 'a4', removed: ['10.0.0.2', '0.0.0.0'], added: [] }],
    ],
  ],
  [
    'addresses with ports',
    [
      [
        { set: 'p4', removed: [], added: ['10.0.0.1,tcp:80', '10.0.0.1,udp:80', '10.0.0.1,sctp:65535'] },
        { set: 'p6', removed: [], added: ['fd00::1,tcp:80', '::102:304,udp:1'] },
      ],
      [
        { set: 'p4', removed: ['10.0.0.1,udp:80'], added: ['10.0.0.2,udp:80'] },
        { set: 'p6', removed: ['fd00::1,tcp:80'], added: [] },
      ],
    ],
  ],
  [
    'prefixes: adjacent ones, the first and the last addresses, all there is',
    [
      [
        {
          set: 'n4',
          removed: [],
          added: ['10.128.0.0/9', '10.0.0.0/9', '11.0.0.0/8', '0.0.0.0/8', '255.255.255.0/24'],
        },
        { set: 'n6', removed: [], added: ['fd00::/8', 'ff00::/8', '::/128', '::1/128'] },
      ],
      [
        { set: 'n4', removed: ['10.0.0.0/9', '10.128.0.0/9'], added: ['10.0.0.0/8'] },
        { set: 'n6', removed: ['ff00::/8'], added: ['fe00::/8'] },
      ],
      [{ set: 'n4', removed: ['255.255.255.0/24'], added: ['255.255.255.255/32', '255.255.255.254/32'] }],
      [{ set: 'n4', removed: ['10.0.0.0/8'], added: ['10.0.0.0/9', '10.128.0.0/10', '10.192.0.0/16'] }],
      [
        {
          set: 'n4',
          removed: ['0.0.0.0/8', '10.0.0.0/9', '10.128.0.0/10', '10.192.0.0/16', '11.0.0.0/8', '255.255.255.255/32'],
          added: ['0.0.0.0/1', '128.0.0.0/2'],
        },
        { set: 'n6', removed: ['fd00::/8', 'fe00::/8', '::/128', '::1/128'], added: ['::/0'] },
      ],
      [
        { set: 'n4', removed: ['0.0.0.0/1', '128.0.0.0/2', '255.255.255.254/32'], added: ['0.0.0.0/0'] },
        { set: 'n6', removed: ['::/0'], added: ['8000::/1'] },
      ],
      [{ set: 'n4', removed: ['0.0.0.0/0'], added: ['255.255.255.254/31'] }],
    ],
  ],
];

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const MANY: Readonly<Record<SetName, readonly string[]>> = {
  a4: numbers(10_000).map((index) => `10.0.${index >> 8}.${index & 255}`),
  a6: numbers(10_000).map((index) => `fd00::1:${index.toString(16)}`),
  n4: numbers(10_000).map((index) => `10.${index >> 8}.${index & 255}.0/24`),
  n6: numbers(10_000).map((index) => `fd00:0:0:${(index + 1).toString(16)}::/64`),
  p4: numbers(10_000).map((index) => `10.0.0.1,tcp:${index}`),
  p6: numbers(10_000).map((index) => `fd00::1,udp:${index}`),
};

describe('set members by netlink', { skip }, () => {
  const opened: Record<'direct' | 'text', Nft> = {} as Record<'direct' | 'text', Nft>;
  let edits: NftEdits;

  before(() => {
    for (const name of ['direct', 'text'] as const) opened[name] = openNft(addNamespace(PREFIX + name));
    edits = openNftEdits(`/run/netns/${PREFIX}direct`);
  });

  after(() => {
    edits?.close();
    for (const name of ['direct', 'text'] as const) {
      opened[name]?.close();
      removeNamespace(PREFIX + name);
    }
  });

  beforeEach(() => {
    for (const nft of Object.values(opened)) nft.run(TABLE);
  });

  const change = (changes: readonly Change[]): void =>
    edits.change('muslin', {
      ...NO_EDITS,
      members: changes.map(({ set, removed, added }) => ({
        ...{ set, removed: removed.map(elementOf), added: added.map(elementOf) },
      })),
    });

  /** Members in nft's words, by set. */
  const listed = (nft: Nft): Record<string, string[]> => {
    const { nftables } = nft.listTable('inet muslin') as { nftables: { set?: { name: string; elem?: unknown[] } }[] };
    return Object.fromEntries(
      nftables.flatMap(({ set }) =>
        set === undefined ? [] : [[set.name, (set.elem ?? []).map((each) => JSON.stringify(each)).sort()] as const],
      ),
    );
  };

  const membersIn = (nft: Nft, name: SetName): string[] => {
    const { members, odd } = readMembers((listed(nft)[name] ?? []).map((each) => JSON.parse(each) as unknown));
    assert.equal(odd, false);
    return [...members].sort();
  };

  for (const [title, steps] of STEPS) {
    test(`${title}, as nft does it`, () => {
      for (const changes of steps) {
        change(changes);
        opened.text.run(changes.map(textOf).join(''));
        assert.deepEqual(listed(opened.direct), listed(opened.text));
      }
    });
  }

  test('10,000 members of each set come and go in one transaction each', (context) => {
    for (const [set, members] of Object.entries(MANY) as [SetName, readonly string[]][]) {
      const start = performance.now();
      change([{ set, removed: [], added: members }]);
      context.diagnostic(`${set}: ${(performance.now() - start).toFixed(0)} ms`);
      assert.deepEqual(membersIn(opened.direct, set), members.toSorted());
      change([{ set, removed: members.slice(1), added: [] }]);
      assert.deepEqual(membersIn(opened.direct, set), [members[0]]);
    }
    const everything = Object.entries(MANY).map(([set, added]) => ({ set: set as SetName, removed: [], added }));
    change(everything);
    assert.deepEqual(
      Object.entries(listed(opened.direct)).map(([, each]) => each.length),
      Object.keys(SETS).map(() => 10_000),
    );
  });

  const REFUSED: readonly (readonly [what: string, changes: readonly Change[], code: string, message: RegExp])[] = [
    [
      'a member that is not there',
      [
        { set: 'a4', removed: [], added: ['10.0.0.2'] },
        { set: 'n4', removed: ['10.9.0.0/16'], added: [] },
        { set: 'a6', removed: [], added: MANY.a6 },
      ],
      'ENOENT',
      /^set inet muslin n4: removing 10\.9\.0\.0\/16: ENOENT/,
    ],
    [
      'a prefix within another',
      [
        { set: 'a4', removed: ['10.0.0.1'], added: [] },
        { set: 'n4', removed: [], added: ['10.0.0.0/24'] },
      ],
      'EEXIST',
      /^set inet muslin n4: adding 10\.0\.0\.0\/24: E/,
    ],
    [
      'a set that is not there',
      [
        { set: 'a4', removed: ['10.0.0.1'], added: [] },
        { set: 'gone' as SetName, removed: [], added: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'] },
      ],
      'ENOENT',
      /^set inet muslin gone: adding 10\.0\.0\.1, 10\.0\.0\.2, 10\.0\.0\.3, … \(4\): ENOENT/,
    ],
  ];
  for (const [what, changes, code, message] of REFUSED) {
    test(`${what} has the whole refused, and nothing is changed`, () => {
      change([
        { set: 'a4', removed: [], added: ['10.0.0.1'] },
        { set: 'n4', removed: [], added: ['10.0.0.0/16'] },
      ]);
      const before = listed(opened.direct);
      assert.throws(
        () => change(changes),
        (error) => {
          assert.ok(error instanceof KernelError);
          assert.match(error.message, message);
          assert.ok(error.code === code || (code === 'EEXIST' && error.code === 'ENOTEMPTY'), error.code);
          return true;
        },
      );
      assert.deepEqual(listed(opened.direct), before);
      change([{ set: 'a4', removed: ['10.0.0.1'], added: ['10.0.0.9'] }]); // the socket is none the worse
      assert.deepEqual(membersIn(opened.direct, 'a4'), ['10.0.0.9']);
    });
  }

  test('adding what is there already is no error', () => {
    for (let time = 0; time < 2; time++) {
      change([
        { set: 'a4', removed: [], added: ['10.0.0.1'] },
        { set: 'n4', removed: [], added: ['10.0.0.0/16', '255.0.0.0/8'] },
        { set: 'p6', removed: [], added: ['fd00::1,tcp:80'] },
      ]);
    }
    assert.deepEqual(membersIn(opened.direct, 'n4'), ['10.0.0.0/16', '255.0.0.0/8']);
  });

  test('whatever comes and goes, the kernel has the members of the model', () => {
    // Leaves of a tree of prefixes: any of them that do not overlap may be in the set at once.
    const leaves = ['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '0.0.0.0/2', '64.0.0.0/2', '192.0.0.0/2', '255.0.0.0/8'];
    const few = ['10.0.0.0/32', '10.0.0.1/32', '10.0.0.2/31', '255.255.255.255/32', '0.0.0.0/32', '255.255.255.254/32'];
    const candidates: Readonly<Record<'n4' | 'a4' | 'p4', readonly string[]>> = {
      n4: [...leaves, ...few],
      a4: MANY.a4.slice(0, 8),
      p4: MANY.p4.slice(0, 8),
    };
    const wishes = fc.record({
      n4: fc.shuffledSubarray([...candidates.n4]),
      a4: fc.subarray([...candidates.a4]),
      p4: fc.subarray([...candidates.p4]),
    });
    fc.assert(
      fc.property(fc.array(wishes, { minLength: 1, maxLength: 8 }), (sequence) => {
        opened.direct.run(TABLE);
        const model: Record<'n4' | 'a4' | 'p4', readonly string[]> = { n4: [], a4: [], p4: [] };
        for (const wish of sequence) {
          const wanted = {
            ...wish,
            n4: wish.n4.reduce<string[]>((kept, each) => addUnlessOverlapping(kept, each), []),
          };
          const changes = (['n4', 'a4', 'p4'] as const).map((set) => ({
            set,
            removed: model[set].filter((each) => !wanted[set].includes(each)),
            added: wanted[set].filter((each) => !model[set].includes(each)),
          }));
          change(changes);
          Object.assign(model, wanted);
          for (const set of ['n4', 'a4', 'p4'] as const) {
            assert.deepEqual(membersIn(opened.direct, set), withoutHostLengths([...model[set]], set).sort());
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});

/** The chains that a plain rule may lead to, each to those behind it. */
const PLAIN_DEVICES = ['cali1', 'cali-2345678901'];
const PLAIN_CHAINS = [...PLAIN_DEVICES.map((device) => `cali-fw-${device}`), 'cali-pi-x', 'cali-pi-y'];

const anyPlainMatch: fc.Arbitrary<Match> = fc.oneof(
  fc.record({
    kind: fc.constant('protocol'),
    protocol: fc.constantFrom(1, 4, 6, 17, 58, 132, 255),
    is: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('conntrack'),
    states: fc.subarray<ConntrackState>(['new', 'established', 'related', 'invalid', 'untracked'], { minLength: 1 }),
    is: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('mark'), bits: fc.constantFrom(0x10000, 0x20000, 0x80000000), is: fc.boolean() }),
);

const anyPlainAction = (targets: readonly string[]): fc.Arbitrary<Action> =>
  fc.oneof(
    fc.record({ kind: fc.constantFrom('accept', 'drop', 'return') }),
    fc.record({
      kind: fc.constant('mark'),
      set: fc.constantFrom(0, 0x10000, 0x80000000),
      clear: fc.constantFrom(0x20000, 0xff000000),
    }),
    fc.record({ kind: fc.constant('mark'), set: fc.constant(0x10000), clear: fc.constant(0) }),
    fc.record({
      kind: fc.constant('nflog'),
      group: fc.constantFrom(1, 2, 65535),
      prefix: fc.constantFrom('DRE|', 'API0|ns/web', 'x'.repeat(127)),
    }),
    ...(targets.length === 0
      ? []
      : [fc.record({ kind: fc.constantFrom('jump', 'goto'), chain: fc.constantFrom(...targets) })]),
  );

/** Programs of plain chains alone, some of which devices lead to. */
const anyPlainProgram: fc.Arbitrary<FilterProgram> = fc
  .subarray(PLAIN_CHAINS)
  .chain((names) =>
    fc.tuple(
      fc.tuple(
        ...names.map((name, index) =>
          fc
            .array(
              fc
                .tuple(fc.array(anyPlainMatch, { maxLength: 3 }), anyPlainAction(names.slice(index + 1)))
                .map(([matches, action]) => rule(matches, action, `Of ${name}`)),
              { maxLength: 5 },
            )
            .map((rules): Chain => ({ table: 'filter', name, hook: undefined, rules })),
        ),
      ),
      fc.subarray(PLAIN_DEVICES.filter((device) => names.includes(`cali-fw-${device}`))),
    ),
  )
  .map(([chains, devices]) => programOf(chains, devices, []));

describe('chains and dispatches by netlink', { skip }, () => {
  test('plain rules are what nft makes of their text, whatever comes, changes and goes', () => {
    const [direct, text] = [`${PREFIX}plain-direct`, `${PREFIX}plain-text`];
    const [backend, nft] = [openNftablesBackend(addNamespace(direct)), openNft(addNamespace(text))];
    let edited = 0;
    try {
      fc.assert(
        fc.property(fc.array(anyPlainProgram, { minLength: 2, maxLength: 6 }), ([first, ...rest]) => {
          let current = first!;
          backend.apply(current, undefined);
          nft.run(planFilter(current, nft.listTable(NFT_TABLE)).script);
          for (const next of rest) {
            const changes = changesBetween(current, next);
            const edits = directEdits(changes);
            // Two protocols are no packet's: then the rule is left to nft, which leaves it out.
            if (edits !== undefined) edited += 1;
            backend.apply(next, changes);
            nft.run(planChanges(changes).script);
            current = next;
            for (const format of [[], ['--debug=netlink']]) {
              assert.equal(listing(direct, format), listing(text, format));
            }
          }
        }),
        { numRuns: 60 },
      );
      assert.ok(edited > 30, `only ${edited} changes went past nft`);
    } finally {
      backend.close();
      nft.close();
      for (const name of [direct, text]) removeNamespace(name);
    }
  });
});

/** The ruleset of a namespace as nft prints it; the numbers of rules and the order of hash tables left out. */
function listing(name: string, options: readonly string[]): string {
  const output = inNamespace(namespacePath(name), () =>
    execFileSync('nft', [...options, '-s', 'list', 'ruleset'], { encoding: 'utf8' }),
  );
  const [elements, rules]: [string[], string[]] = [[], []];
  for (const line of output.split('\n'))
    (line.includes('element') ? elements : rules).push(line.replace(/ \d+ \d+$/, ''));
  return [...rules, ...elements.sort()].join('\n');
}

describe('the nftables backend', { skip }, () => {
  let path: string;

  before(() => {
    path = addNamespace(`${PREFIX}backend`);
  });
  after(() => removeNamespace(`${PREFIX}backend`));

  test('whatever sets come, change and go, the kernel has the program, and nothing of it is taken for somebody else’s', async () => {
    const backend = openNftablesBackend(path);
    const nft = openNft(path);
    const told: string[] = [];
    backend.watch((by) => told.push(by));
    try {
      fc.assert(
        fc.property(fc.array(anyProgram, { minLength: 2, maxLength: 6 }), ([first, ...rest]) => {
          let current = setsOf(first!);
          backend.apply(current, undefined);
          for (const each of rest) {
            const next = setsOf(each);
            backend.apply(next, changesBetween(current, next));
            current = next;
            assert.equal(planFilter(current, nft.listTable(NFT_TABLE)).script, '');
          }
        }),
        { numRuns: 40 },
      );
      await turns();
      assert.deepEqual(told, []);
    } finally {
      nft.close();
      backend.close();
    }
  });

  const ADDRESSES: ProgramSet = {
    ...{ set: setId('s:a'), family: 4, part: 'addresses', kind: 'nets' },
    members: new Set(['10.0.0.1']),
  };
  const withMembers = (...members: string[]): FilterProgram =>
    programOf([], [], [{ ...ADDRESSES, members: new Set(members) }]);

  test('a new set without members, its first one, another, none at all', async () => {
    const backend = openNftablesBackend(path);
    const nft = openNft(path);
    const told: string[] = [];
    backend.watch((by) => told.push(by));
    try {
      let current = programOf([], [], []);
      backend.apply(current, undefined);
      for (const members of [[], ['10.0.0.1'], ['10.0.0.2', '10.0.0.3'], [], ['10.0.0.1']]) {
        const next = withMembers(...members);
        backend.apply(next, changesBetween(current, next));
        current = next;
        assert.equal(planFilter(current, nft.listTable(NFT_TABLE)).script, '');
      }
      await turns();
      assert.deepEqual(told, []);
    } finally {
      nft.close();
      backend.close();
    }
  });

  test('a change to a table that is not as it was is refused, and mended by a reading', () => {
    const backend = openNftablesBackend(path);
    const nft = openNft(path);
    try {
      backend.apply(withMembers('10.0.0.1', '10.0.0.2'), undefined);
      nft.run('delete element inet muslin cali40s-a { 10.0.0.1 }\n');
      const fewer = withMembers('10.0.0.2');
      const changes = changesBetween(withMembers('10.0.0.1', '10.0.0.2'), fewer);
      assert.throws(() => backend.apply(fewer, changes), { name: 'KernelError', code: 'ENOENT' });
      backend.apply(withMembers('10.0.0.3'), undefined);
      assert.equal(planFilter(withMembers('10.0.0.3'), nft.listTable(NFT_TABLE)).script, '');
    } finally {
      nft.close();
      backend.close();
    }
  });
});

/** Events that are there are read meanwhile. */
async function turns(): Promise<void> {
  for (let count = 0; count < 10; count++) await new Promise((resolve) => setImmediate(resolve));
}

/** The program without anything but its sets. */
function setsOf({ sets }: FilterProgram): FilterProgram {
  return programOf([], [], [...sets.values()]);
}

function textOf({ set, removed, added }: Change): string {
  const line = (verb: string, members: readonly string[]): string =>
    members.length === 0 ? '' : `${verb} element inet muslin ${set} { ${members.map(printMember).join(', ')} }\n`;
  return line('delete', removed) + line('add', added);
}

function addUnlessOverlapping(kept: string[], text: string): string[] {
  const [begin, end] = rangeOf(text);
  const overlaps = kept.map(rangeOf).some(([otherBegin, otherEnd]) => begin <= otherEnd && otherBegin <= end);
  return overlaps ? kept : [...kept, text];
}

function rangeOf(text: string): [number, number] {
  const [address = '', length] = text.split('/');
  const begin = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  return [begin, begin + 2 ** (32 - Number(length)) - 1];
}

/** nft lists a prefix of one address as the address. */
function withoutHostLengths(members: string[], set: string): string[] {
  return set === 'n4' ? members.map((member) => member.replace(/\/32$/, '')) : members;
}
