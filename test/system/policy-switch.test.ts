/**
 * The backend of a living host is changed: at no moment does what is denied get through, nor is what is allowed held up.
 *
 * Another thread sends all the while, and each packet of it is a connection of its own. TCP is left to what is denied:
 * where it is allowed, the kernel would try again by itself and hide a gap.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { namespacePath } from '../../src/kernel/network-namespace.ts';
import { inShell } from './policy/kernel-state.ts';
import { PARAMETERS, PolicyWorld, type TestDataplane, type TestWorkload } from './policy/policy-world.ts';
import type { SendingOrder, SendingReport } from './policy/sending-thread.ts';
import { documentsOf } from './policy/situation.ts';

const HOSTS = ['host-a', 'host-b'] as const;
const PORT = 7001;
/** Rounds before and after each change. */
const ROUNDS = 10;
const SWITCHES: readonly TestDataplane[] = [
  'iptables-nft',
  'iptables-legacy',
  'nftables',
  'iptables-legacy',
  'iptables-nft',
  'nftables',
];

const WORKLOADS: readonly TestWorkload[] = [
  { name: 'web', host: 'host-a', labels: { app: 'web' }, addresses: ['10.65.0.1', 'fd65::1'] },
  { name: 'api', host: 'host-a', labels: { app: 'api' }, addresses: ['10.65.0.2', 'fd65::2'] },
  { name: 'job', host: 'host-a', labels: { app: 'job' }, addresses: ['10.65.0.3', 'fd65::3'] },
  { name: 'db', host: 'host-b', labels: { app: 'db' }, addresses: ['10.65.1.1', 'fd65:0:0:1::1'] },
];

const POLICIES = documentsOf(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == 'web'
  ingress:
    - { action: Allow, source: { selector: app == 'api' } }
    - { action: Allow, protocol: UDP, source: { selector: app == 'db' }, destination: { ports: [${PORT}] } }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: db }
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
    - { action: Allow, source: { selector: app == 'web' } }
`);

const PROBES: SendingOrder['probes'] = (
  [
    ['api', 'web', ['udp', 'icmp'], true],
    ['db', 'web', ['udp'], true],
    ['web', 'db', ['udp', 'icmp'], true],
    ['job', 'web', ['tcp', 'udp', 'icmp'], false],
    ['db', 'web', ['tcp', 'icmp'], false],
    ['api', 'db', ['tcp', 'udp'], false],
  ] as const
).flatMap(([from, to, protocols, allowed]) =>
  WORKLOADS.filter(({ name }) => name === to)
    .flatMap(({ addresses }) => addresses)
    .flatMap((address) => protocols.map((protocol) => ({ from, to: address, protocol, allowed }))),
);

/** What of ours is in each of the three. */
const LISTINGS: readonly (readonly [TestDataplane, string])[] = [
  ['nftables', 'nft list tables | grep "inet muslin" || true'],
  ['iptables-nft', '{ iptables-nft-save; ip6tables-nft-save; } 2>/dev/null | grep cali || true'],
  ['iptables-legacy', '{ iptables-legacy-save; ip6tables-legacy-save; } | grep cali || true'],
];

/** The other thread, and what it has told. */
class Sending {
  readonly #worker: Worker;
  #report: SendingReport = { rounds: 0, wrong: [] };
  #told = 0;
  #onReport: () => void = () => undefined;
  #failure: Error | undefined;

  constructor(order: SendingOrder) {
    this.#worker = new Worker(new URL('./policy/sending-thread.ts', import.meta.url), {
      workerData: order,
      trackUnmanagedFds: false, // its sockets are not Node's
    });
    this.#worker.on('message', (report: SendingReport) => {
      this.#report = report;
      this.#onReport();
    });
    this.#worker.on('error', (error) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#onReport();
    });
  }

  /** Resolves with what has been wrong since it was last asked, after some rounds more. */
  async afterRounds(count: number): Promise<readonly string[]> {
    const enough = this.#report.rounds + count;
    while (this.#report.rounds < enough) {
      await new Promise<void>((resolve) => {
        this.#onReport = resolve;
      });
      if (this.#failure !== undefined) throw this.#failure;
    }
    const { wrong } = this.#report;
    const fresh = wrong.slice(this.#told);
    this.#told = wrong.length;
    return fresh;
  }

  get rounds(): number {
    return this.#report.rounds;
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.postMessage('end');
    await ended;
  }
}

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

describe('another backend on a living host', { skip }, () => {
  let world: PolicyWorld | undefined;
  let sending: Sending | undefined;

  before(async () => {
    world = await PolicyWorld.open('switch', 'nftables', WORKLOADS);
    await world.apply(POLICIES);
    const namespaces = WORKLOADS.map(({ name }) => [name, namespacePath(world!.namespace(name))] as const);
    sending = new Sending({ namespaces, port: PORT, probes: PROBES });
    assert.deepEqual(await sending.afterRounds(ROUNDS), []);
  });
  after(async () => {
    await sending?.end();
    world?.close();
  });

  for (const [index, dataplane] of SWITCHES.entries()) {
    test(`${SWITCHES[index - 1] ?? 'nftables'} to ${dataplane}: no gap, and nothing is left`, async (context) => {
      assert.ok(world !== undefined && sending !== undefined);
      const before = sending.rounds;
      await world.apply([
        ...POLICIES,
        {
          apiVersion: 'projectcalico.org/v3',
          kind: 'FelixConfiguration',
          metadata: { name: 'default' },
          spec: PARAMETERS[dataplane],
        },
      ]);
      assert.deepEqual(await sending.afterRounds(ROUNDS), []);
      context.diagnostic(`${sending.rounds - before} rounds of ${PROBES.length} packets`);
      for (const host of HOSTS) {
        for (const [each, listing] of LISTINGS) {
          const isThere: boolean = inShell(world.namespace(host), listing) !== '';
          assert.equal(isThere, each === dataplane, `${each} on ${host}`);
        }
        const sets: string[] = inShell(world.namespace(host), 'ipset list -name').split('\n');
        const hasSets: boolean = sets.some((name) => name.startsWith('cali'));
        assert.equal(hasSets, dataplane !== 'nftables', `ipset on ${host}`);
      }
    });
  }
});
