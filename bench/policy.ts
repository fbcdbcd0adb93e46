/**
 * What does policy cost? A change of one label until the kernel has it, a cold start, memory, the calculation alone.
 * Prints a table with ratios and writes it to bench/policy.txt. Needs root. Run: npm run bench:policy
 *
 * The change: an endpoint of another host gains or loses the label by which 10,000 are in a set that a rule here uses,
 * measured from the store's event to the kernel's answer, in the agent's own loop, with 1,000 policies in force. The floor is
 * `nft -f -` with the same change of a set of the same size, in a namespace that has nothing else: one line by hand, nothing
 * to compute, a process to start. Both alternate in one run. The cold start runs in a process of its own, whose code is as
 * cold as an agent's; the devices are there. Memory is that of a real agent, from the bundle.
 */
import { fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Calculation } from '../src/felix/calc/calculation.ts';
import { endpointId } from '../src/felix/calc/local-endpoints.ts';
import { openKernel } from '../src/kernel/netlink-kernel.ts';
import { addNamespace, inNamespace, removeNamespace } from '../src/kernel/network-namespace.ts';
import { seededRandom } from '../src/lib/prng.ts';
import { type Column, renderTable } from '../src/lib/table.ts';
import type { AnyResource } from '../src/model/kinds.ts';
import { valueOfResource } from '../src/model/resource-entry.ts';
import { formatResourceId, keyOf } from '../src/model/resource-key.ts';
import { validateResource } from '../src/model/validate.ts';
import { agentStatus } from '../src/node/control-client.ts';
import { Felix } from '../src/node/felix.ts';
import { openFilterBackend } from '../src/node/filter/open-backend.ts';
import { PacketFilter } from '../src/node/filter/packet-filter.ts';
import { ResourceFeed } from '../src/node/resource-feed.ts';
import { openStore } from '../src/store/open-store.ts';
import { revision, TRANSACTION_WRITES_MAX } from '../src/store/store.ts';

const NODE = 'node0';
const MEMBERS = 10_000;
const LABEL_CHANGES = 1_000;
const CALCULATIONS = 5_000;
const COLD = { local: 1_000, policies: 2_000 } as const;
const STEADY = { endpoints: 10_000, local: 100, policies: 1_000 } as const;
const APPS = 300;
const NAMESPACES = 20;
const SETTLE_MS = 5_000;
const MUSLIN = fileURLToPath(new URL('../build/muslin/bin/muslin', import.meta.url));

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (message: string, fields?: object) => console.error(message, fields),
  child: () => SILENT,
};

interface Row {
  readonly what: string;
  readonly p50: string;
  readonly p99: string;
  readonly ratio: string;
  readonly goal: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'MEASURED', cell: ({ what }) => what },
  { title: 'P50', cell: ({ p50 }) => p50 },
  { title: 'P99', cell: ({ p99 }) => p99 },
  { title: 'RATIO TO FLOOR', cell: ({ ratio }) => ratio },
  { title: 'GOAL', cell: ({ goal }) => goal },
];

function resource(document: object): AnyResource {
  const validated = validateResource(document);
  if (!validated.ok) throw new Error(JSON.stringify(validated));
  return validated.resource;
}

function endpoint(index: number, local: boolean, more: Readonly<Record<string, string>> = {}): AnyResource {
  return resource({
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: `w${index}`,
      namespace: `ns${index % NAMESPACES}`,
      labels: { app: `app${index % APPS}`, role: 'backend', ...more },
    },
    spec: {
      node: local ? NODE : `node${1 + (index % 99)}`,
      interfaceName: `cali${index}`,
      ipNetworks: [`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`],
    },
  });
}

/** Chooses the endpoints of one app in one namespace; lets in one port from another app, and one from a prefix. */
function policy(index: number): AnyResource {
  return resource({
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name: `policy${index}`, namespace: `ns${index % NAMESPACES}` },
    spec: {
      order: index,
      selector: `app == 'app${index % APPS}'`,
      ingress: [
        {
          action: 'Allow',
          protocol: 'TCP',
          source: { selector: `app == 'app${(index + 7) % APPS}'` },
          destination: { ports: [80, 443, 8000 + (index % 100)] },
        },
        { action: 'Allow', protocol: 'UDP', source: { nets: ['192.0.2.0/24'] }, destination: { ports: [53] } },
      ],
    },
  });
}

/** Has a rule of every local endpoint ask for the whole backend. */
const BIG = resource({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name: 'from-backend' },
  spec: {
    order: 1_000_000,
    selector: 'all()',
    ingress: [
      { action: 'Allow', protocol: 'TCP', source: { selector: "role == 'backend'" }, destination: { ports: [9000] } },
    ],
  },
});

/** Felix with its kernel and its packet filter in a namespace, told of resources as the store would. */
class Host {
  readonly #kernel;
  readonly #filter: PacketFilter;
  readonly #felix: Felix;
  readonly #feed: ResourceFeed;
  #revision = 0;

  constructor(path: string) {
    this.#kernel = openKernel(path);
    this.#filter = new PacketFilter({
      openBackend: (choice) => openFilterBackend(choice, path),
      openLeftovers: () => [],
      onBackends: () => undefined,
      onApplied: () => undefined,
      log: SILENT,
    });
    const log = SILENT;
    const random = seededRandom(1);
    const onAnnouncements = () => undefined;
    this.#felix = new Felix({ node: NODE, kernel: this.#kernel, filter: this.#filter, log, random, onAnnouncements });
    this.#feed = new ResourceFeed({
      ...{ node: NODE, felix: this.#felix, log },
      bgp: { configure: () => undefined },
      onMetrics: () => undefined,
      speaksBgp: true,
      nftablesProblem: () => undefined,
    });
  }

  put(each: AnyResource): void {
    this.#revision += 1;
    this.#feed.put({ key: keyOf(each), value: valueOfResource(each), revision: revision(this.#revision) });
  }

  inSync(): void {
    this.#feed.inSync();
    this.#felix.converged();
  }

  /** Resolves when the kernel has all that was told. */
  async inForce(): Promise<void> {
    do await turn();
    while (!this.#filter.inForce || this.#filter.error !== undefined || !this.#felix.status().inSync);
  }

  /** One pass of the loop. */
  async pass(): Promise<void> {
    await turn();
    if (!this.#filter.inForce) throw new Error(this.#filter.error ?? 'not in force after a pass');
  }

  close(): void {
    this.#felix.close();
    this.#filter.close();
    this.#kernel.close();
  }
}

function withNamespace<Result>(title: string, work: (path: string) => Promise<Result>): Promise<Result> {
  const name = `muslin-bench-policy-${title}-${process.pid}`;
  const path = addNamespace(name);
  return work(path).finally(() => removeNamespace(name));
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

async function labelChanges(): Promise<Row[]> {
  return withNamespace('change', (path) => withNamespace('floor', (floorPath) => labelChangesIn(path, floorPath)));
}

async function labelChangesIn(path: string, floorPath: string): Promise<Row[]> {
  const host = new Host(path);
  for (let index = 0; index < STEADY.policies; index++) host.put(policy(index));
  host.put(BIG);
  for (let index = 0; index < MEMBERS; index++) host.put(endpoint(index, index < STEADY.local));
  host.inSync();
  await host.inForce();
  const floor = floorIn(floorPath);
  const times: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  for (let round = 0; round < LABEL_CHANGES; round++) {
    const index = MEMBERS - 1 - (round % 500);
    const changed = endpoint(index, false, Math.floor(round / 500) % 2 === 0 ? { role: 'retired' } : {});
    const start = performance.now();
    host.put(changed);
    await host.pass();
    times.ours.push(performance.now() - start);
    if (round % 10 === 0) times.floor.push(floor(index, Math.floor(round / 500) % 2 === 0));
  }
  const left = memberCount(path);
  if (left !== MEMBERS - (LABEL_CHANGES % 1000 === 0 ? 0 : 500)) throw new Error(`the kernel has ${left} members`);
  host.close();
  const [p50, p99] = [percentile(times.ours, 0.5), percentile(times.ours, 0.99)];
  const [floorP50, floorP99] = [percentile(times.floor, 0.5), percentile(times.floor, 0.99)];
  return [
    {
      what: `label change, 1 of ${MEMBERS} members, event to kernel`,
      p50: `${p50.toFixed(2)} ms`,
      p99: `${p99.toFixed(2)} ms`,
      ratio: `${(p50 / floorP50).toFixed(2)} (p99 ${(p99 / floorP99).toFixed(2)})`,
      goal: 'ratio 2, p99 10 ms',
    },
    {
      what: 'floor: nft -f - with that change',
      p50: `${floorP50.toFixed(2)} ms`,
      p99: `${floorP99.toFixed(2)} ms`,
      ratio: '1.00',
      goal: '',
    },
  ];
}

/** Makes a table of its own with a set of the same size; gives what makes one change and says how long it took. */
function floorIn(path: string): (index: number, remove: boolean) => number {
  const run = (input: string): number =>
    inNamespace(path, () => {
      const start = performance.now();
      const { status, stderr } = spawnSync('nft', ['-f', '-'], { input, encoding: 'utf8' });
      const took = performance.now() - start;
      if (status !== 0) throw new Error(stderr);
      return took;
    });
  const address = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  const members = Array.from({ length: MEMBERS }, (_, index) => address(index));
  run(
    `add table inet floor\nadd set inet floor s { type ipv4_addr; }\nadd element inet floor s { ${members.join(', ')} }\n`,
  );
  const present = new Set(members.keys());
  return (index, remove) => {
    if (remove === !present.has(index)) return run('\n');
    if (remove) present.delete(index);
    else present.add(index);
    return run(`${remove ? 'delete' : 'add'} element inet floor s { ${address(index)} }\n`);
  };
}

/** How many members the largest set of ours has in the kernel. */
function memberCount(path: string): number {
  const { stdout } = inNamespace(path, () =>
    spawnSync('nft', ['-j', 'list', 'sets', 'table', 'inet', 'muslin'], { encoding: 'utf8', maxBuffer: 1 << 28 }),
  );
  const { nftables } = JSON.parse(stdout) as { nftables: { set?: { elem?: unknown[] } }[] };
  return Math.max(...nftables.map(({ set }) => set?.elem?.length ?? 0));
}

function calculations(): Row[] {
  const calculation = new Calculation(NODE);
  for (let index = 0; index < STEADY.policies; index++) {
    const each = policy(index);
    calculation.updatePolicyResource(formatResourceId({ kind: each.kind, ...each.metadata }), each);
  }
  calculation.updatePolicyResource('GlobalNetworkPolicy from-backend', BIG);
  const tell = (each: AnyResource) => {
    if (each.kind !== 'WorkloadEndpoint') return;
    calculation.updateEndpoint(endpointId(each.metadata.namespace ?? '', each.metadata.name), each);
  };
  for (let index = 0; index < STEADY.endpoints; index++) tell(endpoint(index, index < STEADY.local));
  calculation.takeChanges();
  return [true, false].map((local) => {
    const times: number[] = [];
    for (let round = 0; round < CALCULATIONS; round++) {
      const index = local ? round % STEADY.local : STEADY.local + (round % 1_000);
      const changed = endpoint(index, local, { app: `app${(index + round) % APPS}` });
      const start = performance.now();
      tell(changed);
      calculation.takeChanges();
      times.push(performance.now() - start);
    }
    const [p50, p99] = [percentile(times, 0.5) * 1_000, percentile(times, 0.99) * 1_000];
    return {
      what: `calculation of one update, ${local ? 'local' : 'remote'} endpoint, its app label changed`,
      p50: `${p50.toFixed(0)} µs`,
      p99: `${p99.toFixed(0)} µs`,
      ratio: '',
      goal: 'p50 200 µs',
    };
  });
}

/** In a child process: milliseconds from the first event of the store to everything in the kernel. */
async function coldStart(): Promise<number> {
  return withNamespace('cold', async (path) => {
    const kernel = openKernel(path);
    for (let index = 0; index < COLD.local; index++)
      kernel.addVeth({ name: `cali${index}`, peer: { name: `p${index}` } });
    kernel.close();
    const resources = [
      ...Array.from({ length: COLD.policies }, (_, index) => policy(index)),
      ...Array.from({ length: COLD.local }, (_, index) => endpoint(index, true)),
    ];
    const start = performance.now();
    const host = new Host(path);
    for (const each of resources) host.put(each);
    host.inSync();
    await host.inForce();
    const took = performance.now() - start;
    host.close();
    return took;
  });
}

async function coldStartInChild(): Promise<Row> {
  const child = fork(fileURLToPath(import.meta.url), ['cold'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [took] = (await once(child, 'message')) as [number];
  return {
    what: `cold start, ${COLD.local} local endpoints, ${COLD.policies} policies`,
    p50: `${(took / 1_000).toFixed(2)} s`,
    p99: '',
    ratio: '',
    goal: '5 s',
  };
}

/** A real agent's resident memory, some seconds after everything is in the kernel. */
async function memory(): Promise<Row> {
  return withNamespace('memory', async (path) => {
    const directory = mkdtempSync(join(tmpdir(), 'muslin-bench-'));
    const place = `sqlite://${join(directory, 'store.db')}`;
    const resources = [
      ...Array.from({ length: STEADY.policies }, (_, index) => policy(index)),
      BIG,
      ...Array.from({ length: STEADY.endpoints }, (_, index) => endpoint(index, index < STEADY.local)),
    ];
    const store = await openStore(place);
    for (let start = 0; start < resources.length; start += TRANSACTION_WRITES_MAX) {
      const some = resources.slice(start, start + TRANSACTION_WRITES_MAX);
      await store.transact({
        expect: [],
        writes: some.map((each) => ({ kind: 'put', key: keyOf(each), value: valueOfResource(each) })),
      });
    }
    await store.close();
    const run = join(directory, 'run');
    mkdirSync(run);
    const config = join(directory, 'agent.yaml');
    writeFileSync(config, `node: ${NODE}\nstore: ${place}\nrunDirectory: ${run}\nlogLevel: error\n`);
    const agent = inNamespace(path, () => spawn(MUSLIN, ['node', 'run', '--config', config], { stdio: 'inherit' }));
    try {
      const socket = join(run, 'agent.sock');
      for (;;) {
        const status = await agentStatus(socket).catch(() => undefined);
        if (status?.felix.inSync === true && status.felix.endpoints === STEADY.local) break;
        await pause(100);
      }
      await pause(SETTLE_MS);
      const status = await agentStatus(socket);
      const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${status.pid}/status`, 'utf8'))?.[1]) / 1024;
      return {
        what: `resident memory of the agent, ${STEADY.endpoints} endpoints, ${STEADY.local} local, ${STEADY.policies} policies`,
        p50: `${resident.toFixed(0)} MB`,
        p99: '',
        ratio: '',
        goal: '150 MB',
      };
    } finally {
      agent.kill('SIGTERM');
      await once(agent, 'exit');
      rmSync(directory, { recursive: true });
    }
  });
}

if (process.argv[2] === 'cold') {
  const took = await coldStart();
  process.send?.(took);
} else {
  const rows = [await coldStartInChild(), ...(await labelChanges()), ...calculations(), await memory()];
  const machine = `${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node.js ${process.versions.node}, load average ${loadavg()[0]?.toFixed(1)}`;
  const text = `What policy costs on a host; nftables.\n${machine}\n\n${renderTable(COLUMNS, rows)}`;
  process.stdout.write(text);
  writeFileSync(new URL('policy.txt', import.meta.url), text);
}
