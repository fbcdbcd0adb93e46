import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setId } from '../../desired/policy.ts';
import type { Action, Chain, FilterProgram, Match, ProgramChanges, ProgramSet, Rule } from '../filter/program.ts';
import { chainKey, setKey } from '../filter/program.ts';
import type { IptablesListing, IptablesPlan } from './plan.ts';
import { IptablesPlanner, removalPlan } from './plan.ts';

const NOTHING: IptablesListing = { rules: { 4: '', 6: '' }, sets: '' };
const SET: ProgramSet = { set: setId('s:x'), family: 4, part: 'all', kind: 'nets', members: new Set(['10.0.0.1']) };
const IN_SET: Match = { kind: 'set', end: 'source', family: 4, set: SET.set, part: 'all', is: true };

function rule(action: Action, ...matches: Match[]): Rule {
  return { matches, action, comment: '', provenance: undefined, origin: undefined };
}

const DROP = rule({ kind: 'drop' });
const FORWARD: Chain = {
  table: 'filter',
  name: 'cali-FORWARD',
  hook: 'FORWARD',
  rules: [rule({ kind: 'jump', chain: 'cali-from-wl-dispatch' })],
  hookRules: [rule({ kind: 'accept' }, { kind: 'mark', bits: 1, is: true })],
};
const DISPATCH: Chain = {
  table: 'filter',
  name: 'cali-from-wl-dispatch',
  hook: undefined,
  rules: [rule({ kind: 'dispatch', direction: 'in', map: 'cali-from-wl' }), DROP],
};
const USER: Chain = { table: 'filter', name: 'cali-a', hook: undefined, rules: [rule({ kind: 'drop' }, IN_SET)] };
const POSTROUTING: Chain = { table: 'nat', name: 'cali-POSTROUTING', hook: 'POSTROUTING', rules: [] };

function programOf(
  chains: readonly Chain[],
  devices: readonly string[],
  sets: readonly ProgramSet[] = [],
): FilterProgram {
  return {
    chains: new Map(chains.map((each) => [chainKey(each), each])),
    maps: new Map([['cali-from-wl', new Map(devices.map((name) => [name, `cali-fw-${name}`]))]]),
    sets: new Map(sets.map((each) => [setKey(each), each])),
  };
}

function changes(change: Partial<ProgramChanges>): ProgramChanges {
  return { chains: new Map(), maps: new Map(), sets: new Map(), ...change };
}

/** Each step's program and lines, rules without their comments. */
function words({ steps }: IptablesPlan): string[] {
  return steps.flatMap(({ program, input }) => [
    `${program}:`,
    ...input
      .replaceAll(/ -m comment --comment "[^"]*"/g, '')
      .split('\n')
      .slice(0, -1),
  ]);
}

function plannerFor(program: FilterProgram, insertMode: 'insert' | 'append' = 'insert'): [IptablesPlanner, string[]] {
  const planner = new IptablesPlanner({ families: [4, 6], insertMode });
  const plan = planner.plan(program, undefined, NOTHING);
  planner.applied();
  return [planner, words(plan)];
}

test('sets come first, then each family with its tables in order', () => {
  const [, lines] = plannerFor(programOf([FORWARD, DISPATCH, USER, POSTROUTING], ['cali1'], [SET]));
  assert.deepEqual(lines, [
    'ipset:',
    'create cali40s:x hash:net family inet maxelem 1048576',
    'add cali40s:x 10.0.0.1',
    ...[4, 6].flatMap((family) => [
      family === 4 ? 'iptables-restore:' : 'ip6tables-restore:',
      '*nat',
      ':cali-POSTROUTING - [0:0]',
      '-A POSTROUTING -j cali-POSTROUTING',
      'COMMIT',
      '*filter',
      ':cali-FORWARD - [0:0]',
      ':cali-from-wl-dispatch - [0:0]',
      ':cali-a - [0:0]',
      '-A cali-FORWARD -j cali-from-wl-dispatch',
      '-A cali-from-wl-dispatch -i cali1 -g cali-fw-cali1',
      '-A cali-from-wl-dispatch -j DROP',
      ...(family === 4 ? ['-A cali-a -m set --match-set cali40s:x src -j DROP'] : []),
      '-I FORWARD 1 -j cali-FORWARD',
      '-A FORWARD -m mark --mark 0x1/0x1 -j ACCEPT',
      'COMMIT',
    ]),
  ]);
});

test('jumps go to the end where the operator wishes so, before the rules of the end', () => {
  const [, lines] = plannerFor(programOf([FORWARD, { ...DISPATCH, rules: [DROP] }], []), 'append');
  assert.deepEqual(lines.filter((line) => line.includes(' FORWARD ')).slice(0, 2), [
    '-A FORWARD -j cali-FORWARD',
    '-A FORWARD -m mark --mark 0x1/0x1 -j ACCEPT',
  ]);
});

/** One after the other, each from what the one before has left; the lines for IPv4. */
const steps: readonly [string, FilterProgram, ProgramChanges, string[]][] = [
  [
    'a second device makes a branch',
    programOf([FORWARD, DISPATCH], ['calia1', 'calia2', 'calib1']),
    changes({ maps: new Map([['cali-from-wl', new Map([['calia2', 'cali-fw-calia2']])]]) }),
    [
      ':cali-from-wl-dispatch-a - [0:0]',
      '-F cali-from-wl-dispatch',
      '-A cali-from-wl-dispatch -i calia+ -g cali-from-wl-dispatch-a',
      '-A cali-from-wl-dispatch -i calib1 -g cali-fw-calib1',
      '-A cali-from-wl-dispatch -j DROP',
      '-A cali-from-wl-dispatch-a -i calia1 -g cali-fw-calia1',
      '-A cali-from-wl-dispatch-a -i calia2 -g cali-fw-calia2',
      '-A cali-from-wl-dispatch-a -j DROP',
    ],
  ],
  [
    'another device touches its branch alone',
    programOf([FORWARD, DISPATCH], ['calia1', 'calia2', 'calia3', 'calib1']),
    changes({ maps: new Map([['cali-from-wl', new Map([['calia3', 'cali-fw-calia3']])]]) }),
    ['-R cali-from-wl-dispatch-a 3 -i calia3 -g cali-fw-calia3', '-A cali-from-wl-dispatch-a -j DROP'],
  ],
  [
    'the branch goes with its devices',
    programOf([FORWARD, DISPATCH], ['calib1']),
    changes({ maps: new Map([['cali-from-wl', new Map([['calia1', undefined]])]]) }),
    [
      '-F cali-from-wl-dispatch',
      '-A cali-from-wl-dispatch -i calib1 -g cali-fw-calib1',
      '-A cali-from-wl-dispatch -j DROP',
      '-F cali-from-wl-dispatch-a',
      '-X cali-from-wl-dispatch-a',
    ],
  ],
  [
    'a chain that is made anew as it was is not written',
    programOf([{ ...FORWARD }, DISPATCH], ['calib1']),
    changes({ chains: new Map([['filter cali-FORWARD', { ...FORWARD }]]) }),
    [],
  ],
  [
    'a hook goes, with the rules at the end',
    programOf([DISPATCH], ['calib1']),
    changes({ chains: new Map([['filter cali-FORWARD', undefined]]) }),
    ['-D FORWARD -j cali-FORWARD', '-D FORWARD -m mark --mark 0x1/0x1 -j ACCEPT', '-F cali-FORWARD', '-X cali-FORWARD'],
  ],
];

test('from plan to plan only what changed is touched', () => {
  const [planner] = plannerFor(programOf([FORWARD, DISPATCH], ['calia1', 'calib1']));
  for (const [what, program, change, lines] of steps) {
    const plan = planner.plan(program, change, undefined);
    planner.applied();
    const filter = lines.length === 0 ? [] : ['*filter', ...lines, 'COMMIT'];
    const expected = filter.length === 0 ? [] : ['iptables-restore:', ...filter, 'ip6tables-restore:', ...filter];
    assert.deepEqual(words(plan), expected, what);
  }
});

test('after a failure, and at first, a plan needs a listing', () => {
  const program = programOf([], []);
  const fresh = new IptablesPlanner({ families: [4], insertMode: 'insert' });
  assert.throws(() => fresh.plan(program, changes({}), undefined), { name: 'AssertionFailed' });
  const [planner] = plannerFor(program);
  planner.plan(program, changes({}), undefined);
  assert.throws(() => planner.plan(program, changes({}), undefined), { name: 'AssertionFailed' });
  planner.plan(program, undefined, NOTHING);
  planner.failed();
  assert.throws(() => planner.plan(program, changes({}), undefined), { name: 'AssertionFailed' });
});

test('rules let go of a set of the wrong type before it is made anew', () => {
  const program = programOf([USER], [], [SET]);
  const planner = new IptablesPlanner({ families: [4], insertMode: 'insert' });
  // The rule itself is the right one.
  const input = planner
    .plan(program, undefined, NOTHING)
    .steps.find((step) => step.program === 'iptables-restore')?.input;
  const listing = { rules: { 4: input, 6: undefined }, sets: 'create cali40s:x hash:ip family inet\n' };
  assert.deepEqual(words(planner.plan(program, undefined, listing)), [
    'iptables-restore:',
    '*filter',
    '-R cali-a 1 -j DROP',
    'COMMIT',
    'ipset:',
    'destroy cali40s:x',
    'create cali40s:x hash:net family inet maxelem 1048576',
    'add cali40s:x 10.0.0.1',
    'iptables-restore:',
    '*filter',
    '-F cali-a',
    '-A cali-a -m set --match-set cali40s:x src -j DROP',
    'COMMIT',
  ]);
});

test('a temporary set that was left is gone before its name is used again', () => {
  const planner = new IptablesPlanner({ families: [4], insertMode: 'insert' });
  const sets = 'create cali40s:x hash:net family inet maxelem 9\ncreate cali4t0 hash:ip family inet\n';
  assert.deepEqual(words(planner.plan(programOf([], [], [SET]), undefined, { ...NOTHING, sets })), [
    'ipset:',
    'flush cali4t0',
    'destroy cali4t0',
    'create cali4t0 hash:net family inet maxelem 1048576',
    'add cali4t0 10.0.0.1',
    'swap cali4t0 cali40s:x',
    'destroy cali4t0',
  ]);
});

test('removal takes away what is ours and names nothing else', () => {
  const rules = [
    '*filter',
    ':FORWARD ACCEPT [0:0]',
    ':DOCKER - [0:0]',
    ':cali-a - [0:0]',
    '-A FORWARD -j DOCKER',
    '-A FORWARD -j cali-a',
    '-A cali-a -j DROP',
    'COMMIT',
    '',
  ].join('\n');
  const sets = 'create cali40s:x hash:ip family inet\ncreate others hash:ip family inet\n';
  assert.deepEqual(words(removalPlan({ rules: { 4: rules, 6: undefined }, sets })), [
    'iptables-restore:',
    '*filter',
    '-D FORWARD -j cali-a',
    '-F cali-a',
    '-X cali-a',
    'COMMIT',
    'ipset:',
    'flush cali40s:x',
    'destroy cali40s:x',
  ]);
  assert.deepEqual(removalPlan(NOTHING), { steps: [], changes: 0 });
});
