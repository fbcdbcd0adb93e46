/**
 * Two agents, and resources that change while their sessions are up.
 *
 * What a change concerns follows at once, and no session is reset that need not be: a session's counts of `established` and `flaps`
 * tell. The lab has IPv4 and IPv6, so that a host can have two sessions with the other one. What watches from outside, metrics
 * and BMP, and BFD on a path that goes silent, are here as well, since they are the agent's own.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { NeighborView } from '../../src/bgp/observe/views.ts';
import { MUSLIN, run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('two-hosts-dual-stack');
const TO_B = '172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink';
const A6 = 'fd00:100::100';
const B4 = '192.168.100.101';
const B6 = 'fd00:100::101';
/** Three missing packets of 300 ms each, and the time until a route is seen to be gone. */
const SILENCE_NOTICED_MS = 1_500;

const directoryOf = (host: string): string => `/run/muslin/lab/${lab.name}/${host}`;
const store = (): string[] => ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`];

function apply(...resources: object[]): void {
  const outcome = run(
    MUSLIN,
    ['apply', '-f', '-', ...store()],
    resources.map((each) => JSON.stringify(each)).join('\n---\n'),
  );
  assert.equal(outcome.code, 0, outcome.stderr);
}

function remove(kind: string, ...names: string[]): void {
  const outcome = run(MUSLIN, ['delete', kind, ...names, ...store()]);
  assert.equal(outcome.code, 0, outcome.stderr);
}

const resource = (kind: string, name: string, spec: object, annotations: object = {}) => ({
  apiVersion: 'projectcalico.org/v3',
  kind,
  metadata: { name, annotations },
  spec,
});

/** Host-a's session with host-b over IPv4, as the mesh has it but for what is given. */
const toB = (spec: object = {}, annotations: object = {}) =>
  resource(
    'BGPPeer',
    'to-b',
    { node: 'host-a', peerIP: B4, asNumber: 64512, ...spec },
    {
      'muslin.io/families': 'ipv4,ipv6',
      'muslin.io/passive': 'true',
      'muslin.io/bfd': '300ms*3',
      ...annotations,
    },
  );

/** A second session of the two, over IPv6. */
const overIpv6 = (annotations: object = {}) => [
  resource(
    'BGPPeer',
    'a6',
    { node: 'host-a', peerIP: B6, asNumber: 64512 },
    { 'muslin.io/passive': 'true', ...annotations },
  ),
  resource('BGPPeer', 'b6', { node: 'host-b', peerIP: A6, asNumber: 64512 }, annotations),
];

function session(host: string, name: string): NeighborView {
  const socket = join(directoryOf(host), 'agent.sock');
  const outcome = run(MUSLIN, ['bgp', 'neighbor', name, '-o', 'json', '--socket', socket]);
  assert.equal(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout);
}

const counts = (name: string) => {
  const { established, flaps } = session('host-a', name);
  return { established, flaps };
};

const statusOf = (host: string): string =>
  run(MUSLIN, ['node', 'status', '--socket', join(directoryOf(host), 'agent.sock')]).stdout;

const hasRoute = (): boolean => lab.routes('host-a').includes(TO_B);

const established = (name: string) =>
  lab.eventually(`the session with ${name} is established`, () => session('host-a', name).state === 'Established');

function writeSecret(host: string, secret: string): void {
  const directory = join(directoryOf(host), 'secrets', 'mesh');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, 'key'), secret, { mode: 0o600 });
}

describe('two agents', () => {
  before(async () => {
    lab.up();
    await established(B4);
  });
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('a filter takes routes away and gives them back, and the session goes on', async () => {
    apply(toB());
    await lab.eventually('the resource has the session', () => session('host-a', B4).description.includes('to-b'));
    await established(B4);
    await lab.eventually('the route is there', hasRoute);
    const earlier = counts(B4);
    const reject = { importV4: [{ cidr: '172.17.9.0/24', matchOperator: 'In', action: 'Reject' }] };
    apply(resource('BGPFilter', 'not-b', reject), toB({ filters: ['not-b'] }));
    await lab.eventually('the route is gone', () => !hasRoute());
    assert.ok(lab.routes('host-a', '-6', 'route').join().includes('fd00:17:9::/120 via'));
    apply(resource('BGPFilter', 'not-b', { importV4: [] }));
    await lab.eventually('the route is back', hasRoute);
    assert.deepEqual(counts(B4), earlier);
  });

  it('a filter that is not there lets nothing through, and the status names it', async () => {
    const earlier = counts(B4);
    apply(toB({ filters: ['nope'] }));
    await lab.eventually('the route is gone', () => !hasRoute());
    assert.match(statusOf('host-a'), /BGPPeer\(?.?to-b\)?: .*no BGPFilter nope/);
    apply(toB());
    await lab.eventually('the route is back', hasRoute);
    assert.doesNotMatch(statusOf('host-a'), /nope/);
    assert.deepEqual(counts(B4), earlier);
    remove('bgppeer', 'to-b');
    await lab.eventually('the mesh has the session again', () => session('host-a', B4).description.startsWith('mesh'));
    await established(B4);
  });

  it('a hold time resets the session that it is for, and no other', async () => {
    apply(...overIpv6());
    await established(B6);
    const mesh = counts(B4);
    const before = counts(B6).established;
    apply(...overIpv6({ 'muslin.io/hold-time': '30s' }));
    await lab.eventually('the hold time holds', () => {
      const { state, holdTimeSeconds } = session('host-a', B6);
      return state === 'Established' && holdTimeSeconds === 30;
    });
    assert.ok(counts(B6).established > before);
    assert.deepEqual(counts(B4), mesh);
    remove('bgppeer', 'a6', 'b6');
  });

  it('a password of the mesh comes, changes and goes', async () => {
    const configuration = (spec: object) => resource('BGPConfiguration', 'default', spec);
    for (const secret of ['first', 'second']) {
      const before = counts(B4).established;
      for (const host of ['host-a', 'host-b']) writeSecret(host, secret);
      apply(configuration({ nodeMeshPassword: { secretKeyRef: { name: 'mesh', key: 'key' } } }));
      await lab.eventually(`a session with the ${secret} password`, () => {
        const { state, md5, established: count } = session('host-a', B4);
        return state === 'Established' && md5 && count > before;
      });
    }
    apply(configuration({}));
    await lab.eventually('a session without password', () => {
      const { state, md5 } = session('host-a', B4);
      return state === 'Established' && !md5;
    });
    await lab.eventually('the route is there', hasRoute);
  });

  it('the port and the addresses that are listened on', async () => {
    for (const spec of [{ bindMode: 'NodeIP' }, { listenPort: 1790 }, {}]) {
      const places = 'bindMode' in spec ? '192.168.100.100:179' : `0.0.0.0:${spec.listenPort ?? 179}`;
      apply(resource('BGPConfiguration', 'default', spec));
      const listening = () => lab.inside('host-a', 'ss', '-Hltn').split(/\s+/).includes(places);
      await lab.eventually(`host-a listens on ${places}`, listening);
      await established(B4);
      assert.doesNotMatch(statusOf('host-a'), /EADDRINUSE/);
    }
  });

  it('has metrics where FelixConfiguration says so', async () => {
    const ask = () => lab.tryInside('host-a', process.execPath, '-e', FETCH, 'http://127.0.0.1:9091/metrics');
    assert.notEqual(ask().code, 0);
    apply(resource('FelixConfiguration', 'default', { prometheusMetricsEnabled: true }));
    await lab.eventually('the endpoint answers', () => ask().code === 0);
    const { stdout } = ask();
    assert.match(stdout, new RegExp(`^\\w+\\{[^}]*${B4}[^}]*\\} \\d`, 'm'));
    remove('felixconfiguration', 'default');
    await lab.eventually('the endpoint is gone', () => ask().code !== 0);
  });

  it('is told of peers and their routes by BMP', async () => {
    const collector = lab.spawnInside('host-b', process.execPath, '-e', COLLECT);
    let told = '';
    collector.stdout?.on('data', (text) => {
      told += text;
    });
    await lab.eventually('the collector listens', () => told.includes('ready'));
    await lab.killAgent('host-b');
    const file = join(lab.directory, 'agent.yaml');
    const own = readFileSync(join(directoryOf('host-b'), 'agent.yaml'), 'utf8');
    writeFileSync(file, `${own}bmpCollector: 127.0.0.1:11019\n`);
    const agent = lab.spawnInside('host-b', MUSLIN, 'node', 'run', '--config', file);
    await lab.eventually('initiation, peer up and a route were told', () => /4 .*3 .*0 /s.test(told));
    agent.kill('SIGTERM');
    await lab.eventually('the agent has ended', () => agent.exitCode !== null);
    lab.restart('host-b');
    await established(B4);
  });

  it('BFD notices a path that goes silent, long before the hold time', async () => {
    await lab.eventually('BFD is up', () => session('host-a', B4).bfd?.startsWith('Up') === true);
    await lab.eventually('the route is there', hasRoute);
    const monitor = lab.spawnInside('host-a', 'ip', 'monitor', 'route');
    const gone = new Promise<number>((resolve) => {
      monitor.stdout?.on('data', (text) => {
        if (/Deleted 172\.17\.9\.0\/24/.test(String(text))) resolve(performance.now());
      });
    });
    const rules = 'table inet silent { chain out { type filter hook output priority -300; policy drop; }; }';
    lab.inside('host-b', 'nft', rules);
    const silent = performance.now();
    const noticed = (await gone) - silent;
    monitor.kill();
    console.log(`a silent path was noticed and its route gone after ${noticed.toFixed(0)} ms`);
    assert.ok(noticed < SILENCE_NOTICED_MS, `${noticed} ms`);
    lab.inside('host-b', 'nft', 'delete', 'table', 'inet', 'silent');
    await lab.eventually('the route is back', hasRoute);
  });
});

/** Prints what a server answers; fails when there is none. */
const FETCH = 'fetch(process.argv[1]).then(async (answer) => console.log(await answer.text()))';

/** A BMP collector that prints the type of each message. */
const COLLECT = `
require('node:net').createServer((socket) => {
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 6 && rest.length >= rest.readUInt32BE(1)) {
      console.log(rest[5] + ' of ' + rest.readUInt32BE(1));
      rest = rest.subarray(rest.readUInt32BE(1));
    }
  });
}).listen(11019, '127.0.0.1', () => console.log('ready'));
`;
