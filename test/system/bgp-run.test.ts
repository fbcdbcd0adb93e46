/**
 * `muslin bgp run` as a process, in network namespaces: a switch with two hosts behind it.
 *
 *   host-a eth0 ─── eth1 switch eth2 ─── eth0 host-b
 *
 * What the speaker chooses must be in the real kernel: several gateways as one route, IPv4 through link-local IPv6, and
 * nothing left behind but what was there before. Where a test waits it asks again until the answer is right, and
 * shows the last one when it never is. Needs root.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { PeerView } from '../../src/bgp/observe/views.ts';
import { addNamespace, removeNamespace } from '../../src/kernel/network-namespace.ts';

const MUSLIN = join(import.meta.dirname, '../../bin/muslin');
const DEADLINE_MS = 30_000;
const TEST_MS = 120_000;

const NAMES = ['switch', 'host-a', 'host-b'] as const;
type Name = (typeof NAMES)[number];
const namespaceOf = (name: Name): string => `muslin-test-run-${process.pid}-${name}`;

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-run-'));
const running = new Map<Name, ChildProcess>();
const logs = new Map<Name, string>();

const ip = (name: Name, ...words: string[]): string =>
  execFileSync('ip', ['-n', namespaceOf(name), ...words], { encoding: 'utf8', stdio: 'pipe' });
const socketOf = (name: Name): string => join(directory, `${name}.sock`);
const fileOf = (name: Name): string => join(directory, `${name}.yaml`);

before(() => {
  for (const name of NAMES) addNamespace(namespaceOf(name));
  const links = [
    ['host-a', 'eth1', '10.99.1'],
    ['host-b', 'eth2', '10.99.2'],
  ] as const;
  for (const [host, device, subnet] of links) {
    ip('switch', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespaceOf(host));
    ip('switch', 'addr', 'add', `${subnet}.1/24`, 'dev', device);
    ip(host, 'addr', 'add', `${subnet}.2/24`, 'dev', 'eth0');
    ip('switch', 'link', 'set', device, 'up');
    ip(host, 'link', 'set', 'eth0', 'up');
  }
});

afterEach(async () => {
  for (const name of [...running.keys()]) await stop(name, 'SIGKILL');
});

after(() => {
  for (const name of NAMES) removeNamespace(namespaceOf(name));
  rmSync(directory, { recursive: true, force: true });
});

/** Starts the speaker and waits for the line that says that it is ready. */
async function start(name: Name, file: string): Promise<void> {
  writeFileSync(fileOf(name), file);
  const words = ['netns', 'exec', namespaceOf(name), MUSLIN, 'bgp', 'run', '--config', fileOf(name)];
  const child = spawn('ip', [...words, '--socket', socketOf(name)], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.set(name, child);
  logs.set(name, '');
  child.stderr.on('data', (text) => logs.set(name, (logs.get(name) ?? '') + text));
  const [line] = await once(child.stdout, 'data');
  assert.match(String(line), /^muslin bgp: AS \d+, router [\d.]+, listening on .* port 179\n$/, logs.get(name));
}

async function stop(name: Name, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const child = running.get(name);
  running.delete(name);
  if (child === undefined || child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

async function peers(name: Name): Promise<PeerView[]> {
  const words = ['bgp', 'peers', '-o', 'json', '--socket', socketOf(name)];
  const { stdout } = await promisify(execFile)(MUSLIN, words);
  return JSON.parse(stdout);
}

/** The route as `ip` shows it, its next hops in their order. */
const route = (name: Name, prefix: string): string =>
  ip(name, prefix.includes(':') ? '-6' : '-4', 'route', 'show', prefix)
    .replaceAll(/\s+/g, ' ')
    .trim();

async function until<Answer>(what: string, ask: () => Answer | Promise<Answer>, right: (answer: Answer) => boolean) {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (right(answer)) return answer;
    const log = [...logs].map(([name, text]) => `${name}:\n${text}`).join('\n');
    assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(answer)}\n${log}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const host = (subnet: number, announce: string): string => `
asNumber: 65001
routerId: 10.99.${subnet}.2
nextHops: {ipv4: 10.99.${subnet}.2}
neighbors: [{address: 10.99.${subnet}.1, asNumber: 65000, import: all, export: all, gracefulRestart: off}]
announce: [${announce}]
`;

const SWITCH = `
asNumber: 65000
routerId: 10.99.0.1
kernel: {install: true}
neighbors:
  - {address: 10.99.1.2, asNumber: 65001, import: all, export: all, gracefulRestart: off}
  - {address: 10.99.2.2, asNumber: 65001, import: all, export: all, gracefulRestart: off}
`;

describe('a switch with two hosts', { timeout: TEST_MS }, () => {
  it('has several gateways of a prefix as one route, follows what changes, and leaves nothing behind', async () => {
    ip('switch', 'route', 'add', '10.77.0.0/16', 'via', '10.99.1.2');
    await Promise.all([
      start('switch', SWITCH),
      start('host-a', host(1, '10.50.0.0/16, 10.51.0.0/16')),
      start('host-b', host(2, '10.50.0.0/16')),
    ]);
    const both =
      /^10\.50\.0\.0\/16 proto bird metric 179 nexthop via 10\.99\.1\.2 dev eth1 weight 1 nexthop via 10\.99\.2\.2 dev eth2 weight 1$/;
    await until(
      'both gateways',
      () => route('switch', '10.50.0.0/16'),
      (text) => both.test(text),
    );
    await until(
      'one gateway',
      () => route('switch', '10.51.0.0/16'),
      (text) => /^10\.51\.0\.0\/16 via 10\.99\.1\.2 dev eth1 proto bird metric 179$/.test(text),
    );

    await stop('host-b', 'SIGKILL');
    await until(
      'the gateway that is left',
      () => route('switch', '10.50.0.0/16'),
      (text) => /^10\.50\.0\.0\/16 via 10\.99\.1\.2 dev eth1 proto bird metric 179$/.test(text),
    );

    await stop('switch', 'SIGTERM');
    assert.equal(ip('switch', 'route', 'show', 'proto', 'bird'), '');
    assert.match(route('switch', '10.77.0.0/16'), /via 10\.99\.1\.2/);
  });

  it('discards what belongs to an aggregate and to none of its parts, as long as there is a part', async () => {
    const withRestart = (file: string) => file.replaceAll(', gracefulRestart: off', ''); // they say End-of-RIB
    await Promise.all([
      start('switch', withRestart(`${SWITCH}aggregates: [10.64.0.0/16]\n`)),
      start('host-a', withRestart(host(1, '10.64.1.0/24'))),
      start('host-b', withRestart(host(2, '10.54.0.0/16'))),
    ]);
    await until(
      'the discarding route',
      () => route('switch', '10.64.0.0/16'),
      (text) => text === 'blackhole 10.64.0.0/16 proto bird metric 179',
    );
    await until(
      'the aggregate at the other host',
      () => peers('host-b'),
      ([peer]) => peer?.prefixesReceived === 2, // the aggregate and its part
    );
    writeFileSync(fileOf('host-a'), withRestart(host(1, '10.55.0.0/16')));
    running.get('host-a')?.kill('SIGHUP');
    await until(
      'nothing of it',
      () => route('switch', '10.64.0.0/16') + route('switch', '10.64.1.0/24'),
      (text) => text === '',
    );
  });

  it('reads its file again without touching a session that it does not concern', async () => {
    // One side dials, so that no second connection at the same moment ends the first, which would count as another session.
    await start('switch', SWITCH.replace('10.99.1.2, ', '10.99.1.2, passive: true, '));
    await start('host-a', host(1, '10.50.0.0/16'));
    await until(
      'the route',
      () => route('switch', '10.50.0.0/16'),
      (text) => text !== '',
    );
    writeFileSync(fileOf('host-a'), host(1, '10.50.0.0/16, 10.52.0.0/16'));
    running.get('host-a')?.kill('SIGHUP');
    await until(
      'the new route',
      () => route('switch', '10.52.0.0/16'),
      (text) => text !== '',
    );
    const count = (text: string) => text.split('"to":"Established"').length - 1;
    assert.equal(count(logs.get('host-a') ?? ''), 1);

    writeFileSync(fileOf('host-a'), 'asNumber: 65001\nrouterId: 10.99.1.2\nneighbors: [{adress: 10.99.1.1}]\n');
    running.get('host-a')?.kill('SIGHUP');
    const told = await until(
      'the mistake',
      () => logs.get('host-a') ?? '',
      (text) => text.includes('adress'),
    );
    assert.match(told, /host-a\.yaml:3:14: neighbors\[0\]\.adress: unknown field; did you mean address\?/);
    const [peer] = await peers('host-a');
    assert.deepEqual([peer?.state, peer?.prefixesSent], ['Established', 2]);
  });

  it('keeps its routes for the next start where the file says so, and that one takes away what is gone', async () => {
    // Only peers that are there: for one that is away the start waits, before it takes the routes of others away.
    const keeping = `
asNumber: 65000
routerId: 10.99.0.1
kernel: {install: true, keepOnExit: true}
neighbors: [{address: 10.99.1.2, asNumber: 65001, import: all, export: all}]
`;
    const announcing = (list: string) => host(1, list).replace(', gracefulRestart: off', '');
    await Promise.all([start('switch', keeping), start('host-a', announcing('10.50.0.0/16, 10.51.0.0/16'))]);
    await until(
      'both routes',
      () => route('switch', '10.50.0.0/16') + route('switch', '10.51.0.0/16'),
      (text) => text.split('via').length === 3,
    );
    await stop('switch', 'SIGTERM');
    assert.match(route('switch', '10.50.0.0/16'), /via 10\.99\.1\.2/);
    writeFileSync(fileOf('host-a'), announcing('10.50.0.0/16'));
    running.get('host-a')?.kill('SIGHUP');
    await start('switch', keeping);
    await until(
      'the route that is gone',
      () => route('switch', '10.51.0.0/16'),
      (text) => text === '',
    );
    assert.match(route('switch', '10.50.0.0/16'), /via 10\.99\.1\.2/);
    await stop('switch', 'SIGTERM');
    ip('switch', 'route', 'flush', 'proto', 'bird');
  });

  it('has neighbours by their device only, and IPv4 through them (RFC 8950)', async () => {
    const side = (asn: number, peer: number, device: string, rest: string) => `
asNumber: ${asn}
routerId: 10.99.9.${asn - 65000}
nextHops: {ipv4: 10.99.1.2, ipv6: "fd99::2"}
neighbors: [{interface: ${device}, asNumber: ${peer}, import: all, export: all}]
${rest}
`;
    await Promise.all([
      start('switch', side(65001, 65002, 'eth1', 'kernel: {install: true}')),
      start('host-a', side(65002, 65001, 'eth0', 'announce: [10.53.0.0/16, "fd53::/64"]')),
    ]);
    await until(
      'IPv4',
      () => route('switch', '10.53.0.0/16'),
      (text) => /^10\.53\.0\.0\/16 via inet6 fe80::[0-9a-f:]+ dev eth1 proto bird metric 179 onlink$/.test(text),
    );
    await until(
      'IPv6',
      () => route('switch', 'fd53::/64'),
      (text) => /via fe80::[0-9a-f:]+ dev eth1 proto bird metric 179/.test(text),
    );
  });
});
