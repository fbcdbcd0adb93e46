import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Family } from '../../../net/ip.ts';
import type { SetKind } from '../../desired/policy.ts';
import { setId } from '../../desired/policy.ts';
import type { ProgramSet } from '../filter/program.ts';
import { changeSet, parseIpsetSave, reconcileSet, setName } from './ipset.ts';

const SAVED = `create others hash:ip family inet hashsize 1024 maxelem 65536
add others 10.0.0.1
create cali40s:x hash:net family inet hashsize 1024 maxelem 1048576 bucketsize 12 initval 0xb75926c1
add cali40s:x 10.0.0.0/8
add cali40s:x 1.2.3.4
create cali60n:x hash:ip,port family inet6 hashsize 64 maxelem 1048576
add cali60n:x ::1.2.3.4,tcp:80
add cali60n:x ::ffff:1.2.3.4,tcp:80
create cali4t0 hash:net family inet hashsize 1024 maxelem 1048576 timeout 60
add cali4t0 1.2.3.4 timeout 59
`;

test('sets of ours are read, in our way to write addresses', () => {
  const sets = [...parseIpsetSave(SAVED)].map(([name, { type, options, members }]) => [
    name,
    type,
    options,
    ...members,
  ]);
  assert.deepEqual(sets, [
    ['cali40s:x', 'hash:net', 'family inet maxelem 1048576', '10.0.0.0/8', '1.2.3.4'],
    ['cali60n:x', 'hash:ip,port', 'family inet6 maxelem 1048576', '::102:304,tcp:80', '::ffff:1.2.3.4,tcp:80'],
    ['cali4t0', 'hash:net', 'family inet maxelem 1048576 timeout 60', '1.2.3.4 timeout 59'],
  ]);
});

function wanted(members: readonly string[], kind: SetKind = 'nets', family: Family = 4): ProgramSet {
  return { set: setId('s:x'), family, part: 'all', kind, members: new Set(members) };
}

function saved(create: string, ...members: string[]): string {
  return [`create cali40s:x ${create}`, ...members.map((member) => `add cali40s:x ${member}`)].join('\n');
}

const NET = 'hash:net family inet maxelem 1048576';
const MANY = Array.from({ length: 600 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
const OTHERS = MANY.map((member) => member.replace('10.', '11.'));
const swapOf = (...members: string[]) => [
  `create cali4t0 ${NET}`,
  ...members.map((member) => `add cali4t0 ${member}`),
  'swap cali4t0 NAME',
  'destroy cali4t0',
];

/** What is there, what is wanted, commands before and after the rules. */
const reconciled: readonly [string, string, ProgramSet, string[], string[]][] = [
  ['equal', saved(NET, '1.2.3.4'), wanted(['1.2.3.4']), [], []],
  [
    'missing',
    '',
    wanted(['1.2.3.4', '5.0.0.0/8']),
    [`create NAME ${NET}`, 'add NAME 1.2.3.4', 'add NAME 5.0.0.0/8'],
    [],
  ],
  [
    'missing, of ports',
    '',
    wanted(['1.2.3.4,tcp:80'], 'ports'),
    ['create NAME hash:ip,port family inet maxelem 1048576', 'add NAME 1.2.3.4,tcp:80'],
    [],
  ],
  [
    'members differ',
    saved(NET, '1.2.3.4', '1.1.1.1'),
    wanted(['1.1.1.1', '5.0.0.0/8']),
    ['add NAME 5.0.0.0/8'],
    ['del NAME 1.2.3.4'],
  ],
  ['everything, as two halves', saved(NET, '0.0.0.0/1'), wanted(['0.0.0.0/0']), ['add NAME 128.0.0.0/1'], []],
  ['other options', saved('hash:net family inet maxelem 9', '1.2.3.4'), wanted(['1.2.3.4']), swapOf('1.2.3.4'), []],
  ['a prefix excluded', saved(NET, '1.2.3.4', '1.2.3.0/24 nomatch'), wanted(['1.2.3.4']), swapOf('1.2.3.4'), []],
  ['all differ, and many', saved(NET, ...MANY), wanted(OTHERS), swapOf(...OTHERS), []],
  [
    'another type',
    saved('hash:ip family inet maxelem 1048576', '9.9.9.9'),
    wanted(['1.2.3.4']),
    ['destroy NAME', `create NAME ${NET}`, 'add NAME 1.2.3.4'],
    [],
  ],
  [
    'another family',
    saved('hash:net family inet6 maxelem 1048576'),
    wanted([]),
    ['destroy NAME', `create NAME ${NET}`],
    [],
  ],
];

for (const [what, there, set, before, after] of reconciled) {
  test(`a set is there: ${what}`, () => {
    const name = setName(set);
    const commands = reconcileSet(set, parseIpsetSave(there).get(name));
    const named = (lines: string[]) => lines.map((line) => line.replace('NAME', name));
    assert.deepEqual(commands, { before: named(before), after: named(after) });
  });
}

const changed: readonly [string, readonly string[] | undefined, string[], string[], boolean, string[], string[]][] = [
  ['comes', ['1.2.3.4'], ['1.2.3.4'], [], true, [`create NAME ${NET}`, 'add NAME 1.2.3.4'], []],
  ['goes', undefined, [], ['1.2.3.4'], false, [], ['flush NAME', 'destroy NAME']],
  ['gains and loses', ['2.2.2.2'], ['2.2.2.2'], ['1.1.1.1'], false, ['add NAME 2.2.2.2'], ['del NAME 1.1.1.1']],
  [
    'everything goes, half of it stays',
    ['0.0.0.0/1'],
    ['0.0.0.0/1'],
    ['0.0.0.0/0'],
    false,
    ['add NAME 0.0.0.0/1'],
    ['del NAME 128.0.0.0/1'],
  ],
  [
    'half of all goes, everything comes',
    ['0.0.0.0/0'],
    ['0.0.0.0/0'],
    ['0.0.0.0/1'],
    false,
    ['add NAME 0.0.0.0/1', 'add NAME 128.0.0.0/1'],
    [],
  ],
  ['many come', MANY, MANY, [], false, MANY.map((member) => `add NAME ${member}`), []],
  ['many go', [], [], MANY, false, swapOf(), []],
];

for (const [what, members, added, removed, isNew, before, after] of changed) {
  test(`a set changes: ${what}`, () => {
    const now = members === undefined ? undefined : wanted(members);
    const commands = changeSet('cali40s:x', { now, added, removed }, isNew);
    const named = (lines: string[]) => lines.map((line) => line.replace('NAME', 'cali40s:x'));
    assert.deepEqual(commands, { before: named(before), after: named(after) });
  });
}
