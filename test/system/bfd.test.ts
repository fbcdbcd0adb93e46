/**
 * BFD across a veth pair: two of ours, ours with BIRD, ours with FRR; dead links, wrong TTLs, and a busy machine.
 *
 * What is measured is asserted with room for a machine that does other things. Where nothing must happen for a while, the
 * while is the life of a child process.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { End, ipCommand, Link, RATE } from './bfd-fixture.ts';

const DEADLINE_MS = 30_000;
/** A hang of the test itself; each wait has its own deadline. */
const TEST_MS = 120_000;
/** Three packets of 300 ms are missed; the rest is for the test and what else the machine does. */
const NOTICED_MS = 1_500;
const A = ['10.99.0.1', 'fd99::1', 'fe80::1'];
const B = ['10.99.0.2', 'fd99::2', 'fe80::2%eth0'];
const NOTHING_PASSES = { input: 'udp dport { 3784, 4784 } drop', output: 'udp dport { 3784, 4784 } drop' };
const BY_DETECTION = /nothing was heard from the peer for 900 ms/;

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-bfd-'));
const link = new Link();
const children = new Set<ChildProcess>();
const ends: End[] = [];

before(() => {
  for (const program of ['/usr/sbin/bird', '/usr/lib/frr/bfdd']) {
    assert.ok(existsSync(program), `${program} is missing: apt-get install bird2 frr (and stop their services)`);
  }
  link.up();
});

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end.close()));
  for (const child of children) {
    const ended = once(child, 'close');
    child.kill('SIGKILL');
    await ended;
  }
  link.rules({});
});

after(() => {
  link.down();
  rmSync(directory, { recursive: true, force: true });
});

function start(namespace: string): End {
  const end = new End(namespace);
  ends.push(end);
  return end;
}

function run(...words: string[]): ChildProcess {
  const [program = '', ...args] = words;
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** Both ends Up with each other on IPv4, IPv6 and link-local addresses. */
async function upPair(bfd = RATE): Promise<readonly [End, End]> {
  const a = start(link.a);
  const b = start(link.b);
  for (const [index, peer] of B.entries()) a.watch(peer, A[index]!, bfd);
  for (const [index, peer] of A.entries())
    b.watch(peer.startsWith('fe80') ? `${peer}%eth0` : peer, B[index]!.replace('%eth0', ''), bfd);
  await a.untilUp(...B);
  await b.untilUp(A[0]!, A[1]!, `${A[2]}%eth0`);
  return [a, b];
}

/** That the end notices the death of all these peers in time, and by silence. */
async function noticesDeath(end: End, peers: readonly string[], kill: () => void): Promise<void> {
  end.downs.length = 0;
  const start = performance.now();
  kill();
  await end.until('all are down', () => peers.every((peer) => end.downs.some((down) => down.peer === peer)));
  for (const { at, peer, reason } of end.downs) {
    assert.ok(at - start < NOTICED_MS, `${peer} was noticed after ${Math.round(at - start)} ms`);
    assert.match(reason, BY_DETECTION);
  }
}

/** Asks a program until its answer is right. */
async function eventually(what: string, words: readonly string[], isRight: (answer: string) => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  const [program = '', ...args] = words;
  for (;;) {
    let answer: string;
    try {
      answer = (await promisify(execFile)(program, args)).stdout;
    } catch (error) {
      answer = String(error);
    }
    if (isRight(answer)) return;
    if (performance.now() > deadline)
      assert.fail(`${what}: not within ${DEADLINE_MS} ms\n${answer}\n${ends[0]?.said.join('\n')}`);
  }
}

describe('two of ours', { timeout: TEST_MS }, () => {
  test('come up over IPv4, IPv6 and link-local, notice a black hole and a dead link in time, and come back', async () => {
    const [a] = await upPair();
    await noticesDeath(a, B, () => link.rules(NOTHING_PASSES));
    link.rules({});
    await a.untilUp(...B);
    await noticesDeath(a, B, () => ipCommand('-n', link.b, 'link', 'set', 'eth0', 'down'));
    ipCommand('-n', link.b, 'link', 'set', 'eth0', 'up');
    for (const address of B.slice(1)) {
      // Taken away by the kernel with the link.
      ipCommand('-n', link.b, 'addr', 'replace', `${address.replace('%eth0', '')}/64`, 'dev', 'eth0', 'nodad');
    }
    await a.untilUp(...B);
  });

  test('one direction is enough: both notice, the one by silence, the other because it is told', async () => {
    const [a, b] = await upPair();
    await noticesDeath(a, B, () => link.rules({ output: 'udp dport 3784 drop' }));
    await b.until('b is told', () => b.downs.length === 3);
    for (const { reason } of b.downs)
      assert.match(reason, /the peer says that the path is down: control detection time/);
  });

  const ttls = [
    { title: 'single hop, TTL 254: ignored', multihop: false, port: 3784, ttl: 254, believed: false },
    { title: 'multihop, TTL 49: taken', multihop: true, port: 4784, ttl: 49, believed: true },
    { title: 'multihop, TTL 48: ignored', multihop: true, port: 4784, ttl: 48, believed: false },
  ];
  for (const { title, multihop, port, ttl, believed } of ttls) {
    test(`RFC 5881 section 5: ${title}`, async () => {
      const [a, b] = await upPair({ ...RATE, multihop });
      const change = (): void =>
        link.rules({ output: `udp dport ${port} ip ttl set ${ttl}; udp dport ${port} ip6 hoplimit set ${ttl};` });
      if (!believed) {
        await noticesDeath(a, B, change);
        return;
      }
      change();
      const received = a.view(B[0]!)?.packetsReceived ?? 0;
      await once(run('sleep', '2.5'), 'close');
      assert.deepEqual([...a.downs, ...b.downs], []);
      assert.ok((a.view(B[0]!)?.packetsReceived ?? 0) > received);
    });
  }

  test('RFC 5882 section 3.2: watching no more, or stopping, does not take the other end’s BGP down', async () => {
    const [a, b] = await upPair();
    a.unwatch(B[0]!);
    await b.until('it was told', () => b.view(A[0]!)?.state === 'Down');
    await a.close();
    await b.until('it was told', () => b.view(A[1]!)?.state === 'Down');
    assert.deepEqual(b.downs, []);
  });

  test('a port that another process has is a trouble that passes', async () => {
    const [first, b, second] = [start(link.a), start(link.b), start(link.a)];
    first.watch(B[0]!, A[0]!);
    b.watch(A[0]!, B[0]!);
    await first.untilUp(B[0]!);
    second.watch(B[0]!, A[0]!);
    await second.until('it says so', () => second.said.some((line) => line.includes('EADDRINUSE')));
    assert.deepEqual(second.downs, []);
    await first.close();
    await second.untilUp(B[0]!);
  });

  test('no flap while the agent’s own thread stands still for two seconds, nor under a load of two loops a core', async () => {
    const [a, b] = await upPair();
    const until = performance.now() + 2_000;
    while (performance.now() < until);
    const loops = Array.from({ length: 2 * availableParallelism() }, () =>
      run('timeout', '10', 'sh', '-c', 'while :; do :; done'),
    );
    await Promise.all(loops.map((loop) => once(loop, 'close')));
    assert.deepEqual([...a.downs, ...b.downs], []);
    for (const peer of B) assert.equal(a.view(peer)?.flaps, 0);
  });
});

describe('with BIRD', { timeout: TEST_MS }, () => {
  const socket = join(directory, 'bird.ctl');
  const birdc = ['/usr/sbin/birdc', '-s', socket, 'show', 'bfd', 'sessions'];

  test('single hop and multihop come up, on IPv4, IPv6 and link-local; a black hole is noticed; they come back', async () => {
    const file = join(directory, 'bird.conf');
    const pace = 'min rx interval 300 ms; min tx interval 300 ms; multiplier 3;';
    const neighbours = [`10.99.0.1`, `fd99::1`, 'fe80::1'].map((address) => `neighbor ${address} dev "eth0";`);
    const far = 'neighbor 10.98.0.1 local 10.98.0.2 multihop on;';
    const protocol = `interface "eth0" { ${pace} }; multihop { ${pace} }; ${neighbours.join(' ')} ${far}`;
    writeFileSync(file, `router id 10.99.0.2; protocol device {} protocol bfd { ${protocol} }`);
    run(
      'ip',
      'netns',
      'exec',
      link.b,
      '/usr/sbin/bird',
      '-f',
      '-c',
      file,
      '-s',
      socket,
      '-P',
      join(directory, 'bird.pid'),
    );
    const a = start(link.a);
    for (const [index, peer] of B.entries()) a.watch(peer, A[index]!);
    a.watch('10.98.0.2', '10.98.0.1', { ...RATE, multihop: true });
    await a.untilUp(...B, '10.98.0.2');
    const isUp = (answer: string) => (address: string) => new RegExp(`${address} .* Up `).test(answer);
    await eventually('BIRD is Up', birdc, (answer) => [...A, '10.98.0.1'].every(isUp(answer)));
    await eventually('the interval is agreed', birdc, () => B.every((peer) => a.view(peer)?.detectionMs === 900));
    await noticesDeath(a, B, () => link.rules(NOTHING_PASSES));
    await eventually('BIRD notices too', birdc, (answer) => !answer.includes(' Up'));
    link.rules({});
    await a.untilUp(...B);
    a.watch(B[0]!, A[0]!, { ...RATE, intervalMs: 600 });
    await eventually('BIRD knows the new pace', birdc, (answer) => /10\.99\.0\.1 .* 0\.600 +1\.800/.test(answer));
    const before = a.downs.length;
    await a.close();
    await eventually('BIRD is told', birdc, (answer) => !answer.includes(' Up'));
    assert.equal(a.downs.length, before);
  });
});

describe('with FRR', { timeout: TEST_MS }, () => {
  test('single hop comes up on IPv4 and IPv6, a black hole is noticed, it comes back', async () => {
    const state = mkdtempSync(join(directory, 'frr-'));
    // The daemons lay down their rights for those of their own user.
    chmodSync(directory, 0o755);
    execFileSync('chown', ['frr:frr', state]);
    const pace = ' receive-interval 300\n  transmit-interval 300\n  detect-multiplier 3\n no shutdown';
    const peer = (index: number) => ` peer ${A[index]} local-address ${B[index]} interface eth0\n ${pace}\n exit\n`;
    const bfdd = join(state, 'bfdd.conf');
    const zebra = join(state, 'zebra.conf');
    writeFileSync(bfdd, `bfd\n${peer(0)}${peer(1)}exit\n`);
    writeFileSync(zebra, '');
    const inB = ['ip', 'netns', 'exec', link.b];
    const common = ['--vty_socket', state, '-z', join(state, 'zserv.api'), '-u', 'frr', '-g', 'frr'];
    run(...inB, '/usr/lib/frr/zebra', ...common, '-f', zebra, '-i', join(state, 'zebra.pid'));
    run(
      ...inB,
      '/usr/lib/frr/bfdd',
      ...common,
      '-f',
      bfdd,
      '-i',
      join(state, 'bfdd.pid'),
      '--bfdctl',
      join(state, 'bfdd.sock'),
    );
    const a = start(link.a);
    for (const index of [0, 1]) a.watch(B[index]!, A[index]!);
    const peers = B.slice(0, 2);
    await a.untilUp(...peers);
    const vtysh = ['vtysh', '--vty_socket', state, '-d', 'bfdd', '-c', 'show bfd peers'];
    await eventually('FRR is up', vtysh, (answer) => (answer.match(/Status: up/g) ?? []).length === 2);
    await eventually('the interval is agreed', vtysh, () => peers.every((each) => a.view(each)?.detectionMs === 900));
    await noticesDeath(a, peers, () => link.rules(NOTHING_PASSES));
    link.rules({});
    await a.untilUp(...peers);
  });
});
