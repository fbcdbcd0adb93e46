import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../lib/prng.ts';
import { cidr } from '../../../net/cidr.ts';
import { formatIp } from '../../../net/ip.ts';
import { Calculation } from '../calculation.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from '../calculation-settings.ts';
import type { Step } from '../states.suite.ts';
import { toldInVain, WAYS } from '../states.suite.ts';
import type { Fact } from './policy-states.suite.ts';
import { Collected, fact, tell } from './policy-states.suite.ts';
import { SERVICE_ADDRESSES_MAX, SERVICE_BACKENDS_MAX } from './services.ts';

const ANNOTATION = 'muslin.io/service-addresses';
const EXCLUDED = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };

/** Of host-a unless told otherwise; `addresses` are its own. */
function container(name: string, addresses: string, services: unknown, node = 'host-a'): Fact {
  const ipNetworks = addresses.split(' ').map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
  const annotations = { [ANNOTATION]: typeof services === 'string' ? services : JSON.stringify(services) };
  const spec = { node, interfaceName: `cali${name}`, ipNetworks };
  return fact('WorkloadEndpoint', `default/${name}`, spec, { annotations });
}

function labelled(name: string, address: string, label: string): Fact {
  const spec = { node: 'host-a', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`] };
  const meta = { labels: { 'muslin.io/service-address': label }, annotations: { [ANNOTATION]: '["203.0.113.10"]' } };
  return fact('WorkloadEndpoint', `default/${name}`, spec, meta);
}

function ranges(...texts: string[]): Fact {
  return { settings: { ...CALCULATION_SETTINGS_DEFAULTS, floatingIps: true, serviceRanges: texts.map(cidr) } };
}

const pool = (cidrText: string, more = {}) =>
  fact('IPPool', `p-${cidrText.replaceAll(/[^0-9a-f]/g, '-')}`, {
    cidr: cidrText,
    allowedUses: ['LoadBalancer'],
    ...more,
  });
const node = (labels: Record<string, string>) => fact('Node', 'host-a', {}, { labels });
const many = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

const POOL = pool('203.0.113.0/24');
const ANNOUNCED = ranges('203.0.113.0/24');
const WEB = ['203.0.113.10'];

/** Resources, and what must follow from them of services, their routes and announcements. */
const CASES: readonly (readonly [name: string, facts: readonly Fact[], expected: readonly string[]])[] = [
  [
    'several containers here, in order of their addresses; the route leads to the first',
    [POOL, ANNOUNCED, container('a', '10.0.0.10', WEB), container('b', '10.0.0.9', WEB)],
    ['announce 203.0.113.10/32', 'route 203.0.113.10/32 calib', 'service 203.0.113.10 here: 10.0.0.9 10.0.0.10'],
  ],
  [
    'a host with containers of its own needs no others',
    [POOL, ANNOUNCED, container('a', '10.0.0.2', WEB), container('b', '10.0.0.1', WEB, 'host-b')],
    ['announce 203.0.113.10/32', 'route 203.0.113.10/32 calia', 'service 203.0.113.10 here: 10.0.0.2'],
  ],
  [
    'a host without any knows the others’, and announces nothing',
    [POOL, ANNOUNCED, container('a', '10.0.0.2', WEB, 'host-c'), container('b', '10.0.0.1', WEB, 'host-b')],
    ['service 203.0.113.10 elsewhere: 10.0.0.1 10.0.0.2'],
  ],
  [
    'both families, each to the address of its own',
    [
      ...[POOL, pool('2001:db8::/64'), ranges('203.0.113.0/24', '2001:db8::/64')],
      container('a', '10.0.0.1 fd00::1', ['203.0.113.10', '2001:db8::a', '2001:db8:0::a']),
    ],
    [
      'announce 2001:db8::a/128',
      'announce 203.0.113.10/32',
      'route 2001:db8::a/128 calia',
      'route 203.0.113.10/32 calia',
      'service 2001:db8::a here: fd00::1',
      'service 203.0.113.10 here: 10.0.0.1',
    ],
  ],
  ['a family that the container has not', [POOL, container('a', 'fd00::1', WEB)], []],
  ['no pool has the address', [pool('203.0.113.128/25'), ANNOUNCED, container('a', '10.0.0.1', WEB)], []],
  [
    'a pool of containers’ addresses is none for services',
    [pool('203.0.113.0/24', { allowedUses: ['Workload'] }), ANNOUNCED, container('a', '10.0.0.1', WEB)],
    [],
  ],
  [
    'what is in no range is served, but not announced',
    [POOL, ranges('203.0.113.11/32', '198.51.100.0/24'), container('a', '10.0.0.1', WEB)],
    ['route 203.0.113.10/32 calia', 'service 203.0.113.10 here: 10.0.0.1'],
  ],
  [
    'without ranges nothing is announced',
    [POOL, container('a', '10.0.0.1', WEB)],
    ['route 203.0.113.10/32 calia', 'service 203.0.113.10 here: 10.0.0.1'],
  ],
  [
    'a node that is to announce no services',
    [POOL, ANNOUNCED, node(EXCLUDED), container('a', '10.0.0.1', WEB)],
    ['route 203.0.113.10/32 calia', 'service 203.0.113.10 here: 10.0.0.1'],
  ],
  [
    'by a label as well',
    [POOL, labelled('a', '10.0.0.1', '203.0.113.11'), labelled('b', '10.0.0.2', 'yes')],
    [
      'route 203.0.113.10/32 calia',
      'route 203.0.113.11/32 calia',
      'service 203.0.113.10 here: 10.0.0.1 10.0.0.2',
      'service 203.0.113.11 here: 10.0.0.1',
    ],
  ],
  ['an annotation that is no list', [POOL, ANNOUNCED, container('a', '10.0.0.1', '203.0.113.10')], []],
  [
    'of an annotation what are addresses',
    [POOL, container('a', '10.0.0.1', ['web', 7, '203.0.113.10'])],
    ['route 203.0.113.10/32 calia', 'service 203.0.113.10 here: 10.0.0.1'],
  ],
  [
    'the route to a container’s own address leads to it, and the address is announced once',
    [POOL, ANNOUNCED, container('a', '10.0.0.1', ['203.0.113.77']), container('b', '203.0.113.77', [])],
    ['announce 203.0.113.77/32', 'route 203.0.113.77/32 calib', 'service 203.0.113.77 here: 10.0.0.1'],
  ],
];

const ABOUT = ['service ', 'route 203.', 'route 2001:', 'announce '];

function run(steps: readonly Step<Fact>[]): string[] {
  const calculation = new Calculation('host-a');
  const collected = new Collected();
  for (const step of steps) {
    if (step === 'look') collected.take(calculation);
    else tell(calculation, step.fact, step.present);
  }
  collected.take(calculation);
  return collected.lines([]).filter((line) => ABOUT.some((beginning) => line.startsWith(beginning)));
}

describe('services', () => {
  for (const [name, facts, expected] of CASES) {
    for (const way of WAYS) it(`${name} (${way.name})`, () => assert.deepEqual(run(way.steps(facts)), expected));
    it(`${name}: nothing is left when all facts are gone`, () => assert.deepEqual(run(toldInVain(facts)), []));
  }

  it('say at every time what a fresh start would say', () => {
    const random = seededRandom(7);
    const below = (count: number) => Math.floor(random() * count);
    const facts = CASES.flatMap(([, all]) => all);
    for (let round = 0; round < 40; round++) {
      const calculation = new Calculation('host-a');
      const collected = new Collected();
      const state = new Map<string, Fact>();
      for (let step = 0; step < 20; step++) {
        const told = facts[below(facts.length)]!;
        const key = 'settings' in told ? 'settings' : `${told.resource.kind} ${told.resource.metadata.name}`;
        const present = random() < 0.7;
        state.delete(key);
        if (present) state.set(key, told);
        tell(calculation, told, present);
        if (random() < 0.5) continue;
        collected.take(calculation);
        const fresh = run([...state.values()].map((each) => ({ fact: each, present: true })));
        const lines = collected.lines([]).filter((line) => ABOUT.some((beginning) => line.startsWith(beginning)));
        assert.deepEqual(lines, fresh, `round ${round}`);
      }
    }
  });

  it(`of a container are at most ${SERVICE_ADDRESSES_MAX}, and of a service at most ${SERVICE_BACKENDS_MAX}`, () => {
    const greedy = container(
      'a',
      '10.0.0.1',
      many(SERVICE_ADDRESSES_MAX + 1).map((number) => `203.0.113.${number}`),
    );
    const lines = run([POOL, greedy].map((each) => ({ fact: each, present: true })));
    assert.equal(lines.filter((line) => line.startsWith('service ')).length, SERVICE_ADDRESSES_MAX);
    const crowd = many(SERVICE_BACKENDS_MAX + 3).map((number) => container(`c${number}`, `10.0.1.${number}`, WEB));
    const [line = ''] = run([POOL, ...crowd].map((each) => ({ fact: each, present: true }))).slice(-1);
    assert.equal(line.split(': ')[1]?.split(' ').length, SERVICE_BACKENDS_MAX);
  });

  it('tell a container of how many it is one, and whether the address is announced', () => {
    const calculation = new Calculation('host-a');
    const facts = [POOL, ranges('203.0.113.10/32'), container('a', '10.0.0.1', [...WEB, '203.0.113.11', '192.0.2.1'])];
    for (const each of [...facts, container('b', '10.0.0.2', WEB), container('c', '10.0.1.1', WEB, 'host-b')]) {
      tell(calculation, each, true);
    }
    calculation.takeChanges();
    const told = calculation.servicesOf('default/a').map(({ address, here, everywhere, state }) => {
      return [formatIp(address), here, everywhere, state];
    });
    assert.deepEqual(told, [
      ['203.0.113.10', 2, 3, 'announced'],
      ['203.0.113.11', 1, 1, 'in no range'],
      ['192.0.2.1', 1, 1, 'in no pool'],
    ]);
    tell(calculation, node(EXCLUDED), true);
    assert.equal(calculation.servicesOf('default/a')[0]?.state, 'excluded node');
  });
});
