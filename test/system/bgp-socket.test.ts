/**
 * What the kernel does for BGP's sockets: TCP MD5, TTL security, devices and link-local peers, and neighbours found by
 * router advertisements; against ourselves, BIRD and FRR.
 *
 *      near 10.98.0.1 ── 10.98.0.2 hop 10.98.1.2 ── 10.98.1.1 far       (and fd98:0::, fd98:1::)
 *
 * That something is dropped is seen by the kernel's counters of what it has dropped; that it is let in, by what the
 * transport says.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { SocketCommand, SocketPeer, SocketReport, SocketSpeakerArguments } from './bgp-socket-speaker.ts';

const LIMIT = { timeout: 120_000 };
const DEADLINE_MS = 45_000;
const SPEAKER = join(import.meta.dirname, 'bgp-socket-speaker.ts');
const PROGRAMS = {
  bird2: ['/usr/sbin/bird', '/usr/sbin/birdc'],
  frr: ['/usr/lib/frr/zebra', '/usr/lib/frr/bgpd', '/usr/bin/vtysh'],
};

const [NEAR, HOP, FAR] = ['near', 'hop', 'far'].map((name) => `muslin-test-sock-${process.pid}-${name}`) as [
  string,
  string,
  string,
];
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-sock-'));
const children = new Set<ChildProcess>();

const ipCommand = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });

/** What a command prints in a namespace; what it complains of, too. */
async function inside(namespace: string, ...words: string[]): Promise<string> {
  try {
    return (await promisify(execFile)('ip', ['netns', 'exec', namespace, ...words])).stdout;
  } catch (error) {
    return String(error);
  }
}

before(() => {
  for (const [name, files] of Object.entries(PROGRAMS)) {
    for (const file of files) assert.ok(existsSync(file), `${file} is missing: apt-get install ${name}`);
  }
  for (const name of [NEAR, HOP, FAR]) ipCommand('netns', 'add', name);
  ipCommand('-n', NEAR, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', HOP);
  ipCommand('-n', FAR, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', HOP);
  const ends: readonly (readonly [string, string, string, string])[] = [
    [NEAR, 'eth0', '10.98.0.1/24', 'fd98::1/64'],
    [HOP, 'eth0', '10.98.0.2/24', 'fd98::2/64'],
    [HOP, 'eth1', '10.98.1.2/24', 'fd98:0:0:1::2/64'],
    [FAR, 'eth0', '10.98.1.1/24', 'fd98:0:0:1::1/64'],
  ];
  for (const [namespace, device, address, address6] of ends) {
    ipCommand('-n', namespace, 'link', 'set', 'lo', 'up');
    execFileSync('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', `net.ipv6.conf.${device}.accept_dad=0`]);
    ipCommand('-n', namespace, 'addr', 'add', address, 'dev', device);
    ipCommand('-n', namespace, 'addr', 'add', address6, 'dev', device, 'nodad');
    ipCommand('-n', namespace, 'link', 'set', device, 'up');
  }
  execFileSync('ip', [
    'netns',
    'exec',
    HOP,
    'sysctl',
    '-qw',
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
  ]);
  for (const [namespace, other, hop, hop6] of [
    [NEAR, '1', '10.98.0.2', 'fd98::2'],
    [FAR, '0', '10.98.1.2', 'fd98:0:0:1::2'],
  ] as const) {
    ipCommand('-n', namespace, 'route', 'add', `10.98.${other}.0/24`, 'via', hop);
    ipCommand('-n', namespace, 'route', 'add', `fd98:0:0:${other}::/64`, 'via', hop6);
  }
});

async function stopChildren(): Promise<void> {
  await Promise.all(
    [...children].map(async (child) => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    }),
  );
}

afterEach(stopChildren);

after(async () => {
  await stopChildren();
  for (const name of [NEAR, HOP, FAR]) {
    try {
      ipCommand('netns', 'del', name);
    } catch {
      // it was never made
    }
  }
  rmSync(directory, { recursive: true, force: true });
});

function startProgram(namespace: string, ...words: string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', namespace, ...words], { stdio: ['ignore', 'ignore', 'inherit'] });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** Our transport in a namespace. */
class Ours {
  readonly reports: SocketReport[] = [];
  readonly child: ChildProcess;

  constructor(namespace: string, options: SocketSpeakerArguments) {
    const words = ['netns', 'exec', namespace, process.execPath, SPEAKER, JSON.stringify(options)];
    this.child = spawn('ip', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    children.add(this.child);
    this.child.once('close', () => children.delete(this.child));
    this.child.on('message', (said: SocketReport) => this.reports.push(said));
  }

  tell(command: SocketCommand): void {
    this.child.send(command);
  }

  has(kind: SocketReport['kind']): boolean {
    return this.reports.some((said) => said.kind === kind);
  }

  /** Waits for a report of the kind that none has been taken of yet, takes it and all before it off the list. */
  async take(kind: SocketReport['kind'], isIt: (said: SocketReport) => boolean = () => true): Promise<SocketReport> {
    const find = (): number => this.reports.findIndex((said) => said.kind === kind && isIt(said));
    while (find() < 0) {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      await once(this.child, 'message', { signal }).catch(() =>
        assert.fail(`no "${kind}"; reports: ${JSON.stringify(this.reports)}`),
      );
    }
    return this.reports.splice(0, find() + 1).at(-1)!;
  }

  async configure(...peers: SocketPeer[]): Promise<void> {
    this.tell({ kind: 'configure', peers });
    await this.take('configure');
  }
}

async function start(namespace: string, routerId: string, ...peers: SocketPeer[]): Promise<Ours> {
  const ours = new Ours(namespace, { asn: 64512, routerId });
  await ours.take('ready');
  await ours.configure(...peers);
  return ours;
}

/** Asks again until the answer is as it should be. */
async function eventually(
  what: string,
  ask: () => Promise<string>,
  isRight: (answer: string) => boolean,
): Promise<string> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    assert.ok(Date.now() < deadline, `${what}: ${answer}`);
  }
}

/** One of the kernel's counters of dropped segments. */
async function counter(namespace: string, name: string): Promise<number> {
  const line = (await inside(namespace, 'nstat', '-asz', name)).split('\n').find((text) => text.startsWith(name));
  assert.ok(line !== undefined, `nstat has no ${name}`);
  return Number(line.split(/\s+/)[1]);
}

async function untilDropped(namespace: string, name: string, before: number): Promise<void> {
  await eventually(
    `${name} stays at ${before}`,
    async () => String(await counter(namespace, name)),
    (value) => Number(value) > before,
  );
}

interface PasswordCase {
  readonly title: string;
  readonly configured: readonly SocketPeer[];
  readonly dials: SocketPeer;
  /** The counter that shows that it was dropped; undefined if it is let in. */
  readonly dropped: string | undefined;
}

const NEAR4 = { at: '10.98.0.1' };
const NEAR6 = { at: 'fd98::1' };
const PASSWORDS: readonly PasswordCase[] = [
  {
    title: 'the right key',
    configured: [{ at: '10.98.0.2', password: 'one' }],
    dials: { ...NEAR4, password: 'one' },
    dropped: undefined,
  },
  {
    title: 'the right key over IPv6',
    configured: [{ at: 'fd98::2', password: 'one' }],
    dials: { ...NEAR6, password: 'one' },
    dropped: undefined,
  },
  {
    title: 'a wrong key',
    configured: [{ at: '10.98.0.2', password: 'one' }],
    dials: { ...NEAR4, password: 'two' },
    dropped: 'TcpExtTCPMD5Failure',
  },
  {
    title: 'no key where there should be one',
    configured: [{ at: '10.98.0.2', password: 'one' }],
    dials: NEAR4,
    dropped: 'TcpExtTCPMD5NotFound',
  },
  {
    title: 'no key where there should be one, over IPv6',
    configured: [{ at: 'fd98::2', password: 'one' }],
    dials: NEAR6,
    dropped: 'TcpExtTCPMD5NotFound',
  },
  {
    title: 'a key where there should be none',
    configured: [{ at: '10.98.0.2' }],
    dials: { ...NEAR4, password: 'one' },
    dropped: 'TcpExtTCPMD5Unexpected',
  },
  {
    title: "a range's key",
    configured: [{ at: '10.98.0.0/24', password: 'one' }],
    dials: { ...NEAR4, password: 'one' },
    dropped: undefined,
  },
  {
    title: 'no key from a range that has one',
    configured: [{ at: '10.98.0.0/24', password: 'one' }],
    dials: NEAR4,
    dropped: 'TcpExtTCPMD5NotFound',
  },
  {
    title: "a peer's own key inside of a range with another",
    configured: [
      { at: '10.98.0.0/24', password: 'one' },
      { at: '10.98.0.2', password: 'two' },
    ],
    dials: { ...NEAR4, password: 'two' },
    dropped: undefined,
  },
];

test('RFC 2385: who has the key is let in, and nobody else', LIMIT, async (context) => {
  for (const { title, configured, dials, dropped } of PASSWORDS) {
    await context.test(title, async () => {
      const [near, hop] = await Promise.all([start(NEAR, '10.98.0.1', ...configured), start(HOP, '10.98.0.2')]);
      const before = dropped === undefined ? 0 : await counter(NEAR, dropped);
      hop.tell({ kind: 'dial', peer: dials });
      if (dropped === undefined) {
        await near.take('accepted');
        await hop.take('received', ({ messages }) => messages?.includes(1) === true);
      } else {
        await untilDropped(NEAR, dropped, before);
        assert.ok(!near.has('accepted'));
      }
      await stopChildren();
    });
  }
});

test('RFC 2385: a key is changed and taken away on a session that lives on', LIMIT, async () => {
  const [near, hop] = await Promise.all([
    start(NEAR, '10.98.0.1', { at: '10.98.0.2', password: 'one' }),
    start(HOP, '10.98.0.2', { at: '10.98.0.1', password: 'one' }),
  ]);
  hop.tell({ kind: 'dial', peer: { at: '10.98.0.1', password: 'one' } });
  await near.take('received', ({ messages }) => messages?.includes(4) === true);
  await hop.take('received', ({ messages }) => messages?.includes(4) === true);
  const changes = [
    { password: 'two', dropped: 'TcpExtTCPMD5Failure' },
    { password: undefined, dropped: 'TcpExtTCPMD5NotFound' },
    { password: 'three', dropped: 'TcpExtTCPMD5Unexpected' },
  ];
  for (const { password, dropped } of changes) {
    const key = password === undefined ? {} : { password };
    const before = await counter(HOP, dropped);
    await near.configure({ at: '10.98.0.2', ...key });
    near.tell({ kind: 'greet' });
    await untilDropped(HOP, dropped, before);
    assert.ok(!hop.has('received'));
    await hop.configure({ at: '10.98.0.1', ...key });
    await hop.take('received', ({ messages }) => messages?.includes(4) === true);
    hop.tell({ kind: 'greet' });
    await near.take('received', ({ messages }) => messages?.includes(4) === true);
  }
  // Who dials anew needs the last key.
  await hop.configure({ at: '10.98.0.1', password: 'four' });
  const before = await counter(NEAR, 'TcpExtTCPMD5Failure');
  hop.tell({ kind: 'dial', peer: { at: '10.98.0.1', password: 'four' } });
  await untilDropped(NEAR, 'TcpExtTCPMD5Failure', before);
  assert.ok(!near.has('accepted') && !near.has('closed'));
  // A key that is taken away is asked for no more.
  await near.configure({ at: '10.98.0.2' });
  hop.tell({ kind: 'dial', peer: { at: '10.98.0.1' } });
  await near.take('accepted');
});

test('RFC 2385: with BIRD, who dials and who is dialled', LIMIT, async () => {
  const configuration = join(directory, 'bird.conf');
  const socket = join(directory, 'bird.ctl');
  const protocol = (passive: string, password: string): string => `
    log stderr { fatal };
    router id 10.98.0.2;
    protocol device {}
    protocol bgp near {
      local 10.98.0.2 as 64512;
      neighbor 10.98.0.1 as 64512;
      direct; ${passive}
      connect delay time 1; connect retry time 1; error wait time 1, 1;
      password "${password}";
      ipv4 { import none; export none; };
    }`;
  writeFileSync(configuration, protocol('', 's3cret'));
  startProgram(HOP, '/usr/sbin/bird', '-f', '-c', configuration, '-s', socket, '-P', join(directory, 'bird.pid'));
  const birdc = (...words: string[]): Promise<string> => inside(HOP, '/usr/sbin/birdc', '-s', socket, ...words);
  const established = (): Promise<string> =>
    eventually(
      'BIRD',
      () => birdc('show', 'protocols', 'near'),
      (answer) => answer.includes('Established'),
    );

  const near = await start(NEAR, '10.98.0.1', { at: '10.98.0.2', password: 's3cret' });
  await near.take('accepted');
  await established();

  writeFileSync(configuration, protocol('passive;', 'n3w'));
  await birdc('configure');
  await near.take('closed');
  await near.configure({ at: '10.98.0.2', password: 'n3w' });
  near.tell({ kind: 'dial', peer: { at: '10.98.0.2', password: 'n3w' } });
  await near.take('connected');
  await established();
});

test('RFC 5082: TTL security drops who is too far away', LIMIT, async (context) => {
  const families = [
    { family: 'IPv4', near: '10.98.0.1', hop: '10.98.0.2', far: '10.98.1.1' },
    { family: 'IPv6', near: 'fd98::1', hop: 'fd98::2', far: 'fd98:0:0:1::1' },
  ];
  for (const { family, near: nearAddress, hop: hopAddress, far: farAddress } of families) {
    await context.test(`${family}: they dial`, async () => {
      const [near, hop, far] = await Promise.all([
        start(NEAR, '10.98.0.1', { at: farAddress, ttlSecurityHops: 1 }, { at: hopAddress, ttlSecurityHops: 1 }),
        start(HOP, '10.98.0.2'),
        start(FAR, '10.98.1.1'),
      ]);
      hop.tell({ kind: 'dial', peer: { at: nearAddress, ttlSecurityHops: 1 } });
      assert.equal((await near.take('accepted')).peer, hopAddress);
      await hop.take('received');

      far.tell({ kind: 'dial', peer: { at: nearAddress } });
      const { reason } = await near.take('log', ({ reason }) => reason?.includes('TTL security') === true);
      assert.match(reason ?? '', /came from too far away .*"hops":2,"hopsMax":1/);
      await far.take('closed');
      assert.ok(!near.has('accepted'));

      await near.configure({ at: farAddress, ttlSecurityHops: 2 });
      far.tell({ kind: 'dial', peer: { at: nearAddress } });
      assert.equal((await near.take('accepted')).peer, farAddress);
      await far.take('received');

      // On a session that is up, what is too far now is no longer heard.
      await near.configure({ at: farAddress, ttlSecurityHops: 1 });
      const before = await counter(NEAR, 'TcpExtTCPMinTTLDrop');
      near.reports.length = 0;
      far.tell({ kind: 'greet' });
      await untilDropped(NEAR, 'TcpExtTCPMinTTLDrop', before);
      assert.ok(!near.has('received'));
      await stopChildren();
    });

    await context.test(`${family}: we dial`, async () => {
      const [near] = await Promise.all([start(NEAR, '10.98.0.1'), start(HOP, '10.98.0.2'), start(FAR, '10.98.1.1')]);
      const before = await counter(NEAR, 'TcpExtTCPMinTTLDrop');
      near.tell({ kind: 'dial', peer: { at: farAddress, ttlSecurityHops: 1 } });
      await untilDropped(NEAR, 'TcpExtTCPMinTTLDrop', before);
      assert.ok(!near.has('connected'));
      near.tell({ kind: 'dial', peer: { at: hopAddress, ttlSecurityHops: 1 } });
      await near.take('connected');
      near.tell({ kind: 'dial', peer: { at: farAddress, ttlSecurityHops: 2 } });
      await near.take('connected');
      await stopChildren();
    });
  }
});

test('a link-local peer is dialled and known by its device', LIMIT, async () => {
  const linkLocal =
    /inet6 (fe80:[0-9a-f:]+)/.exec(ipCommand('-n', HOP, '-6', 'addr', 'show', 'dev', 'eth0'))?.[1] ?? '';
  const [near, hop] = await Promise.all([
    start(NEAR, '10.98.0.1', { at: linkLocal, device: 'eth0', ttlSecurityHops: 1 }),
    start(HOP, '10.98.0.2'),
  ]);
  near.tell({ kind: 'dial', peer: { at: linkLocal, device: 'eth0' } });
  const { local } = await near.take('connected');
  const accepted = await hop.take('accepted');
  assert.deepEqual([accepted.peer, accepted.device], [local, 'eth0']);
  assert.match(local ?? '', /^fe80:/);
});

test('neighbours find each other by router advertisements, in whichever order they come', LIMIT, async () => {
  const near = await start(NEAR, '10.98.0.1');
  near.tell({ kind: 'watch', devices: ['eth0', 'eth7'] });
  const hop = await start(HOP, '10.98.0.2');
  hop.tell({ kind: 'watch', devices: ['eth0'] });
  const [atNear, atHop] = await Promise.all([near.take('neighbour'), hop.take('neighbour')]);
  for (const { device, peer } of [atNear, atHop]) {
    assert.equal(device, 'eth0');
    assert.match(peer ?? '', /^fe80:/);
  }
  assert.notEqual(atNear.peer, atHop.peer);

  // A device that comes later, and goes.
  ipCommand('-n', NEAR, 'link', 'add', 'eth7', 'type', 'veth', 'peer', 'name', 'eth7', 'netns', HOP);
  hop.tell({ kind: 'watch', devices: ['eth0', 'eth7'] });
  for (const namespace of [NEAR, HOP]) ipCommand('-n', namespace, 'link', 'set', 'eth7', 'up');
  const found = await near.take('neighbour');
  assert.equal(found.device, 'eth7');
  assert.match(found.peer ?? '', /^fe80:/);
  ipCommand('-n', NEAR, 'link', 'del', 'eth7');
  assert.equal((await near.take('neighbour', ({ device }) => device === 'eth7')).peer, undefined);
});

test("FRR's unnumbered peering meets ours", LIMIT, async () => {
  const configuration = join(directory, 'frr.conf');
  writeFileSync(
    configuration,
    [
      'router bgp 64513',
      ' bgp router-id 10.98.0.2',
      ' no bgp ebgp-requires-policy',
      ' neighbor eth0 interface remote-as external',
      '',
    ].join('\n'),
  );
  // FRR's daemons give up being root.
  const frrDirectory = mkdtempSync(join(directory, 'frr-'));
  for (const path of [directory, frrDirectory]) chmodSync(path, 0o755);
  execFileSync('chown', ['frr:frr', frrDirectory]);
  const vtysh = (command: string): Promise<string> =>
    inside(HOP, '/usr/bin/vtysh', '--vty_socket', frrDirectory, '-c', command);
  const common = ['-f', configuration, '-z', join(frrDirectory, 'zserv.api'), '--vty_socket', frrDirectory, '-P', '0'];
  for (const daemon of ['zebra', 'bgpd']) {
    startProgram(HOP, `/usr/lib/frr/${daemon}`, ...common, '-i', join(frrDirectory, `${daemon}.pid`));
    await eventually(
      daemon,
      () => inside(HOP, 'ls', frrDirectory),
      (files) => files.includes(`${daemon}.vty`),
    );
  }
  const near = await start(NEAR, '10.98.0.1');
  near.tell({ kind: 'watch', devices: ['eth0'] });
  assert.match((await near.take('neighbour')).peer ?? '', /^fe80:/);
  await near.take('received', ({ messages }) => messages?.includes(4) === true);
  const answer = await eventually(
    'FRR',
    () => vtysh('show bgp neighbors eth0 json'),
    (text) => /"bgpState":\s*"Established"/.test(text),
  );
  assert.match(answer, /"localAs":\s*64513/);
});
