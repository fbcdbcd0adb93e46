/**
 * Others' rules on the same host stay as they are and go on to work, on each of our backends, and ours work beside them.
 *
 * One world for each of them, and in it one backend after another: so theirs are there before ours as well as after.
 * What another table drops is dropped: Docker's "FORWARD policy DROP" is overruled only by rules in the same table,
 * which ours are with the iptables variant that Docker uses, and with no other backend.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addNamespace, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { ip } from '../../src/net/ip.ts';
import { docker, FIREWALLD, KUBE_PROXY } from './policy/foreigners.ts';
import { inShell, type KernelState, kernelState, stateDifference } from './policy/kernel-state.ts';
import { DATAPLANES, PARAMETERS, PolicyWorld, type TestDataplane, type TestWorkload } from './policy/policy-world.ts';
import type { Probe } from './policy/prober.ts';
import { documentsOf } from './policy/situation.ts';

const WORKLOADS: readonly TestWorkload[] = [
  { name: 'web', host: 'host-a', labels: { app: 'web' }, addresses: ['10.65.0.1', 'fd65::1'] },
  { name: 'api', host: 'host-a', labels: { app: 'api' }, addresses: ['10.65.0.2', 'fd65::2'] },
  { name: 'job', host: 'host-a', labels: { app: 'job' }, addresses: ['10.65.0.3', 'fd65::3'] },
  { name: 'db', host: 'host-b', labels: { app: 'db' }, addresses: ['10.65.1.1', 'fd65:0:0:1::1'] },
];

const POLICIES = documentsOf(`
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool }
spec: { cidr: 10.65.0.0/16, natOutgoing: true }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == 'web'
  ingress:
    - { action: Allow, source: { selector: "app in { 'api', 'db' }" } }
    - { action: Allow, source: { nets: [10.99.0.0/24, 192.168.77.0/24] } }
`);
const ONE_MORE = documentsOf(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: one-more }
spec: { selector: app == 'job', ingress: [{ action: Deny, source: { selector: app == 'db' } }] }
`);

/** "web > 10.0.0.1 tcp/80", and whether it gets through. */
type Expectation = readonly [string, boolean | ((dataplane: TestDataplane) => boolean)];

/** What ours do, whoever else is there. */
const OURS: readonly Expectation[] = [
  ['api > 10.65.0.1 tcp/80', true],
  ['api > fd65::1 tcp/80', true],
  ['job > 10.65.0.1 tcp/80', false],
  ['job > fd65::1 udp/80', false],
  ['db > fd65::1 tcp/80', true],
  ['db > 10.65.0.1 tcp/80', true],
  ['api > 10.65.1.1 icmp/0', true],
];
/** Where another table drops what is forwarded, IPv6 is left. */
const UNDER_DROP: readonly Expectation[] = OURS.map(([probe, expected]) =>
  expected === true && !probe.includes('fd65')
    ? [probe, (dataplane) => dataplane === 'iptables-nft']
    : [probe, expected],
);

interface Row {
  readonly title: string;
  readonly script: (container: string) => string;
  readonly expect: readonly Expectation[];
}

const ROWS: readonly Row[] = [
  {
    title: 'Docker',
    script: (container) => docker(container, 'ACCEPT'),
    expect: [...OURS, ['outside > 10.99.0.1 tcp/8081', true], ['docker > 10.99.0.2 tcp/80', true]],
  },
  {
    title: 'Docker, which drops what it does not forward',
    script: (container) => docker(container, 'DROP'),
    expect: [
      ...UNDER_DROP,
      ['outside > 10.99.0.1 tcp/8081', true],
      ['docker > 10.99.0.2 tcp/80', true],
      ['outside > 172.17.0.2 tcp/81', false],
    ],
  },
  {
    title: 'kube-proxy',
    script: () => KUBE_PROXY,
    expect: [
      ...OURS,
      ['api > 10.96.0.10 tcp/80', true],
      ['db > 10.96.0.10 tcp/80', true],
      ['job > 10.96.0.10 tcp/80', false],
      ['outside > 10.99.0.1 tcp/30080', true],
      // Masqueraded, as kube-proxy's mark asks.
      ['outside > 10.96.0.10 udp/53 as 192.168.77.1', true],
      ['api > 10.96.0.10 udp/53 as 10.65.0.2', true],
    ],
  },
  {
    title: 'firewalld',
    script: () => FIREWALLD,
    expect: [
      ...OURS,
      ['outside > 10.99.0.1 tcp/22', true],
      ['outside > 10.99.0.1 tcp/80', false],
      ['outside > fd99::1 udp/80', false],
      ['outside > 10.65.0.1 tcp/80', false],
      ['api > 10.99.0.2 tcp/80', true],
      ['db > 192.168.77.1 tcp/80', true],
    ],
  },
];

function probeOf(text: string): Probe {
  const [, from = '', to = '', protocol, port, seen] = /^(\S+) > (\S+) (\w+)\/(\d+)(?: as (\S+))?$/.exec(text) ?? [];
  return {
    from,
    to: ip(to),
    protocol: protocol as Probe['protocol'], // as written above
    port: Number(port),
    ...(seen !== undefined && { seenAs: { address: ip(seen), ports: undefined } }),
  };
}

/** All rules and sets that are not ours, in nftables and in both variants of iptables. */
function foreignState(namespace: string): KernelState {
  const all = [...kernelState(namespace, 'iptables-nft'), ...kernelState(namespace, 'iptables-legacy')];
  const notOurs = all
    .filter(([part]) => !/^ip$|^sysctl|inet muslin| cali-/.test(part))
    .map(([part, text]): [string, string] => [part, withoutOurs(text)]);
  // A chain of the kernel's in which nothing is may as well not be there.
  return new Map(notOurs.filter(([part, text]) => !(part.includes('-save') && text === 'ACCEPT')));
}

function withoutOurs(text: string): string {
  const lines = text.split('\n');
  return lines.filter((line) => !/"cali:| cali[46]0/.test(line)).join('\n');
}

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

for (const { title, script, expect } of ROWS) {
  describe(`beside ${title}`, { skip }, () => {
    let world: PolicyWorld | undefined;
    let theirs: KernelState = new Map();
    let container = '';

    before(async () => {
      world = await PolicyWorld.open('foreign', 'nftables', WORKLOADS);
      container = world.namespace('docker');
      world.prober.add('docker', addNamespace(container));
      inShell(container, 'ip link set lo up');
      world.prober.listen('docker', [80, 81]);
      inShell(world.namespace('host-a'), script(container));
      theirs = foreignState(world.namespace('host-a'));
      assert.ok(theirs.size > 0);
    });
    after(() => {
      if (container !== '') removeNamespace(container);
      world?.close();
    });

    for (const dataplane of [...DATAPLANES, 'nftables'] as const) {
      test(`both work, ours in ${dataplane}`, async () => {
        assert.ok(world !== undefined);
        const documents = [...POLICIES, configuration(dataplane)];
        await world.apply(documents);
        const host = world.namespace('host-a');
        assert.deepEqual(stateDifference(theirs, foreignState(host)), []);
        const expected = expect.map(([, value]) => (typeof value === 'boolean' ? value : value(dataplane)));
        const got = await world.prober.run(
          expect.map(([text]) => probeOf(text)),
          expected,
        );
        const wrong = expect.filter((_, index) => got[index] !== expected[index]).map(([text]) => text);
        assert.deepEqual(wrong, []);
        await world.apply([...documents, ...ONE_MORE]);
        world.host('host-a').felix.resync();
        await world.settled();
        await world.apply(documents);
        assert.deepEqual(stateDifference(theirs, foreignState(host)), []);
      });
    }
  });
}

function configuration(dataplane: TestDataplane): object {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name: 'default' },
    spec: PARAMETERS[dataplane],
  };
}
