/**
 * Whatever a stranger does to the kernel of a host, the next full reading makes good, and what is not ours it leaves alone.
 *
 * One mutation after another, drawn from policy/mutations.ts, on one of two hosts of a living world. Felix is told to read
 * anew, as it does by itself once a minute; then the kernel's state is compared in full with the one before,
 * and packets are sent. MUTATION_SEED begins with another seed.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Random } from '../../src/lib/prng.ts';
import { seededRandom } from '../../src/lib/prng.ts';
import { inShell, type KernelState, kernelState, stateDifference } from './policy/kernel-state.ts';
import type { Mutation } from './policy/mutations.ts';
import { HOST_MUTATIONS, IPTABLES_MUTATIONS, NFTABLES_MUTATIONS } from './policy/mutations.ts';
import { type HostName, PolicyWorld, type TestDataplane, type TestWorkload } from './policy/policy-world.ts';
import { checkSituation, type Situation } from './policy/situation.ts';

const SEED = Number(process.env['MUTATION_SEED'] ?? 1);
/** After so many mutations packets are sent; each of them would make the test three times as long. */
const PROBE_EVERY = 4;
const HOSTS: readonly HostName[] = ['host-a', 'host-b'];

const WORKLOADS: readonly TestWorkload[] = [
  {
    name: 'web',
    host: 'host-a',
    labels: { app: 'web' },
    addresses: ['10.65.0.1', 'fd65::1'],
    spec: { ports: [{ name: 'http', protocol: 'TCP', port: 80 }] },
  },
  { name: 'api', host: 'host-a', labels: { app: 'api' }, addresses: ['10.65.0.2', 'fd65::2'] },
  {
    name: 'db',
    host: 'host-b',
    labels: { app: 'db' },
    addresses: ['10.65.1.1', 'fd65:0:0:1::1'],
    spec: { ports: [{ name: 'query', protocol: 'UDP', port: 443 }] },
  },
  { name: 'job', host: 'host-b', labels: { app: 'job' }, addresses: ['10.65.1.2', 'fd65:0:0:1::2'] },
];

const SITUATION: Situation = {
  name: 'some policies',
  resources: `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool }
spec: { cidr: 10.65.0.0/16, natOutgoing: true }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: { name: partners, labels: { role: partner } }
spec: { nets: [10.99.0.0/24, "fd99::/64", 203.0.113.9/32, "2001:db8:99::/48"] }
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: { name: security }
spec: { order: 1, defaultAction: Pass }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: no-icmp-to-db }
spec:
  tier: security
  selector: app == 'db'
  ingress:
    - { action: Deny, protocol: ICMP }
    - { action: Deny, protocol: ICMPv6 }
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec:
  selector: app == 'web'
  types: [Ingress, Egress]
  ingress:
    - { action: Allow, protocol: TCP, source: { selector: app == 'api' }, destination: { ports: [http] } }
    - { action: Allow, protocol: TCP, source: { selector: role == 'partner', namespaceSelector: global() }, destination: { ports: [80] } }
  egress:
    - { action: Allow, protocol: UDP, destination: { selector: app == 'db', ports: [query] } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: default }
spec:
  podSelector: { matchLabels: { app: db } }
  ingress:
    - { from: [{ podSelector: { matchExpressions: [{ key: app, operator: In, values: [web, job] }] } }] }
`,
  expect: [
    'deny *,outside > web,db',
    'deny web > *',
    'allow api,outside > web tcp/80',
    'allow job > db tcp',
    'allow job > db udp',
    'allow web > db udp/443',
    'allow outside > api,job',
  ],
};

/** Objects of others, beside ours. */
const FOREIGN: Readonly<Record<'everywhere' | 'iptables', string>> = {
  everywhere: `
nft -f - <<'END'
add table inet strangers
add set inet strangers blocked { type ipv4_addr; flags interval; elements = { 100.64.1.0/24, 100.64.3.3 } }
add chain inet strangers forward { type filter hook forward priority 10; policy accept; }
add rule inet strangers forward ip saddr @blocked counter drop
add table ip muslin-like
add chain ip muslin-like cali-FORWARD
add rule ip muslin-like cali-FORWARD counter
END
ip link add foreign0 type veth peer name foreign1
for device in foreign0 foreign1; do echo 1 >/proc/sys/net/ipv6/conf/$device/disable_ipv6; done
ip addr add 198.18.0.1/24 dev foreign0
ip link set foreign0 up
ip link set foreign1 up
ip route add 198.19.0.0/16 dev foreign0
ip route add blackhole 198.51.200.0/24 proto static
ip route add 10.65.0.1/32 dev foreign0 metric 50 proto static
ip route add 198.20.0.0/16 dev foreign0 proto bird table 77
ip neighbour add proxy 198.18.0.9 dev foreign0
`,
  iptables: `
ipset create strangers hash:ip
ipset add strangers 100.64.1.1
for program in PROGRAM PROGRAM6; do
  $program -w -N STRANGERS
  $program -w -A STRANGERS -m comment --comment "not cali: at all" -j RETURN
  for chain in INPUT FORWARD OUTPUT; do $program -w -A $chain -j STRANGERS; done
  $program -w -t nat -A PREROUTING -p tcp --dport 9999 -j ACCEPT
  $program -w -t mangle -A POSTROUTING -p tcp --dport 9999 -j RETURN
  $program -w -t raw -I PREROUTING -p udp --dport 9999 -j ACCEPT
done
PROGRAM -w -A FORWARD -m set --match-set strangers src -j DROP
`
    .replaceAll('PROGRAM6', 'ip6tables-nft')
    .replaceAll('PROGRAM', 'iptables-nft'),
};

interface Row {
  readonly dataplane: TestDataplane;
  readonly mutations: readonly Mutation[];
  readonly count: number;
}

const ROWS: readonly Row[] = [
  { dataplane: 'nftables', mutations: [...NFTABLES_MUTATIONS, ...HOST_MUTATIONS], count: 400 },
  { dataplane: 'iptables-nft', mutations: [...IPTABLES_MUTATIONS, ...HOST_MUTATIONS], count: 100 },
];

/** A living world and the state in which its hosts should be. */
class Broken {
  readonly #world: PolicyWorld;
  readonly #dataplane: TestDataplane;
  readonly #random: Random = seededRandom(SEED);
  readonly #right: ReadonlyMap<HostName, KernelState>;

  constructor(world: PolicyWorld, dataplane: TestDataplane) {
    this.#world = world;
    this.#dataplane = dataplane;
    this.#right = new Map(HOSTS.map((host) => [host, this.#stateOf(host)]));
  }

  /** Breaks a host and has it made good. `isFirst`: looks whether anything has been broken. */
  async breakAndMend(mutation: Mutation, isFirst: boolean): Promise<void> {
    const host = HOSTS[Math.floor(this.#random() * HOSTS.length)]!;
    const namespace = this.#world.namespace(host);
    const script = mutation.script({
      host,
      workloads: WORKLOADS.filter((workload) => workload.host === host),
      read: (command) => inShell(namespace, command),
      random: this.#random,
    });
    assert.ok(script !== undefined, 'there is nothing to break');
    inShell(namespace, script);
    if (isFirst) assert.notDeepEqual(this.#differenceOf(host), [], `nothing is broken by ${script}`);
    this.#world.host(host).felix.resync();
    await this.#world.settled();
    assert.deepEqual(this.#differenceOf(host), [], `${host}, after ${script}`);
  }

  async sendPackets(): Promise<void> {
    await checkSituation(this.#world, WORKLOADS, SITUATION);
  }

  differences(): string[] {
    return HOSTS.flatMap((host) => this.#differenceOf(host));
  }

  #differenceOf(host: HostName): string[] {
    return stateDifference(this.#right.get(host)!, this.#stateOf(host));
  }

  #stateOf(host: HostName): KernelState {
    return kernelState(this.#world.namespace(host), this.#dataplane);
  }
}

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

for (const { dataplane, mutations, count } of ROWS) {
  describe(`a stranger breaks things, ${dataplane}`, { skip }, () => {
    let world: PolicyWorld | undefined;
    let broken: Broken | undefined;
    before(async () => {
      world = await PolicyWorld.open('mutations', dataplane, WORKLOADS);
      await checkSituation(world, WORKLOADS, SITUATION);
      for (const host of HOSTS) {
        inShell(world.namespace(host), FOREIGN.everywhere);
        if (dataplane !== 'nftables') inShell(world.namespace(host), FOREIGN.iptables);
        world.host(host).felix.resync();
      }
      await world.settled();
      broken = new Broken(world, dataplane);
    });
    after(() => world?.close());

    const order = seededRandom(SEED);
    const drawn = Array.from({ length: count }, (_, index) =>
      // Each once, then at random.
      index < mutations.length ? mutations[index]! : mutations[Math.floor(order() * mutations.length)]!,
    );

    test(`and the next reading makes good ${count} of them`, async () => {
      assert.ok(broken !== undefined);
      for (const [index, mutation] of drawn.entries()) {
        try {
          await broken.breakAndMend(mutation, index < mutations.length);
          if (index % PROBE_EVERY === 0) await broken.sendPackets();
        } catch (error) {
          throw new Error(`seed ${SEED}, number ${index}: ${mutation.name}: ${String(error)}`, { cause: error });
        }
      }
      await broken.sendPackets();
      assert.deepEqual(broken.differences(), []);
    });
  });
}
