/**
 * What the kernel lets through is what policy means: random policies, one set after another in one living world.
 *
 *   resources ─┬─► Felix on two hosts ─► kernel ─► packets ─┬─► equal
 *              └─► naive evaluator ────────────────────────┘
 *
 * The containers stay; their labels, named ports, profiles and accounts change from set to set as the policies do, so that
 * each set is reached by changes from the one before. Where the two disagree, resources are taken away as long as they
 * still do; what is left is printed with the seed. POLICY_SEED begins at another one.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Conntrack } from '../../src/kernel/conntrack.ts';
import { openConntrack } from '../../src/kernel/conntrack.ts';
import { namespacePath } from '../../src/kernel/network-namespace.ts';
import type { AnyResource } from '../../src/model/kinds.ts';
import type { WorkloadEndpoint } from '../../src/model/workload-endpoint.ts';
import { formatIp } from '../../src/net/ip.ts';
import type { Flow } from '../../src/node/filter/naive-policy.suite.ts';
import { NaivePolicy } from '../../src/node/filter/naive-policy.suite.ts';
import { randomWorld } from '../../src/node/filter/random-policies.suite.ts';
import { PolicyWorld, type TestDataplane, type TestWorkload } from './policy/policy-world.ts';
import type { Probe } from './policy/prober.ts';

const FIRST_SEED = Number(process.env['POLICY_SEED'] ?? 0);
/** Those that the random rules and named ports speak of. */
const PORTS: readonly number[] = [53, 80, 81, 443, 8080];
const ICMP_ECHO = { 4: { protocol: 1, icmpType: 8 }, 6: { protocol: 58, icmpType: 128 } } as const;

/** With the names, devices and addresses of random-policies.suite.ts, which rules speak of; both families each. */
const WORKLOADS: readonly TestWorkload[] = (
  [
    ['host-a', 'shop'],
    ['host-b', 'bank'],
    ['host-a', 'bank'],
    ['host-b', 'shop'],
  ] as const
).map(([host, namespace], index) => ({
  name: `w${index + 1}`,
  namespace,
  host,
  labels: {},
  addresses: [`10.65.0.${index + 1}`, `fd00:65::${index + 1}`],
}));

const HOSTS: readonly string[] = ['host-a', 'host-b'] satisfies TestWorkload['host'][];

interface Row {
  readonly dataplane: TestDataplane;
  /** Sets to get through at least; after those, as many more as fit into the time. */
  readonly sets: number;
  readonly milliseconds: number;
}

const ROWS: readonly Row[] = [
  { dataplane: 'nftables', sets: 1_000, milliseconds: 0 },
  { dataplane: 'iptables-nft', sets: 150, milliseconds: 60_000 },
];

/** The world of a seed, with our containers in the places of its own. */
function resourcesOf(seed: number): AnyResource[] {
  const resources = randomWorld(seed);
  return resources.flatMap((resource): AnyResource[] => {
    // The naive evaluator judges what containers may send and be sent, not what passes a host's own devices.
    if (resource.kind === 'HostEndpoint' && HOSTS.includes(resource.spec.node)) return [];
    if (resource.kind !== 'WorkloadEndpoint') return [resource];
    const workload = WORKLOADS.find(({ name }) => name === resource.metadata.name);
    return workload === undefined ? [] : [inPlaceOf(resource, workload)];
  });
}

function inPlaceOf(endpoint: WorkloadEndpoint, { name, namespace, host, addresses }: TestWorkload): WorkloadEndpoint {
  const { metadata, spec } = endpoint;
  const [v4, v6] = addresses;
  return {
    ...endpoint,
    metadata: { ...metadata, namespace: namespace ?? 'default' },
    spec: { ...spec, node: host, interfaceName: `cali${name}`, ipNetworks: [`${v4}/32`, `${v6}/128`] },
  };
}

interface Cell {
  readonly probe: Probe;
  readonly flow: Flow;
  readonly sender: string;
  readonly receiver: string;
}

/** Every pair of containers, both families, all ports. */
function cellsOf(world: PolicyWorld): Cell[] {
  const ends = WORKLOADS.flatMap(({ name }) => world.addressesOf(name).map((address) => ({ name, address })));
  return ends.flatMap(({ name: sender, address: source }) =>
    ends
      .filter(({ name, address }) => name !== sender && address.family === source.family)
      .flatMap(({ name: receiver, address: destination }): Cell[] => {
        const both = { sender, receiver };
        const echo: Cell = {
          ...both,
          probe: { from: sender, to: destination, protocol: 'icmp', port: 0 },
          flow: { source, destination, icmpCode: 0, ...ICMP_ECHO[source.family] },
        };
        const ports = PORTS.flatMap((port) =>
          [['tcp', 6] as const, ['udp', 17] as const].map(
            ([protocol, number]): Cell => ({
              ...both,
              probe: { from: sender, to: destination, protocol, port },
              flow: { source, destination, protocol: number, sourcePort: 40_000, destinationPort: port },
            }),
          ),
        );
        return [echo, ...ports];
      }),
  );
}

/** A living world, compared with what its resources mean. */
class Compared {
  readonly world: PolicyWorld;
  readonly #cells: readonly Cell[];
  readonly #tables: readonly Conntrack[];

  constructor(world: PolicyWorld) {
    this.world = world;
    this.#cells = cellsOf(world);
    this.#tables = [...world.hosts.keys()].map((host) => openConntrack(namespacePath(world.namespace(host))));
  }

  get cells(): number {
    return this.#cells.length;
  }

  /** Puts resources in force; the first few packets that fare otherwise than these say, in words. */
  async disagreements(resources: readonly AnyResource[]): Promise<string[]> {
    await this.world.applyResources(resources);
    this.#forgetConnections();
    const naive = new NaivePolicy(this.world.resources);
    const endpoints = new Map(
      this.world.resources
        .filter((resource) => resource.kind === 'WorkloadEndpoint')
        .map((endpoint) => [endpoint.metadata.name, endpoint]),
    );
    const judged = this.#cells.map(({ sender, receiver, flow }) => [
      naive.judge(endpoints.get(sender)!, 'egress', flow),
      naive.judge(endpoints.get(receiver)!, 'ingress', flow),
    ]);
    const expected = judged.map((judgements) => judgements.every(({ allowed }) => allowed));
    const got = await this.world.prober.run(
      this.#cells.map(({ probe }) => probe),
      expected,
    );
    return this.#cells.flatMap(({ probe, sender, receiver }, index) => {
      if (got[index] === expected[index]) return [];
      const meant = judged[index]!.map(({ allowed, why }) => `${allowed ? 'allowed' : 'denied'} by ${why}`).join(', ');
      const packet = `${sender} > ${receiver} (${formatIp(probe.to)}) ${probe.protocol} ${probe.port}`;
      return [`${packet} ${got[index] ? 'gets through' : 'does not get through'}, but it is ${meant}`];
    });
  }

  /** A packet of the set before may have had the same ports; it would speak for this set's. */
  #forgetConnections(): void {
    for (const table of this.#tables) {
      for (const entries of table.entries()) for (const entry of entries) table.remove(entry);
    }
  }

  /** What is left of two sets, of which the second is wrong after the first, when all that can be spared is taken away. */
  async shrunk(earlier: readonly AnyResource[], resources: readonly AnyResource[]): Promise<string> {
    const isWrong = async (before: readonly AnyResource[], then: readonly AnyResource[]): Promise<boolean> => {
      await this.world.applyResources([]);
      if (before.length > 0) await this.world.applyResources(before);
      return (await this.disagreements(then)).length > 0;
    };
    const history = (await isWrong([], resources)) ? [] : earlier;
    if (history.length > 0 && !(await isWrong(history, resources))) {
      return 'not from an empty world, nor from that with the set before it: more sets have a part in it';
    }
    const then = await fewest(resources, (fewer) => isWrong(history, fewer));
    const before = await fewest(history, (fewer) => isWrong(fewer, then));
    await isWrong(before, then);
    const found = await this.disagreements(then);
    const text = (list: readonly AnyResource[]) => list.map((resource) => `  ${JSON.stringify(resource)}`).join('\n');
    return `${found.slice(0, 3).join('\n')}\nbefore:\n${text(before)}\nthen:\n${text(then)}`;
  }

  close(): void {
    for (const table of this.#tables) table.close();
    this.world.close();
  }
}

/** What is left when each that can be spared is taken away. */
async function fewest(
  list: readonly AnyResource[],
  suffices: (fewer: readonly AnyResource[]) => Promise<boolean>,
): Promise<readonly AnyResource[]> {
  let left = list;
  for (let index = 0; index < left.length; ) {
    const fewer = left.toSpliced(index, 1);
    if (await suffices(fewer)) left = fewer;
    else index += 1;
  }
  return left;
}

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

for (const { dataplane, sets, milliseconds } of ROWS) {
  describe(`random policies, ${dataplane}`, { skip }, () => {
    let compared: Compared | undefined;
    before(async () => {
      compared = new Compared(await PolicyWorld.open('random', dataplane, WORKLOADS));
    });
    after(() => compared?.close());

    test(`the kernel does what they mean, in ${sets} sets${milliseconds > 0 ? ' at least' : ''}`, async (context) => {
      assert.ok(compared !== undefined);
      const started = performance.now();
      let earlier: readonly AnyResource[] = [];
      let seed = FIRST_SEED;
      for (; seed < FIRST_SEED + sets || performance.now() - started < milliseconds; seed++) {
        const resources = resourcesOf(seed);
        const found: string[] = await compared.disagreements(resources);
        if (found.length > 0) {
          const left = await compared.shrunk(earlier, resources);
          assert.fail(
            `seed ${seed}: ${found.length} of ${compared.cells} packets, such as ${found[0]}\nshrunk: ${left}`,
          );
        }
        earlier = resources;
      }
      context.diagnostic(`${seed - FIRST_SEED} sets of ${compared.cells} packets each`);
    });
  });
}
