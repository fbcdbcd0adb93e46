/**
 * `muslin bgp …` as somebody at a terminal meets it: real processes ask a real control socket, behind which a table of values
 * plays the speaker.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FakeBgp } from '../node/bgp/bgp-control.suite.ts';
import { fakeBgp, neighborView, peerView, routeView } from '../node/bgp/bgp-control.suite.ts';
import type { AgentStatus } from '../node/control-api.ts';
import { startControlServer } from '../node/control-server.ts';
import { EXIT_CODE } from './exit-code.ts';

const MUSLIN = fileURLToPath(new URL('../../bin/muslin', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-bgp-'));
const STORE = join(directory, 'store.db');
const SOCKETS = { small: join(directory, 'small.sock'), large: join(directory, 'large.sock') };

const bgp: FakeBgp = fakeBgp({
  neighbors: [neighborView('10.0.0.2', { description: 'mesh, Node host-b' })],
  peers: [peerView('10.0.0.3', { state: 'Active', lastError: 'connection refused', holdTimeSeconds: undefined })],
  routes: [
    routeView('10.1.2.0/24', { pathId: 7 }),
    routeView('10.1.2.0/24', { from: 'local', nextHop: '', best: false, asPath: '' }),
    routeView('10.1.2.64/26', { best: false, multipath: true, stale: true }),
  ],
});
/** Pages of 500 as the agent has them. */
const LARGE = 3_000;
const large = fakeBgp({
  problem: 'port 179 is taken',
  problems: ['BGPPeer tor: no BGPFilter "x"'],
  routes: Array.from({ length: LARGE }, (_, index) => routeView(`10.${index >> 8}.${index & 255}.0/24`)),
  pageSize: 500,
});

const servers: Server[] = [];

/** The agent of host-a. */
function status(): AgentStatus {
  const felix = {
    inSync: true,
    reasons: [],
    endpoints: 0,
    routes: 0,
    unsettled: [],
    tunnels: [],
    withoutDevice: [],
    filter: { title: 'nftables', why: '' },
  };
  return { node: 'host-a', version: '', pid: 1, startedAt: '', store: '', felix, bgp: bgp.status(), warnings: [] };
}

before(async () => {
  const readiness = () => ({ ready: true, reasons: [] });
  for (const [path, speaker] of [
    [SOCKETS.small, bgp],
    [SOCKETS.large, large],
  ] as const)
    servers.push(await startControlServer(path, { status, readiness, bgp: speaker, policy: undefined }));
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

function muslin(words: readonly string[], socket = SOCKETS.small): Promise<Ended> {
  const env = { ...process.env, MUSLIN_SOCKET: socket, MUSLIN_STORE: STORE };
  const options = { cwd: directory, env, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile(MUSLIN, [...words], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

interface Row {
  readonly words: readonly string[];
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
  readonly code?: number;
}

const NOTHING = /^$/;

const ROWS: readonly Row[] = [
  {
    words: ['peers'],
    stdout:
      /^PEER +AS +STATE +FOR +RECEIVED +SENT +INFO\n10.0.0.2 +64512 +Established +1m5s +3 +1 +mesh, Node host-b\n10.0.0.3 .* Active .* connection refused\n$/,
  },
  { words: ['peers', '-o', 'wide'], stdout: /^PEER +AS +TYPE +ROUTER ID +STATE +FOR +HOLD +RECEIVED +ACCEPTED +SENT/ },
  { words: ['peers', '-o', 'json'], stdout: /^\[\n {2}\{\n {4}"address": "10.0.0.2"/ },
  { words: ['peers', '-o', 'yaml'], stdout: /^- address: 10.0.0.2\n/ },
  {
    words: ['routes'],
    stdout:
      /^PREFIX +NEXT HOP +FROM +BEST +LOCAL PREF +AS PATH\n10.1.2.0\/24 +10.0.0.2 +10.0.0.2 +yes +100 +64513\n10.1.2.0\/24 +local +no +100\n10.1.2.64\/26 .* equal \(stale\) +100/,
  },
  { words: ['routes', '10.1.2.70'], stdout: /^PREFIX.*\n10.1.2.64\/26 .*\n$/ },
  { words: ['routes', '10.1.2.70', '--covering'], stdout: /^PREFIX.*\n(10.1.2.0\/24 .*\n){2}10.1.2.64\/26 .*\n$/ },
  {
    words: ['routes', '10.1.0.0/16', '--longer', '-o', 'wide'],
    stdout: /COMMUNITIES.*\n10.1.2.0\/24 .* 7 .* 64512:1\n/,
  },
  { words: ['routes', '10.9.0.0/16'], stdout: /^no routes\n$/ },
  { words: ['routes', '10.9.0.0/16', '-o', 'json'], stdout: /^\[\]\n$/ },
  { words: ['routes', '--peer', 'local'], stdout: /^PREFIX.*\n10.1.2.0\/24 +local .*\n$/ },
  { words: ['routes', '--received', 'host-b'], stdout: /^PREFIX.*\n10.1.2.0\/24.*\n10.1.2.64\/26.*\n$/ },
  { words: ['routes', '--advertised', '10.0.0.3', '--family', '6'], stdout: /^no routes\n$/ },
  {
    words: ['routes', '--longer'],
    stdout: NOTHING,
    stderr: /--longer says what is meant by PREFIX/,
    code: EXIT_CODE.usage,
  },
  {
    words: ['routes', '--received', 'a', '--advertised', 'b'],
    stdout: NOTHING,
    stderr: /cannot be used with/,
    code: EXIT_CODE.usage,
  },
  {
    words: ['routes', '10.1.2.3/24'],
    stdout: NOTHING,
    stderr: /^muslin: 10.1.2.3\/24 has bits beyond its length; write 10.1.2.0\/24\n$/,
    code: EXIT_CODE.usage,
  },
  {
    words: ['routes', '--received', '10.0.0.4', '-o', 'json'],
    stdout: NOTHING,
    stderr: /^muslin: no peer 10.0.0.4; did you mean 10.0.0.2\?\n$/,
    code: EXIT_CODE.notFound,
  },
  {
    words: ['neighbor', 'host-b'],
    stdout:
      /^Peer: +10.0.0.2 \(mesh, Node host-b\)\nAS: +64512, internal; ours is 64512\nState: +Established for 1m5s\nLast NOTIFICATION: +received 1m1s ago: cease: administrative shutdown \(6\/2\): moving\nConnection: +from 10.0.0.1, to port 179, with a password \(MD5\)\nRouter id: +10.0.0.2\nTimers: +given up after 90 s of silence, a KEEPALIVE every 30 s\nBFD: +not used\nFamilies: +IPv4 unicast\nBoth can: +route refresh\nOnly we can: +add-path\nOnly the peer can: +role\nPrefixes: +3 received, 2 of them accepted; 1 sent\nLooped: +4 routes not used.*\n(.*\n){3}\nMESSAGES +RECEIVED +SENT\nOPEN +1 +1\nUPDATE +5 +2\n(.*\n){4}\nSession log:\n1m10s ago {2}Active → OpenSent: connected\n 1m5s ago {2}OpenConfirm → Established: KEEPALIVE\n$/,
  },
  { words: ['neighbor', '10.0.0.2', '-o', 'yaml'], stdout: /\nlastNotification:\n {2}direction: received\n/ },
  { words: ['log', '10.0.0.2'], stdout: /^1m10s ago .*\n 1m5s ago .*\n$/ },
  { words: ['log', '10.0.0.2', '-o', 'json'], stdout: /^\[\n {2}\{\n {4}"agoMs": 65000/ },
  {
    words: ['explain', '10.1.2.3'],
    stdout:
      /^10.1.2.0\/24: 2 candidates; decided by: highest LOCAL_PREF\npackets go to 10.0.0.2\n\n1. from 10.0.0.2, path 7, next hop 10.0.0.2: best\n {3}local preference 100, AS path 64513, origin igp, communities 64512:1\n\n2. our own: lost at: highest.*\n {3}local preference 100, empty AS path,.*\n\nPEER +ADVERTISED\n10.0.0.3 +not sent: learnt from an internal peer\n$/,
  },
  {
    words: ['explain', '10.9.9.9'],
    stdout: NOTHING,
    stderr: /BGP knows no route to 10.9.9.9/,
    code: EXIT_CODE.notFound,
  },
  { words: ['reset', 'host-b', '--soft', 'in'], stdout: /^10.0.0.2: asked for its routes again\n$/ },
  {
    words: ['reset', 'host-b', '--soft', 'in', '--communication', 'x'],
    stdout: NOTHING,
    stderr: /cannot be used with/,
    code: EXIT_CODE.usage,
  },
  {
    words: ['reset', '10.0.0.3', '--soft', 'out'],
    stdout: NOTHING,
    stderr: /10.0.0.3 is Active/,
    code: EXIT_CODE.usage,
  },
  {
    words: ['peers', '--socket', '/nonexistent/agent.sock'],
    stdout: NOTHING,
    stderr: /the agent does not answer/,
    code: EXIT_CODE.unreachable,
  },
];

for (const { words, stdout = NOTHING, stderr = NOTHING, code = EXIT_CODE.ok } of ROWS) {
  test(`muslin bgp ${words.join(' ')}`, async () => {
    const ended = await muslin(['bgp', ...words]);
    assert.match(ended.stderr, stderr);
    assert.match(ended.stdout, stdout);
    assert.equal(ended.code, code);
  });
}

test('a reset takes the words for the other side along', async () => {
  bgp.commands.length = 0;
  const ended = await muslin(['bgp', 'reset', '10.0.0.2', '--communication', 'new cable & more']);
  assert.deepEqual([ended.stdout, ended.stderr], ['10.0.0.2: the session is being reset\n', '']);
  const command = { kind: 'reset', communication: 'new cable & more' };
  assert.deepEqual(bgp.commands, [{ peer: '10.0.0.2', command }]);
});

test('a long table ends with a hint, and asks for no more pages than it shows', async () => {
  large.pages = 0;
  const cut = await muslin(['bgp', 'routes'], SOCKETS.large);
  assert.equal(cut.stdout.split('\n').length, 1 + 1_000 + 1);
  assert.match(cut.stderr, /only 1000 routes are shown; --all shows all/);
  assert.equal(large.pages, 3);
  const all = await muslin(['bgp', 'routes', '--all'], SOCKETS.large);
  assert.deepEqual([all.stdout.split('\n').length, all.stderr], [1 + LARGE + 1, '']);
});

test('a speaker that does not run says why, and still answers', async () => {
  const { code, stdout, stderr } = await muslin(['bgp', 'peers', '-o', 'json'], SOCKETS.large);
  assert.deepEqual([code, stdout], [0, '[]\n']);
  assert.equal(stderr, 'BGP does not run: port 179 is taken\nBGPPeer tor: no BGPFilter "x"\n');
});

for (const format of ['json', 'yaml'] as const) {
  test(`a long table is whole in ${format}, and one document`, async () => {
    const { stdout } = await muslin(['bgp', 'routes', '-o', format], SOCKETS.large);
    const routes = format === 'json' ? JSON.parse(stdout) : (await import('yaml')).parse(stdout);
    assert.equal(routes.length, LARGE);
    assert.deepEqual(routes[LARGE - 1], JSON.parse(JSON.stringify(routeView(`10.${(LARGE - 1) >> 8}.183.0/24`))));
  });
}

test('a dump is a file, or nothing', async () => {
  const { code, stderr } = await muslin(['bgp', 'dump', '--file', 'table.mrt']);
  assert.deepEqual([code, stderr], [0, 'table.mrt: 59 bytes\n']);
  assert.equal(readFileSync(join(directory, 'table.mrt')).readUInt16BE(4), 13);
  const failed = await muslin(['bgp', 'dump', '--file', 'no/such/directory/table.mrt']);
  assert.equal(failed.code, EXIT_CODE.failure);
  assert.match(failed.stderr, /^muslin: no\/such.*not written: ENOENT/);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.endsWith('.partial')),
    [],
  );
  assert.equal((await muslin(['bgp', 'dump'])).stdout.length, (await muslin(['bgp', 'dump'])).stdout.length);
});

test('names of peers complete', async () => {
  for (const words of [
    ['bgp', 'neighbor', '10.'],
    ['bgp', 'routes', '--received', ''],
  ]) {
    const { stdout } = await muslin(['__complete', '--', ...words]);
    assert.equal(stdout, '10.0.0.2\tmesh, Node host-b\n10.0.0.3\t\n');
  }
});

test('describe shows the sessions of the node that the agent is of, and of no other', async () => {
  const node = (name: string) =>
    `apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: ${name}}\nspec: {bgp: {ipv4Address: 10.0.0.1/24}}\n---\n`;
  writeFileSync(join(directory, 'nodes.yaml'), node('host-a') + node('host-b'));
  assert.equal((await muslin(['apply', '-f', 'nodes.yaml'])).code, 0);
  const shown = /\nBGP: +10.0.0.2 Established for 1m5s \(mesh, Node host-b\)\n +10.0.0.3 Active for 1m5s/;
  assert.match((await muslin(['describe', 'node', 'host-a'])).stdout, shown);
  assert.doesNotMatch((await muslin(['describe', 'node', 'host-b'])).stdout, /BGP:/);
  assert.doesNotMatch((await muslin(['describe', 'node', 'host-a'], '/nonexistent.sock')).stdout, /BGP:/);
});
