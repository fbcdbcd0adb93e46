import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import { buildFilterProgram } from '../filter/build.ts';
import { planFilter, planFilterAfter } from './plan.ts';

function endpoint(name: string, ...addresses: string[]): DesiredEndpoint {
  const provenance = { origin: `WorkloadEndpoint default/${name}` };
  return { id: name, deviceName: `cali${name}`, addresses: addresses.map(cidr), provenance };
}

const A = endpoint('a1', '172.17.8.2/32');
const B = endpoint('b2', '172.17.8.3/32', 'fd00:17::3/128');
const C = endpoint('c3', '172.17.8.4/32', '172.17.8.5/32', 'fd00:17::4/128', 'fd00:17::5/128');

const read = (file: string) => readFileSync(new URL(`testdata/${file}`, import.meta.url), 'utf8');
/** As nft 1.0.6 lists the table of A, B and C. */
const listing: unknown = JSON.parse(read('three-endpoints.json'));

for (const [name, endpoints] of [
  ['no-endpoints', []],
  ['one-endpoint', [A]],
  ['three-endpoints', [A, B, C]],
] as const) {
  test(`the table for ${name} is the golden one`, () => {
    const file = `${name}.nft`;
    const { script } = planFilter(buildFilterProgram(endpoints), undefined);
    if (process.env.UPDATE_GOLDEN) writeFileSync(new URL(`testdata/${file}`, import.meta.url), script);
    assert.equal(script, read(file));
  });
}

test('what nft lists of the golden table needs no change', () => {
  const plan = planFilter(buildFilterProgram([C, A, B]), listing);
  assert.deepEqual([plan.script, plan.changes], ['', 0]);
});

test('a container that goes and one that changes its address touch only their own', () => {
  const moved = { ...B, addresses: [cidr('172.17.8.9/32'), cidr('fd00:17::3/128')] };
  const plan = planFilter(buildFilterProgram([B, C].map((each) => (each === B ? moved : each))), listing);
  assert.equal(plan.changes, 5);
  const words = plan.script
    .split('\n')
    .map((line) => line.replace(/ (counter|saddr) .*/, ' …').replace(' inet muslin', ''));
  assert.deepEqual(words, [
    'flush chain cali-fw-calib2',
    'add rule cali-fw-calib2 icmpv6 type 134 …',
    'add rule cali-fw-calib2 ip …',
    'add rule cali-fw-calib2 ip6 …',
    'add rule cali-fw-calib2 meta l4proto 4 …',
    'add rule cali-fw-calib2 udp dport 4789 …',
    'add rule cali-fw-calib2 ct state established,related …',
    'add rule cali-fw-calib2 ct state invalid …',
    'delete element cali-from-wl { "calia1" }',
    'delete element cali-to-wl { "calia1" }',
    'flush chain cali-fw-calia1',
    'flush chain cali-tw-calia1',
    'delete chain cali-fw-calia1',
    'delete chain cali-tw-calia1',
    '',
  ]);
});

test('going on from the last plan is the same as going on from its listing', () => {
  const first = planFilter(buildFilterProgram([A, B, C]), undefined);
  for (const next of [[A, B, C], [A, B], [A, B, C, endpoint('d4', '172.17.8.6/32')], []]) {
    const program = buildFilterProgram(next);
    assert.deepEqual(planFilterAfter(first, program), planFilter(program, listing));
  }
});

test('words of people that nft would take for its own are defused', () => {
  const hostile = { ...A, provenance: { origin: 'WorkloadEndpoint "}; flush ruleset\n# é\\' } };
  const { script } = planFilter(buildFilterProgram([hostile]), undefined);
  const comment = script.split('\n').find((line) => line.includes('l4proto'));
  assert.match(comment ?? '', /IPIP from a workload \(WorkloadEndpoint \?}; flush ruleset\?# \?\?\)"$/);
});

test('a comment never exceeds what the kernel keeps', () => {
  const long = { ...A, provenance: { origin: 'x'.repeat(1000) } };
  const { script } = planFilter(buildFilterProgram([long]), undefined);
  const lengths = [...script.matchAll(/comment "([^"]*)"/g)].map(([, comment]) => comment!.length);
  assert.equal(Math.max(...lengths), 127);
});
