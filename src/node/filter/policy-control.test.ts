/**
 * What is told of endpoints, policies and denied packets, from resources through the calculation and a real program to a backend
 * that counts what it is told to.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Calculation } from '../../felix/calc/calculation.ts';
import type { Fact } from '../../felix/calc/policy/policy-states.suite.ts';
import { fact, tell } from '../../felix/calc/policy/policy-states.suite.ts';
import { logPrefix } from '../../felix/dataplane/filter/log-prefix.ts';
import type { ChainKey, RuleOrigin } from '../../felix/dataplane/filter/program.ts';
import type { DesiredEndpoint } from '../../felix/desired/desired.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../felix/desired/filter-settings.ts';
import type { LoggedPacket } from '../../kernel/nflog-socket.ts';
import type { Log } from '../../lib/log.ts';
import { SOURCE_ANNOTATION } from '../../model/metadata.ts';
import { formatIp, ip } from '../../net/ip.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import type { DropView, EndpointSummary, EndpointView, PolicyControl, RuleView } from '../control-api.ts';
import { DropWatch } from './drop-watch.ts';
import { FakeBackend } from './fake-backend.suite.ts';
import type { RuleCount } from './filter-backend.ts';
import { PacketFilter } from './packet-filter.ts';
import { policyControl, policyViews } from './policy-control.ts';

const silent: Log = {
  ...{ debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  child: () => silent,
};

function endpoint(name: string, address: string, role: string): Fact {
  const spec = { node: 'host-a', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], pod: name.slice(0, 1) };
  return fact('WorkloadEndpoint', `shop/${name}`, spec, { labels: { role } });
}

const SOURCED = { annotations: { [SOURCE_ANNOTATION]: 'shop.yaml:3', 'muslin.io/rule-lines': '{"ingress":[8,12]}' } };
const FACTS: readonly Fact[] = [
  endpoint('d1', '10.0.0.1', 'db'),
  endpoint('w1', '10.0.0.2', 'web'),
  endpoint('w2', '10.0.0.3', 'web'),
  fact(
    'NetworkPolicy',
    'shop/db',
    {
      selector: "role == 'db'",
      ingress: [{ action: 'Allow', protocol: 'TCP' }, { action: 'Deny' }],
    },
    SOURCED,
  ),
  fact('GlobalNetworkPolicy', 'deny-telnet', {
    order: 1,
    selector: 'all()',
    ingress: [{ action: 'Deny', protocol: 'TCP', destination: { ports: [23] } }, { action: 'Pass' }],
  }),
  fact('StagedNetworkPolicy', 'shop/tried', { selector: "role == 'db'", ingress: [{ action: 'Deny' }] }),
];

describe('what is told of policy', () => {
  let calculation: Calculation;
  let backend: FakeBackend;
  let filter: PacketFilter;
  let endpoints: readonly DesiredEndpoint[];
  let drops: DropWatch;
  let control: PolicyControl;
  let report: (packets: readonly LoggedPacket[], lost: number) => void = () => undefined;
  let sockets = 0;

  beforeEach(() => {
    calculation = new Calculation('host-a');
    for (const each of FACTS) tell(calculation, each, true);
    backend = new FakeBackend('nftables', []);
    filter = new PacketFilter({
      openBackend: () => backend,
      openLeftovers: () => [],
      onBackends: () => undefined,
      onApplied: () => undefined,
      log: silent,
    });
    filter.configure(
      { kind: 'nftables', variant: undefined, insertMode: 'insert', refreshMs: undefined, why: '' },
      FILTER_SETTINGS_DEFAULTS,
    );
    const changes = calculation.takeChanges();
    endpoints = [...changes.endpoints.values()].flatMap((each) => each ?? []);
    filter.update(changes);
    filter.apply();
    sockets = 0;
    drops = new DropWatch({
      program: () => filter.program,
      deviceName: (index) => `eth${index}`,
      workloadAt: (address) => (formatIp(address) === '10.0.0.1' ? 'shop/d' : undefined),
      listen: (onPackets) => {
        sockets += 1;
        report = onPackets;
        return { close: () => (sockets -= 1) };
      },
    });
    control = policyControl(options());
  });

  const options = () => ({
    ...{ filter, drops },
    endpoints: () => endpoints,
    servicesOf: (id: string) => calculation.servicesOf(id),
    workloadOf: (id: string) => id.replace(/\d$/, ''),
    endpointPending: (id: string) => (id === 'shop/w2' ? 'no device' : undefined),
    revisionOf: () => '7',
  });

  /** Has the kernel count `packets` at each rule with this origin. */
  function count(packets: number, is: (origin: RuleOrigin) => boolean): void {
    const counted = new Map<ChainKey, readonly RuleCount[]>();
    for (const [key, { rules }] of filter.program.chains) {
      const counts = rules.map(({ origin }) => (origin !== undefined && is(origin) ? packets : 0));
      counted.set(
        key,
        counts.map((each) => ({ packets: each, bytes: 60 * each })),
      );
    }
    backend.counted = counted;
  }

  const one = (name: string): EndpointView => {
    const found = control.endpoint(name);
    assert.ok('ingress' in found, `${name}: ${JSON.stringify(found)}`);
    return found;
  };
  const rowText = ({ owner, action, packets, shared }: RuleView) =>
    `${owner.name} ${owner.index ?? '-'} ${action} ${packets}${shared ? '*' : ''}`;

  for (const [name, found] of [
    ['shop/d1', ['shop/d1']],
    ['shop/d', ['shop/d1']],
    ['d', ['shop/d1']],
    ['d1', ['shop/d1']],
    ['calid1', ['shop/d1']],
    ['10.0.0.1', ['shop/d1']],
    ['shop/w', ['shop/w1', 'shop/w2']],
    ['w', ['shop/w1', 'shop/w2']],
    ['w2', ['shop/w2']],
    ['shop/x', []],
  ] as const) {
    it(`"${name}" means ${found.length === 0 ? 'nobody' : found.join(' or ')}`, () => {
      const answer = control.endpoint(name);
      const names =
        'ingress' in answer ? [answer.name] : (answer as readonly EndpointSummary[]).map((each) => each.name);
      assert.deepEqual(names, found);
    });
  }

  it('lists endpoints with what people call them, and what is missing', () => {
    const texts = control.endpoints().map((each) => `${each.name} ${each.workload} ${each.policies} ${each.pending}`);
    assert.deepEqual(texts, ['shop/d1 shop/d 2 ', 'shop/w1 shop/w 1 ', 'shop/w2 shop/w 1 no device']);
  });

  it('describes an endpoint by its rules in the order in which a packet meets them', () => {
    count(3, ({ name, index }) => name === 'NetworkPolicy shop/db' && index === 1);
    const view = one('d1');
    const rows = view.ingress.filter(({ owner }) => owner.kind !== 'protection').map(rowText);
    assert.deepEqual(rows, [
      'GlobalNetworkPolicy deny-telnet 0 deny 0*',
      'GlobalNetworkPolicy deny-telnet 1 pass 0*',
      'NetworkPolicy shop/db 0 allow 0*',
      'NetworkPolicy shop/db 1 deny 3*',
      'default - deny 0',
      'kns.shop 0 allow 0*',
      ' - deny 0',
    ]);
    assert.deepEqual(
      view.ingress.flatMap(({ owner, file }) => (owner.name === 'NetworkPolicy shop/db' ? [file] : [])),
      ['shop.yaml:8', 'shop.yaml:12'],
    );
    assert.deepEqual([view.staged, view.profiles], [['StagedNetworkPolicy shop/tried'], ['kns.shop']]);
    assert.equal(typeof view.since, 'string');
  });

  it("adds up what several rules have met that one resource's rule became", () => {
    const spec = { node: 'host-b', interfaceName: 'calix', ipNetworks: ['10.0.1.1/32', 'fd00::1/128'] };
    tell(calculation, fact('WorkloadEndpoint', 'shop/x', spec, { labels: { role: 'web' } }), true);
    const ingress = [{ action: 'Deny', source: { selector: "role == 'web'" } }];
    tell(calculation, fact('GlobalNetworkPolicy', 'both', { order: 0, selector: "role == 'db'", ingress }), true);
    filter.update(calculation.takeChanges());
    filter.apply();
    const isBoth = ({ name }: RuleOrigin): boolean => name === 'GlobalNetworkPolicy both';
    const chains = [...filter.program.chains.values()].filter(({ table }) => table === 'filter');
    const rules = chains.flatMap((chain) => chain.rules.filter(({ origin }) => origin !== undefined && isBoth(origin)));
    assert.ok(rules.length > 1, 'one for each family at least');
    count(3, isBoth);
    assert.equal(
      rowText(one('d1').ingress.find(({ owner }) => isBoth(owner))!),
      `GlobalNetworkPolicy both 0 deny ${3 * rules.length}*`,
    );
    assert.equal(one('d1').ingress.filter(({ owner }) => isBoth(owner)).length, 1);
    assert.deepEqual(
      control.denials().map(({ packets }) => packets),
      [3 * rules.length],
    );
    assert.equal(
      control.policies().find(({ policy }) => policy === 'GlobalNetworkPolicy both')?.ingress[0]?.packets,
      3 * rules.length,
    );
  });

  it('says what it can when counters cannot be read', () => {
    backend.faults.set('counts', 'no such chain');
    assert.deepEqual(new Set(one('d1').ingress.map(({ packets }) => packets)), new Set([undefined]));
    backend.faults.set('counts', 'no such chain');
    const [policy] = control.policies();
    assert.deepEqual([policy?.error, policy?.ingress[0]?.packets], ['', undefined]);
  });

  it('tells of each policy how many it chooses, its revision, and what its rules have met', () => {
    count(2, ({ name, index }) => name === 'GlobalNetworkPolicy deny-telnet' && index === 0);
    const texts = control.policies().map(({ policy, endpoints: number, revision, ingress, staged }) => {
      return `${policy} ${number} ${revision} ${ingress.map(({ packets }) => packets).join()} ${staged}`;
    });
    assert.deepEqual(texts.toSorted(), [
      'GlobalNetworkPolicy deny-telnet 3 7 2,0 false',
      'NetworkPolicy shop/db 1 7 0,0 false',
      'StagedNetworkPolicy shop/tried 1 7  true',
    ]);
    assert.deepEqual(
      new Set(policyViews(options(), false).flatMap(({ ingress }) => ingress.map((r) => r.packets))),
      new Set([undefined]),
    );
  });

  it('says of a policy why it is not in force', () => {
    backend.faults.set('apply', 'out of memory');
    filter.distrust();
    filter.apply();
    const [policy] = control.policies();
    assert.deepEqual([policy?.revision, policy?.error], [undefined, 'out of memory']);
  });

  it('lists the rules that have denied packets, most packets first', () => {
    count(4, ({ kind, name, direction, index }) => {
      return (
        (kind === 'tier-end' && direction === 'ingress') || (name === 'NetworkPolicy shop/db' && index !== undefined)
      );
    });
    const texts = control.denials().map(({ owner, workload, packets, file }) => {
      return `${owner.name} ${owner.index ?? '-'} ${workload} ${packets} ${file}`;
    });
    assert.deepEqual(texts.toSorted(), [
      'NetworkPolicy shop/db 1 undefined 4 shop.yaml:12',
      'default - shop/d 4 undefined',
      'default - shop/w 4 undefined',
      'default - shop/w 4 undefined',
    ]);
  });

  describe('denied packets', () => {
    const DENY: RuleOrigin = {
      kind: 'policy',
      name: 'NetworkPolicy shop/db',
      tier: 'default',
      direction: 'ingress',
      index: 1,
    };
    const packet = (prefix: string): LoggedPacket => ({
      ...{ group: 1, prefix, inIndex: ifIndex(2), outIndex: undefined, timeMs: 0 },
      head: {
        ...{ family: 4, protocol: 17, source: ip('10.9.9.9'), destination: ip('10.0.0.1') },
        ...{ sourcePort: 5000, destinationPort: 53, icmpType: undefined, icmpCode: undefined },
      } as LoggedPacket['head'],
    });

    it('are told with who, to whom, and the rule with its line', () => {
      const seen: DropView[] = [];
      const stop = control.watchDrops((views) => seen.push(...views));
      report([packet(logPrefix('deny', DENY))], 0);
      assert.deepEqual(seen[0], {
        ...{ time: '1970-01-01T00:00:00.000Z', family: 4, protocol: 17, source: '10.9.9.9', sourcePort: 5000 },
        ...{ destination: '10.0.0.1', destinationPort: 53, from: undefined, to: 'shop/d' },
        ...{ inDevice: 'eth2', outDevice: undefined, rule: DENY, origin: 'NetworkPolicy shop/db' },
        ...{ file: 'shop.yaml:12', prefix: logPrefix('deny', DENY) },
      });
      stop?.();
    });

    it('of a rule that is there no more are told without one, and a rule that came meanwhile is found', () => {
      const seen: DropView[] = [];
      control.watchDrops((views) => seen.push(...views));
      const prefix = logPrefix('deny', { ...DENY, name: 'GlobalNetworkPolicy new', index: 0 });
      report([packet(prefix)], 0);
      tell(calculation, fact('GlobalNetworkPolicy', 'new', { selector: 'all()', ingress: [{ action: 'Deny' }] }), true);
      filter.update(calculation.takeChanges());
      filter.apply();
      report([packet(prefix)], 5);
      assert.deepEqual(
        seen.map(({ origin }) => origin),
        [undefined, 'GlobalNetworkPolicy new'],
      );
    });

    it('are listened to once for all who watch, and no longer than somebody does', () => {
      const lost: number[] = [];
      const stops = Array.from({ length: 8 }, () => control.watchDrops((_, number) => lost.push(number)));
      assert.equal(sockets, 1);
      assert.equal(
        control.watchDrops(() => undefined),
        undefined,
        'too many watch',
      );
      report([], 3);
      assert.deepEqual(lost, Array(8).fill(3));
      for (const stop of stops) stop?.();
      assert.equal(sockets, 0);
      control.watchDrops(() => undefined);
      assert.equal(sockets, 1);
      drops.close();
      assert.equal(sockets, 0);
    });
  });
});
