/**
 * Our speaker and BIRD, two implementations of the same RFCs, across a veth pair between two namespaces.
 *
 * BIRD runs with its own configuration, socket and pid file in a temporary directory. Where the test waits it asks again
 * until the answer is right, and shows what both sides know when it never is.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { SpeakerArguments, SpeakerCommand, SpeakerReportMessage } from './bgp-bird-speaker.ts';

const DEADLINE_MS = 45_000;
/** A hang of the test itself; each wait has its own deadline. */
const TEST_MS = 240_000;
const BIRD = '/usr/sbin/bird';
const BIRDC = '/usr/sbin/birdc';
const SPEAKER = join(import.meta.dirname, 'bgp-bird-speaker.ts');

const OURS = { name: `muslin-test-bgp-${process.pid}a`, address: '10.99.0.1', address6: 'fd99::1' };
const BIRDS = { name: `muslin-test-bgp-${process.pid}b`, address: '10.99.0.2', address6: 'fd99::2' };
const OUR_PREFIXES = ['172.17.8.0/24', '172.17.8.7/32', 'fd17:8::/64'];

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-bird-'));
const socket = join(directory, 'bird.ctl');
const running = new Set<ChildProcess>();
let birdLog = '';

const ipCommand = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });

before(() => {
  for (const program of [BIRD, BIRDC]) {
    assert.ok(
      existsSync(program),
      `${program} is missing: apt-get install bird2 (and stop the service that it starts)`,
    );
  }
  for (const { name } of [OURS, BIRDS]) ipCommand('netns', 'add', name);
  ipCommand('-n', OURS.name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', BIRDS.name);
  for (const { name, address, address6 } of [OURS, BIRDS]) {
    ipCommand('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ipCommand('-n', name, 'addr', 'add', `${address6}/64`, 'dev', 'eth0', 'nodad');
    ipCommand('-n', name, 'link', 'set', 'lo', 'up');
    ipCommand('-n', name, 'link', 'set', 'eth0', 'up');
  }
});

after(() => {
  for (const child of running) child.kill('SIGKILL');
  for (const { name } of [OURS, BIRDS]) {
    try {
      ipCommand('netns', 'del', name);
    } catch {
      // it was never made
    }
  }
  rmSync(directory, { recursive: true, force: true });
});

/** BIRD's configuration; `statics` are lines of its static protocols. */
function birdConfiguration(ipv4: readonly string[], ipv6: readonly string[]): string {
  const channel = 'import all; export where source = RTS_STATIC;';
  return `
    log stderr all;
    router id ${BIRDS.address};
    protocol device {}
    protocol static statics4 { ipv4; ${ipv4.join('\n')} }
    protocol static statics6 { ipv6; ${ipv6.join('\n')} }
    protocol bgp muslin {
      local ${BIRDS.address} as 64512;
      neighbor ${OURS.address} as 64512;
      direct;
      connect delay time 1;
      connect retry time 2;
      error wait time 1, 2;
      graceful restart on;
      ipv4 { ${channel} next hop self; };
      ipv6 { ${channel} next hop address ${BIRDS.address6}; };
    }`;
}

const STATICS4 = [
  'route 172.17.9.0/24 blackhole { bgp_med = 7; bgp_community.add((64512, 100)); bgp_large_community.add((64512, 1, 2)); };',
  'route 172.17.10.0/24 blackhole;',
];
const STATICS6 = ['route fd17:9::/64 blackhole;'];
const BIRD_PREFIXES = ['172.17.10.0/24', '172.17.9.0/24', 'fd17:9::/64'];

function startBird(configuration: string, ...flags: string[]): ChildProcess {
  const file = join(directory, 'bird.conf');
  writeFileSync(file, configuration);
  const words = ['netns', 'exec', BIRDS.name, BIRD, '-f', '-c', file, '-s', socket, '-P', join(directory, 'bird.pid')];
  const child = spawn('ip', [...words, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    birdLog += text;
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

async function birdc(...words: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(BIRDC, ['-s', socket, ...words])).stdout;
  } catch (error) {
    return String(error);
  }
}

/** Our speaker's process and the last that it said. */
interface Speaker {
  readonly child: ChildProcess;
  readonly said: () => SpeakerReportMessage | undefined;
  readonly send: (command: SpeakerCommand) => void;
}

function startSpeaker(announce: readonly string[]): Speaker {
  const options: SpeakerArguments = { ...OURS, peer: BIRDS.address, announce };
  const words = ['netns', 'exec', OURS.name, process.execPath, SPEAKER, JSON.stringify(options)];
  const child = spawn('ip', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  running.add(child);
  child.once('close', () => running.delete(child));
  let last: SpeakerReportMessage | undefined;
  child.on('message', (message) => {
    last = message as SpeakerReportMessage; // what bgp-bird-speaker.ts sends
  });
  return { child, said: () => last, send: (command) => child.send(command) };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'close');
}

/** Asks until BIRD's routes, or what our speaker has said meanwhile, are right. */
async function eventually(what: string, isRight: (routes: string) => boolean, speaker: Speaker): Promise<void> {
  await eventuallyBird('show route all', isRight, speaker, what);
}

/** Asks BIRD `question` until `isRight`; each asking runs birdc, which keeps the pace. */
async function eventuallyBird(
  question: string,
  isRight: (answer: string) => boolean,
  speaker: Speaker,
  what = question,
): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await birdc(...question.split(' '));
    if (isRight(answer)) return;
    if (Date.now() < deadline) continue;
    const protocols = await birdc('show', 'protocols', 'all', 'muslin');
    const said = JSON.stringify(speaker.said(), undefined, 2);
    assert.fail(`${what}: not within ${DEADLINE_MS} ms\n${answer}\n${protocols}\n${birdLog.slice(-4000)}\n${said}`);
  }
}

const learnt = (speaker: Speaker): string[] => Object.keys(speaker.said()?.kernel ?? {}).sort();
const sameList = (a: readonly string[], b: readonly string[]): boolean => a.join() === b.join();
const isStale = (speaker: Speaker): boolean => speaker.said()?.peers[0]?.stale === true;

test('BIRD 2 and we exchange IPv4 and IPv6 routes, lose them, and keep them over restarts of either', {
  timeout: TEST_MS,
}, async () => {
  let bird = startBird(birdConfiguration(STATICS4, STATICS6));
  let speaker = startSpeaker(OUR_PREFIXES);

  await eventually('we learn all routes of BIRD', () => sameList(learnt(speaker), BIRD_PREFIXES), speaker);
  assert.equal(speaker.said()?.kernel['172.17.9.0/24'], BIRDS.address);
  assert.equal(speaker.said()?.kernel['fd17:9::/64'], BIRDS.address6);
  const route = speaker.said()?.routes.find(({ prefix }) => prefix === '172.17.9.0/24');
  assert.deepEqual(route, {
    prefix: '172.17.9.0/24',
    from: BIRDS.address,
    nextHop: BIRDS.address,
    best: true,
    stale: false,
    asPath: '',
    localPreference: 100,
    origin: 'igp',
    med: 7,
    communities: ['64512:100', '64512:1:2'],
  });

  const hasAllOfUs = (routes: string): boolean => OUR_PREFIXES.every((prefix) => routes.includes(prefix));
  await eventually('BIRD learns all of ours', hasAllOfUs, speaker);
  const ours = await birdc('show', 'route', '172.17.8.7/32', 'all');
  for (const line of [/via 10\.99\.0\.1/, /BGP\.origin: IGP/, /BGP\.as_path: \n/, /BGP\.local_pref: 100/]) {
    assert.match(ours, line);
  }
  assert.match(await birdc('show', 'route', 'fd17:8::/64', 'all'), /BGP\.next_hop: fd99::1/);
  await eventually('we know that this was all', () => speaker.said()?.hasConverged === true, speaker);

  speaker.send({ kind: 'announce', prefixes: ['172.17.8.0/24', 'fd17:8::/64'] });
  await eventually('our withdrawal reaches BIRD', (routes) => !routes.includes('172.17.8.7'), speaker);
  await birdc('disable', 'statics6');
  await eventually('BIRD’s withdrawal reaches us', () => !learnt(speaker).includes('fd17:9::/64'), speaker);
  await birdc('enable', 'statics6');
  await eventually('it comes back', () => sameList(learnt(speaker), BIRD_PREFIXES), speaker);

  const withdrawnBefore = speaker.said()?.withdrawn.length;
  await kill(bird);
  await eventually('we keep the routes of a killed BIRD as stale', () => isStale(speaker), speaker);
  assert.deepEqual(learnt(speaker), BIRD_PREFIXES);
  bird = startBird(birdConfiguration(STATICS4.slice(0, 1), STATICS6), '-R');
  const gone = ['172.17.10.0/24'];
  const left = BIRD_PREFIXES.filter((prefix) => !gone.includes(prefix));
  await eventually(
    'the stale route goes, the others are confirmed',
    () => !isStale(speaker) && sameList(learnt(speaker), left),
    speaker,
  );
  assert.deepEqual(speaker.said()?.withdrawn.slice(withdrawnBefore), gone);

  await eventually('BIRD has learnt us again', (routes) => routes.includes('172.17.8.0/24'), speaker);
  await kill(speaker.child);
  await eventuallyBird('show protocols muslin', (answer) => !answer.includes('Established'), speaker);
  assert.match(await birdc('show', 'route'), /172\.17\.8\.0\/24/, 'BIRD keeps the routes of a killed speaker');
  speaker = startSpeaker(['172.17.8.0/24']);
  await eventually('BIRD drops what we no longer announce', (routes) => !routes.includes('fd17:8::'), speaker);
  assert.match(await birdc('show', 'route'), /172\.17\.8\.0\/24/);
  await eventually('we learn all of BIRD again', () => sameList(learnt(speaker), left), speaker);

  speaker.send({ kind: 'stop', sendNotification: true });
  await once(speaker.child, 'close');
  await eventually('BIRD drops our routes after our NOTIFICATION', (routes) => !routes.includes('172.17.8.0'), speaker);
  assert.match(birdLog, /Received: Administrative shutdown/i);

  speaker = startSpeaker(OUR_PREFIXES);
  await eventually('we are back', () => sameList(learnt(speaker), left), speaker);
  const ended = once(bird, 'close');
  await birdc('down');
  await ended;
  await eventually('routes of a BIRD that says goodbye go at once', () => learnt(speaker).length === 0, speaker);
  assert.match(speaker.said()?.peers[0]?.lastError ?? '', /the peer says: cease/);
});
