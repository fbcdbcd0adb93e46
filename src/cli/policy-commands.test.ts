/**
 * `muslin endpoint`, `drops` and `policy status` as somebody at a terminal meets them: real processes, a real control socket with
 * values behind it, a real store with reports of agents in it.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RuleOrigin } from '../felix/dataplane/filter/program.ts';
import { fakeBgp } from '../node/bgp/bgp-control.suite.ts';
import type { DropView, EndpointSummary, EndpointView, PolicyControl, RuleView } from '../node/control-api.ts';
import { startControlServer } from '../node/control-server.ts';
import type { PolicyReport } from '../node/filter/policy-report.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Json } from '../store/store.ts';
import { STATUS_PREFIX } from '../store/store.ts';
import { EXIT_CODE } from './exit-code.ts';

const MUSLIN = fileURLToPath(new URL('../../bin/muslin', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-policy-'));
const STORE = join(directory, 'store.db');
const SOCKET = join(directory, 'agent.sock');
const EMPTY_SOCKET = join(directory, 'empty.sock');

const DB_RULE: RuleOrigin = {
  kind: 'policy',
  name: 'NetworkPolicy shop/db',
  tier: 'default',
  direction: 'ingress',
  index: 1,
};
const PROTECTION: RuleOrigin = {
  kind: 'protection',
  name: 'DHCP server',
  tier: undefined,
  direction: 'egress',
  index: undefined,
};
const TIER_END: RuleOrigin = {
  kind: 'tier-end',
  name: 'default',
  tier: 'default',
  direction: 'egress',
  index: undefined,
};

function rule(owner: RuleOrigin, packets: number | undefined, more: Partial<RuleView> = {}): RuleView {
  return { owner, action: 'deny', file: undefined, chain: 'c', shared: false, packets, bytes: packets, ...more };
}

const DB: EndpointView = {
  ...{
    name: 'shop/host--a-cni-1-eth0',
    workload: 'shop/db1',
    device: 'cali1',
    addresses: ['10.0.0.1/32', 'fd00::1/128'],
  },
  ...{ inForce: true, pending: '', policies: 1, since: '2020-01-01T00:00:00.000Z', profiles: ['kns.shop'] },
  floatingIps: [{ external: '192.0.2.1', internal: '10.0.0.1', outgoing: true }],
  services: [
    { address: '203.0.113.10', here: 2, everywhere: 5, state: 'announced' },
    { address: '203.0.113.11', here: 1, everywhere: 1, state: 'in no range' },
  ],
  staged: ['StagedNetworkPolicy shop/tried'],
  ingress: [
    rule({ ...DB_RULE, index: 0 }, 7, { action: 'allow', shared: true, file: 'shop.yaml:8' }),
    rule(DB_RULE, undefined, { shared: true, file: 'shop.yaml:12' }),
  ],
  egress: [rule(PROTECTION, 0), rule({ ...PROTECTION, name: 'IPIP' }, 2), rule(TIER_END, 0)],
};
const WEB: EndpointSummary = {
  ...{ name: 'shop/host--a-cni-2-eth0', workload: 'shop/web1', device: 'cali2', addresses: ['10.0.0.2/32'] },
  ...{ inForce: false, pending: 'the device is not there', policies: 0 },
};

const DROP: DropView = {
  ...{ time: '2020-01-01T12:00:01.123Z', family: 4, protocol: 6, source: '10.9.9.9', sourcePort: 40000 },
  ...{ destination: '10.0.0.1', destinationPort: 5432, from: undefined, to: 'shop/db1' },
  ...{
    inDevice: 'eth0',
    outDevice: 'cali1',
    rule: DB_RULE,
    origin: DB_RULE.name,
    file: 'shop.yaml:12',
    prefix: 'DPI1|x',
  },
};
const DROPS: readonly DropView[] = [
  DROP,
  {
    ...DROP,
    protocol: 58,
    source: 'fd00::1',
    sourcePort: undefined,
    from: 'shop/db1',
    to: undefined,
    rule: TIER_END,
    file: undefined,
  },
  { ...DROP, time: undefined, protocol: 47, source: undefined, sourcePort: undefined, rule: undefined },
];

const policy: PolicyControl = {
  endpoints: () => [DB, WEB],
  endpoint: (name) => {
    if (name === 'shop/db1') return DB;
    return name === 'twin' ? [DB, WEB] : [];
  },
  denials: () => [
    { owner: DB_RULE, file: 'shop.yaml:12', chain: 'c', workload: undefined, packets: 9, bytes: 1 },
    { owner: TIER_END, file: undefined, chain: 'c', workload: 'shop/db1', packets: 2, bytes: 1 },
  ],
  policies: () => [],
  watchDrops: (listener) => {
    setImmediate(() => listener(DROPS, 4));
    return () => undefined;
  },
};
const nobody: PolicyControl = {
  ...{ endpoints: () => [], endpoint: () => [], denials: () => [], policies: () => [], watchDrops: () => undefined },
};

const servers: Server[] = [];

const POLICIES = `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: db, namespace: shop }
spec:
  selector: role == 'db'
  ingress:
    - action: Allow
      protocol: TCP
    - action: Deny
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: everybody }
spec:
  selector: all()
  ingress:
    - action: Deny
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: nobody }
spec: { selector: role == 'none' }
`;
const NODES = ['a', 'b', 'c', 'd'].map(
  (name) => `---\napiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: host-${name}}\nspec: {}\n`,
);

/** No process has it: the kernel's largest is 4194304. */
const NO_PID = 4_194_305;

function report(node: string, pid: number, policies: PolicyReport['policies']): Json {
  return { node, pid, at: '2020-01-01T00:00:00Z', omitted: 0, policies } as unknown as Json;
}

before(async () => {
  const readiness = () => ({ ready: true, reasons: [] });
  const source = { status: undefined, readiness, bgp: fakeBgp({ neighbors: [] }) };
  servers.push(await startControlServer(SOCKET, { ...source, policy }));
  servers.push(await startControlServer(EMPTY_SOCKET, { ...source, policy: nobody }));
  writeFileSync(join(directory, 'shop.yaml'), POLICIES + NODES.join(''));
  assert.equal((await muslin(['apply', '-f', 'shop.yaml'])).code, 0);
  const store = openSqliteStore(STORE);
  const entries = await store.list('/resources/');
  const revisionOf = (end: string) => String(entries.entries.find(({ key }) => key.endsWith(end))?.revision);
  const db = {
    policy: 'NetworkPolicy shop/db',
    endpoints: 2,
    revision: revisionOf('/db'),
    ingress: [5, 0],
    egress: [],
  };
  const everybody = { policy: 'GlobalNetworkPolicy everybody', endpoints: 3 };
  const reports = [
    report('host-a', process.pid, [db, { ...everybody, revision: revisionOf('/everybody'), ingress: [0], egress: [] }]),
    report('host-b', process.pid, [
      { ...db, ingress: [1, 0] },
      { ...everybody, revision: '1', ingress: [8], egress: [] },
    ]),
    report('host-c', process.pid, [{ ...everybody, error: 'no memory' }]),
    report('host-d', NO_PID, [db]),
    'nonsense',
  ];
  await store.transact({
    expect: [],
    writes: reports.map((value, index) => ({ kind: 'put', key: `${STATUS_PREFIX}host-${index}`, value })),
  });
  await store.close();
});

after(() => {
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function muslin(words: readonly string[], socket = SOCKET): Promise<Ended> {
  const env = { ...process.env, MUSLIN_SOCKET: socket, MUSLIN_STORE: STORE };
  return new Promise((resolve) => {
    execFile(MUSLIN, [...words], { cwd: directory, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

interface Row {
  readonly words: readonly string[];
  readonly socket?: string;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
  readonly code?: number;
}

const NOTHING = /^$/;
const { ok, notFound, unreachable } = EXIT_CODE;

const ROWS: readonly Row[] = [
  {
    words: ['endpoint', 'list'],
    stdout:
      /^WORKLOAD +DEVICE +ADDRESSES +POLICIES +IN FORCE\nshop\/db1 +cali1 +10.0.0.1,fd00::1 +1 +yes\nshop\/web1 +cali2 +10.0.0.2 +0 +no: the device is not there\n\nthe rules of one: muslin endpoint describe shop\/db1\n$/,
  },
  { words: ['endpoint', 'list'], socket: EMPTY_SOCKET, stdout: /^no containers on this host\n$/ },
  { words: ['endpoint', 'list', '-o', 'json'], stdout: /^\[\n {2}\{\n {4}"name": "shop\/host--a-cni-1-eth0"/ },
  {
    words: ['endpoint', 'describe', 'shop/db1'],
    stdout:
      /^workload +shop\/db1\nendpoint +shop\/host--a-cni-1-eth0\ndevice +cali1\naddresses +10.0.0.1, fd00::1\nin force +yes, for \d+d\d+h as it is \(since 2020.*\)\nfloating +192.0.2.1 leads to 10.0.0.1, and is what it speaks with\nservice +203.0.113.10 for 5 containers, 2 here; announced\nservice +203.0.113.11 for 1 container, 1 here; not announced: in none of serviceLoadBalancerIPs\nprofiles +kns.shop\nstaged +StagedNetworkPolicy shop\/tried would choose it; it is not enforced\n\nIngress.*\(chain cali-tw-cali1\):\nTIER +OWNER +RULE +ACTION +PACKETS +FILE\ndefault +NetworkPolicy shop\/db +0 +allow +7\* +shop.yaml:8\ndefault +NetworkPolicy shop\/db +1 +deny +\? +shop.yaml:12\n\nEgress.*\(chain cali-fw-cali1\):\nTIER.*\n- +protection: IPIP +- +deny +2 +-\ndefault +end of tier default +- +deny +0 +-\nand 1 protection that denied nothing.*\n\n\* shared: .*\n$/,
  },
  {
    words: ['endpoint', 'describe', 'shop/db2'],
    code: notFound,
    stderr: /^muslin: no endpoint "shop\/db2" on this host; is it "shop\/db1"\?\n$/,
  },
  {
    words: ['endpoint', 'describe', '10.7.7.7'],
    code: notFound,
    stderr: /^muslin: no endpoint.*`muslin endpoint list` shows/,
  },
  {
    words: ['endpoint', 'describe', 'twin'],
    code: notFound,
    stderr: /"twin" is the name of several endpoints; .*: cali1, cali2\n$/,
  },
  {
    words: ['drops'],
    stdout:
      /^PACKETS +WORKLOAD +DIRECTION +TIER +OWNER +RULE +FILE\n9 +\* +ingress +default +NetworkPolicy shop\/db +1 +shop.yaml:12\n2 +shop\/db1 +egress +default +end of tier default +- +-\n\n\* all containers.*\neach packet as it is denied: muslin drops -f\n$/,
  },
  { words: ['drops'], socket: EMPTY_SOCKET, stdout: /^nothing has been denied since the rules were made\n$/ },
  { words: ['drops', '-o', 'json'], stdout: /^\[\n {2}\{\n {4}"owner": \{\n {6}"kind": "policy"/ },
  { words: ['drops', '-f'], socket: EMPTY_SOCKET, code: unreachable, stderr: /too many watch dropped packets already/ },
  {
    words: ['drops'],
    socket: '/nonexistent.sock',
    code: unreachable,
    stderr: /the agent does not answer.*\n.*lab exec/,
  },
  {
    words: ['policy', 'status'],
    stdout:
      /^POLICY +TIER +NODES +ENDPOINTS +NEVER HIT +STATE\nNetworkPolicy shop\/db +default +2 +4 +1 of 2 rules +in force\nGlobalNetworkPolicy everybody +default +3 +9 +1 of 1 rule +failed on host-c; behind on host-b\nGlobalNetworkPolicy nobody +default +0 +0 +- +chooses nobody\n\nnodes tell of changes.*\nnothing heard from host-d: .*\n$/,
  },
  {
    words: ['policy', 'status', 'shop/db'],
    stdout:
      /^policy +NetworkPolicy shop\/db\ntier +default\nchooses .*role == "db".*\nfile +shop.yaml:1\nrevision +\d+\nstate +in force\n\nNODE +STATE +REVISION +ENDPOINTS +ERROR\nhost-a +in force +\d+ +2\nhost-b +in force +\d+ +2\n\nRULE +ACTION +PACKETS +FILE\ningress 0 +allow +6 +shop.yaml:7\ningress 1 +deny +never hit +shop.yaml:9\n/,
  },
  {
    words: ['policy', 'status', 'everybody'],
    stdout:
      /\nhost-b +behind +1 +3\nhost-c +failed +- +3 +no memory\n\nRULE.*\ningress 0 +deny +never hit +shop.yaml:17\n/,
  },
  {
    words: ['policy', 'status', 'NetworkPolicy shop/db', '-o', 'json'],
    stdout: /^\{\n {2}"policies": \[\n {4}\{\n {6}"policy": "NetworkPolicy shop\/db",/,
  },
  {
    words: ['policy', 'status', 'shop/dc'],
    code: notFound,
    stderr: /^muslin: no policy "shop\/dc"; is it "shop\/db"\?\n$/,
  },
];

for (const { words, socket, stdout = NOTHING, stderr = NOTHING, code = ok } of ROWS) {
  test(`muslin ${words.join(' ')}${socket === undefined ? '' : ' elsewhere'}`, async () => {
    const ended = await muslin(words, socket);
    assert.match(ended.stderr, stderr);
    assert.match(ended.stdout, stdout);
    assert.equal(ended.code, code);
    for (const line of ended.stdout.split('\n')) assert.ok(line.length <= 120, `too wide: ${line}`);
  });
}

for (const [format, expected] of [
  [
    'table',
    [
      '12:00:01.123 ingress tcp 10.9.9.9:40000 > shop/db1 (10.0.0.1:5432) denied by tier default, NetworkPolicy shop/db rule 1 (shop.yaml:12)',
      '12:00:01.123 egress icmpv6 shop/db1 ([fd00::1]) > 10.0.0.1:5432 denied by end of tier default, none of whose policies allowed it',
      '- - 47 ? > shop/db1 (10.0.0.1:5432) denied by a rule that is there no more (DPI1|x)',
    ],
  ],
  ['json', DROPS.map((drop) => JSON.stringify(drop))],
] as const) {
  test(`muslin drops -f -o ${format} prints a line a packet, and how many it missed, until interrupted`, async () => {
    const env = { ...process.env, MUSLIN_SOCKET: SOCKET };
    const child = spawn(MUSLIN, ['drops', '-f', '-o', format], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    let stderr = '';
    for await (const chunk of child.stderr) {
      stderr += chunk;
      if (stderr.includes('4 more')) break;
    }
    child.kill('SIGINT');
    await once(child, 'close');
    assert.deepEqual(lines, expected);
    assert.equal(stderr.includes('watching for denied packets'), format === 'table');
    assert.match(stderr, /^4 more were denied than can be shown$/m);
  });
}
