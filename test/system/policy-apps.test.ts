/**
 * A real application in containers, with policies that allow what it needs and nothing else.
 *
 *   outside ─► web (nginx) ─► api (Node.js) ─┬─► dns (dnsmasq)
 *                                            ├─► db (PostgreSQL)
 *                                            └─► cache (Redis)
 *
 * The programs are Debian's, started in the containers' namespaces from a folder of the test's own. They listen at ports
 * besides those of the prober, which tries what should be refused.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { namespacePath } from '../../src/kernel/network-namespace.ts';
import { ip } from '../../src/net/ip.ts';
import { DATAPLANES, PolicyWorld, type TestDataplane, type TestWorkload } from './policy/policy-world.ts';
import type { Probe } from './policy/prober.ts';
import { documentsOf } from './policy/situation.ts';

const PORTS = { web: 8000, api: 3000, db: 15_432, cache: 16_379, dns: 5353 } as const;
const DEBIAN_POSTGRESQL = '/usr/lib/postgresql';
const START_MS = 60_000;
const ANSWER_MS = 20_000;

function workload(name: keyof typeof PORTS, host: TestWorkload['host'], last: number, port: object): TestWorkload {
  const subnet = host === 'host-a' ? 0 : 1;
  return {
    name,
    host,
    labels: { app: name },
    addresses: [`10.65.${subnet}.${last}`, `fd65:0:0:${subnet}::${last}`],
    spec: { ports: [{ protocol: 'TCP', ...port, port: PORTS[name] }] },
  };
}

const WORKLOADS: readonly TestWorkload[] = [
  workload('web', 'host-a', 1, { name: 'http' }),
  workload('api', 'host-a', 2, { name: 'rpc' }),
  workload('db', 'host-b', 1, { name: 'sql' }),
  workload('cache', 'host-b', 2, { name: 'keys' }),
  workload('dns', 'host-b', 3, { name: 'domain', protocol: 'UDP' }),
];

function policy(app: string, rules: string): string {
  return `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: ${app}, namespace: default }
spec:
  selector: app == '${app}'
${rules}
---`;
}

function peer(end: 'source' | 'destination', app: string, port: string, protocol = 'TCP'): string {
  return end === 'source'
    ? `    - { action: Allow, protocol: ${protocol}, source: { selector: app == '${app}' }, destination: { ports: [${port}] } }`
    : `    - { action: Allow, protocol: ${protocol}, destination: { selector: app == '${app}', ports: [${port}] } }`;
}

const DEFAULT_DENY = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: no-metadata }
spec: { order: 1, selector: all(), types: [Egress], egress: [{ action: Deny, destination: { nets: [169.254.169.254/32] } }] }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: default-deny }
spec: { order: 2000, selector: has(app), types: [Ingress, Egress] }
---`;
const WEB = policy(
  'web',
  `  ingress:
    - { action: Allow, protocol: TCP, source: { nets: [10.99.0.0/24] }, destination: { ports: [http] } }
    - { action: Allow, protocol: TCP, source: { nets: ["fd99::/64"] }, destination: { ports: [http] } }
  egress:
${peer('destination', 'api', 'rpc')}`,
);
const API = policy(
  'api',
  `  ingress:
${peer('source', 'web', 'rpc')}
  egress:
${peer('destination', 'db', 'sql')}
${peer('destination', 'cache', 'keys')}
${peer('destination', 'dns', 'domain', 'UDP')}`,
);
const DB = policy('db', `  ingress:\n${peer('source', 'api', 'sql')}`);
const CACHE = policy('cache', `  ingress:\n${peer('source', 'api', 'keys')}`);
const DNS = policy('dns', `  ingress:\n${peer('source', 'api', 'domain', 'UDP')}`);
const ALL = [DEFAULT_DENY, WEB, API, DB, CACHE, DNS];

/** Who may connect to whom once all policies are in force. */
const TRIES: readonly (readonly [string, string, number, boolean])[] = [
  ['outside', '10.65.0.1', PORTS.web, true],
  ['outside', 'fd65::1', PORTS.web, true],
  ['web', '10.65.0.2', PORTS.api, true],
  ['api', '10.65.1.1', PORTS.db, true],
  ['api', '10.65.1.2', PORTS.cache, true],
  ['outside', '10.65.0.1', 80, false],
  ['outside', '10.65.0.2', PORTS.api, false],
  ['outside', '10.65.1.1', PORTS.db, false],
  ['web', '10.65.1.1', PORTS.db, false],
  ['web', 'fd65:0:0:1::1', PORTS.db, false],
  ['web', '10.65.1.2', PORTS.cache, false],
  ['api', '10.65.0.1', PORTS.web, false],
  ['api', '10.99.0.2', 443, false],
  ['api', 'fd99::2', 443, false],
  ['api', '169.254.169.254', 80, false],
  ['web', '169.254.169.254', 80, false],
  ['db', '10.65.0.2', PORTS.api, false],
  ['db', '10.65.1.2', PORTS.cache, false],
  ['db', '10.99.0.2', 443, false],
  ['db', '169.254.169.254', 80, false],
];

/** The programs of the application, in the containers of a world. */
class Application {
  readonly #world: PolicyWorld;
  readonly #folder = mkdtempSync(join(tmpdir(), 'muslin-apps-'));
  readonly #running: ChildProcess[] = [];

  constructor(world: PolicyWorld) {
    this.#world = world;
    chmodSync(this.#folder, 0o755); // PostgreSQL runs as a user of its own
  }

  /** Resolves when all of them listen. */
  async start(): Promise<void> {
    const version = readdirSync(DEBIAN_POSTGRESQL).toSorted().at(-1) ?? '';
    const programs = join(DEBIAN_POSTGRESQL, version, 'bin');
    this.#startDatabase(programs);
    this.#run('cache', 'redis-server', [
      '--port',
      `${PORTS.cache}`,
      '--protected-mode',
      'no',
      '--save',
      '',
      '--dir',
      this.#folder,
    ]);
    const names = ['db', 'cache'].map((name) => `--address=/${name}.shop.test/${this.#addressOf(name)}`);
    this.#run('dns', 'dnsmasq', [
      ...['--keep-in-foreground', `--port=${PORTS.dns}`, '--no-resolv', '--no-hosts', '--user=root'],
      ...['--conf-file=/dev/null', `--pid-file=${this.#folder}/dnsmasq.pid`, ...names],
    ]);
    this.#run('api', process.execPath, [join(import.meta.dirname, 'policy/shop-api.ts')], {
      DNS: `${this.#addressOf('dns')}:${PORTS.dns}`,
      CACHE_PORT: `${PORTS.cache}`,
      DB_PORT: `${PORTS.db}`,
      PORT: `${PORTS.api}`,
      PSQL: join(programs, 'psql'),
    });
    this.#startFrontend();
    const all = Object.entries(PORTS).filter(([name]) => name !== 'dns');
    const probes = all.map(
      ([name, port]): Probe => ({ from: 'outside', to: ip(this.#addressOf(name)), protocol: 'tcp', port }),
    );
    const deadline = performance.now() + START_MS;
    for (;;) {
      // Each asking waits some seconds for what is not there yet.
      const got = await this.#world.prober.run(
        probes,
        probes.map(() => true),
      );
      if (got.every(Boolean)) break;
      assert.ok(performance.now() < deadline, `not all programs listen: ${JSON.stringify(got)}`);
    }
    const psql = ['-h', this.#addressOf('db'), '-p', `${PORTS.db}`, '-U', 'postgres', '-qc'];
    const sql = "CREATE TABLE orders (title text); INSERT INTO orders VALUES ('tea'), ('linen')";
    await this.#inside('outside', join(programs, 'psql'), [...psql, sql]);
  }

  /** What the outside sees: status and body. */
  async visit(address: string): Promise<{ readonly status: number; readonly body: string }> {
    const url = `http://${address}:${PORTS.web}/orders`;
    const words = ['-s', '-g', '--max-time', `${ANSWER_MS / 1000}`, '-w', String.raw`\n%{http_code}`, url];
    const lines = (await this.#inside('outside', 'curl', words)).split('\n');
    return { status: Number(lines.pop()), body: lines.join('\n') };
  }

  async end(): Promise<void> {
    const ended = this.#running.map((child) => {
      if (child.exitCode !== null || child.signalCode !== null) return undefined;
      const exit = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGQUIT'); // at once for PostgreSQL, which then gives its shared memory back
      return exit;
    });
    await Promise.all(ended);
    rmSync(this.#folder, { recursive: true });
  }

  #startDatabase(programs: string): void {
    const folder = join(this.#folder, 'db');
    mkdirSync(folder);
    execFileSync('chown', ['postgres:', folder]);
    const asPostgres = ['--reuid=postgres', '--regid=postgres', '--clear-groups', '--pdeathsig', 'KILL'];
    const init = ['-D', folder, '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C', '-U', 'postgres'];
    execFileSync('setpriv', [...asPostgres, join(programs, 'initdb'), ...init], { stdio: 'pipe', cwd: folder });
    appendFileSync(join(folder, 'pg_hba.conf'), 'host all all all trust\n');
    const settings = ['listen_addresses=*', `unix_socket_directories=${folder}`, 'fsync=off'].flatMap((each) => [
      '-c',
      each,
    ]);
    const words = ['-D', folder, '-p', `${PORTS.db}`, ...settings];
    this.#run('db', 'setpriv', [...asPostgres, join(programs, 'postgres'), ...words]);
  }

  #startFrontend(): void {
    const folder = join(this.#folder, 'web');
    mkdirSync(folder);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const server = `server { listen ${PORTS.web}; listen [::]:${PORTS.web}; location / { proxy_pass http://${this.#addressOf('api')}:${PORTS.api}; proxy_connect_timeout 3s; } }`;
    const text = `daemon off; master_process off; pid ${folder}/pid; error_log /dev/null;
events {}
http { access_log off; ${temporary.join(' ')} ${server} }
`;
    writeFileSync(join(folder, 'nginx.conf'), text);
    this.#run('web', 'nginx', ['-p', folder, '-e', '/dev/null', '-c', join(folder, 'nginx.conf')]);
  }

  #run(
    where: string,
    program: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): void {
    const inNamespace = [`--net=${namespacePath(this.#world.namespace(where))}`, program, ...words];
    const child = spawn('nsenter', inNamespace, { stdio: 'ignore', cwd: '/', env: { ...process.env, ...environment } });
    this.#running.push(child);
  }

  async #inside(where: string, program: string, words: readonly string[]): Promise<string> {
    const inNamespace = [`--net=${namespacePath(this.#world.namespace(where))}`, program, ...words];
    return (await promisify(execFile)('nsenter', inNamespace)).stdout;
  }

  #addressOf(name: string): string {
    return WORKLOADS.find((each) => each.name === name)?.addresses[0] ?? '';
  }
}

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

for (const dataplane of DATAPLANES satisfies readonly TestDataplane[]) {
  describe(`an application in containers, ${dataplane}`, { skip }, () => {
    let world: PolicyWorld | undefined;
    let shop: Application | undefined;
    before(async () => {
      world = await PolicyWorld.open('apps', dataplane, WORKLOADS);
      shop = new Application(world);
      await shop.start();
    });
    after(async () => {
      await shop?.end();
      world?.close();
    });

    const tried = async (expected: readonly boolean[]): Promise<string[]> => {
      const probes = TRIES.map(([from, to, port]): Probe => ({ from, to: ip(to), protocol: 'tcp', port }));
      const got = (await world?.prober.run(probes, expected)) ?? [];
      return TRIES.flatMap(([from, to, port], index) =>
        got[index] === expected[index] ? [] : [`${from} > ${to} ${port} ${got[index] ? 'gets through' : 'does not'}`],
      );
    };

    test('without policies it works, and everything is open', async () => {
      const { status, body } = await shop!.visit('10.65.0.1');
      assert.deepEqual([status, JSON.parse(body)], [200, { orders: ['linen', 'tea'], visits: 1 }]);
      assert.deepEqual(await tried(TRIES.map(() => true)), []);
    });

    test('with policies it works over both families, and nothing else does', async () => {
      await world!.apply(documentsOf(ALL.join('\n')));
      for (const [index, address] of ['10.65.0.1', '[fd65::1]'].entries()) {
        const { status, body } = await shop!.visit(address);
        assert.deepEqual([status, JSON.parse(body)], [200, { orders: ['linen', 'tea'], visits: index + 2 }]);
      }
      assert.deepEqual(await tried(TRIES.map(([, , , allowed]) => allowed)), []);
    });

    const missing = [
      ['the name server', DNS],
      ['the database', DB],
    ] as const;
    for (const [title, policies] of missing) {
      test(`without the policy of ${title} it says that it cannot, and with it again it can`, async () => {
        await world!.apply(documentsOf(ALL.filter((each) => each !== policies).join('\n')));
        assert.equal((await shop!.visit('10.65.0.1')).status, 503);
        await world!.apply(documentsOf(ALL.join('\n')));
        assert.equal((await shop!.visit('10.65.0.1')).status, 200);
      });
    }
  });
}
