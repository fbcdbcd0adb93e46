/**
 * What operators do, between muslin and BIRD and FRR: passwords that differ, routes taken back, sessions shut down with a word
 * of why (RFC 9003), each from either side; and what `muslin bgp neighbor` and `muslin bgp peers` say of it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { birdDaemon } from './bgp-daemons/bird.ts';
import type { Daemon, DaemonOptions, Neighbour } from './bgp-daemons/daemon.ts';
import { frrDaemon } from './bgp-daemons/frr.ts';
import { type Hosts, neighbour, OUR_ASN, onHosts, PASSWORD } from './bgp-daemons/interop-hosts.ts';
import { type MuslinDaemon, muslinDaemon } from './bgp-daemons/muslin.ts';
import { originations } from './bgp-daemons/originated-routes.ts';
import { ask } from './bgp-daemons/process.ts';

const TEST_MS = 120_000;
/** Two tests at a time, as they wait for timers. */
const LIMITS = { concurrency: 2, timeout: 280_000 };
const OURS = originations(40, 20);
const THEIRS = originations(40, 30);
const OUR_WORD = 'muslin moves to another rack, ticket 17';
const THEIR_WORD = 'the other side has maintenance until 4';

/** A daemon, and what its operator does to the session with the one neighbour that it has. */
interface Operated {
  readonly daemon: Daemon;
  shutDown(text: string): Promise<unknown>;
  takeUp(): Promise<unknown>;
  /** What it shows of the session. */
  shown(): Promise<string>;
  /** Originates nothing any more. */
  takeBack(): Promise<unknown>;
}

type Make = (hosts: Hosts, options: Omit<DaemonOptions, 'directory'>) => Operated;

function bird(hosts: Hosts, options: Omit<DaemonOptions, 'directory'>): Operated {
  const daemon = hosts.add(birdDaemon, options);
  return {
    daemon,
    shutDown: (text) => daemon.birdc('disable', 'n0', `"${text}"`),
    takeUp: () => daemon.birdc('enable', 'n0'),
    shown: () => daemon.birdc('show', 'protocols', 'all', 'n0'),
    takeBack: async () => {
      for (const protocol of ['s4', 's6']) await daemon.birdc('disable', protocol);
    },
  };
}

function frr(hosts: Hosts, options: Omit<DaemonOptions, 'directory'>): Operated {
  const daemon = hosts.add(frrDaemon, options);
  const router = ['configure terminal', `router bgp ${options.asn}`];
  const them = options.neighbours[0]?.address;
  const networks = (family: 4 | 6): string[] => [
    `address-family ipv${family} unicast`,
    ...options.originations
      .filter(({ prefix }) => prefix.includes(':') === (family === 6))
      .map(({ prefix }) => `no network ${prefix}`),
    'exit-address-family',
  ];
  return {
    daemon,
    shutDown: (text) => daemon.vtysh(...router, `neighbor ${them} shutdown message ${text}`),
    takeUp: () => daemon.vtysh(...router, `no neighbor ${them} shutdown`),
    // Its view of a neighbour leaves the text of a hard reset out; its log has it.
    shown: () => daemon.diagnosis(),
    takeBack: () => daemon.vtysh(...router, ...networks(4), ...networks(6)),
  };
}

const KINDS: readonly (readonly [name: string, make: Make])[] = [
  ['BIRD', bird],
  ['FRR', frr],
];

interface Parts extends Operated {
  readonly hosts: Hosts;
  readonly muslin: MuslinDaemon;
}

/** muslin with `ours`, the other with `theirs` beyond what they are to each other. */
function setUp(hosts: Hosts, make: Make, ours: Partial<Neighbour>, theirs: Partial<Neighbour>): Parts {
  const same = { relation: 'mesh', asn: OUR_ASN } as const;
  const muslin = hosts.add(muslinDaemon, {
    place: hosts.muslin,
    asn: OUR_ASN,
    neighbours: [neighbour(hosts.daemon, { ...same, ...ours })],
    originations: OURS,
    installs: false,
  });
  const operated = make(hosts, {
    place: hosts.daemon,
    asn: OUR_ASN,
    neighbours: [neighbour(hosts.muslin, { ...same, ...theirs })],
    originations: THEIRS,
    installs: false,
  });
  return { ...operated, hosts, muslin };
}

async function untilEstablished({ hosts, muslin, daemon }: Parts): Promise<void> {
  await hosts.untilEstablished(muslin, [hosts.daemon.address]);
  await hosts.untilEstablished(daemon, [hosts.muslin.address]);
}

/** Segments with a wrong signature that the kernel of our host has dropped. */
async function droppedSegments({ hosts }: Parts): Promise<number> {
  const text = await ask(hosts.muslin.namespace, 'nstat', '-asz', 'TcpExtTCPMD5Failure');
  return Number(/TcpExtTCPMD5Failure\s+(\d+)/.exec(text)?.[1]);
}

async function passwordsDiffer(parts: Parts, whoDials: 'muslin' | 'daemon'): Promise<void> {
  const { hosts, muslin, daemon } = parts;
  const us = hosts.muslin.address;
  const them = hosts.daemon.address;
  await hosts.start();
  if (whoDials === 'muslin') {
    const isSaid = async (): Promise<boolean> => /passwords \(MD5\) differ/.test(await muslin.muslin('neighbor', them));
    await hosts.until('muslin bgp neighbor says what may be wrong', isSaid);
    assert.match(await muslin.muslin('peers'), /passwords \(MD5\) differ/);
  } else await hosts.until('our kernel drops what they send', async () => (await droppedSegments(parts)) > 0);
  const view = await muslin.neighbor(them);
  assert.deepEqual([view?.established, view?.received.opens, await daemon.established(us)], [0, 0, false]);
  muslin.reconfigure({ fields: { password: PASSWORD } });
  await untilEstablished(parts);
}

async function takenBack(parts: Parts): Promise<void> {
  const { hosts, muslin, daemon, takeBack } = parts;
  await hosts.start();
  await untilEstablished(parts);
  const count = async () => [(await muslin.routes()).size, (await daemon.routes()).size].join();
  const are = (wanted: string) => hosts.until(`there are ${wanted} routes`, async () => (await count()) === wanted);
  await are('40,40');
  muslin.reconfigure({ originations: OURS.slice(0, 10) });
  await are('40,10');
  muslin.reconfigure({ originations: [] });
  await are('40,0');
  await takeBack();
  await are('0,0');
  const view = await muslin.neighbor(hosts.daemon.address);
  assert.deepEqual([view?.state, view?.flaps], ['Established', 0]);
}

async function shutDown(parts: Parts): Promise<void> {
  const { hosts, muslin, daemon } = parts;
  const them = hosts.daemon.address;
  const saysPeers = async (pattern: RegExp): Promise<boolean> => pattern.test(await muslin.muslin('peers'));
  await hosts.start();
  await untilEstablished(parts);

  await parts.shutDown(THEIR_WORD);
  // FRR wraps it into a hard reset (RFC 8538 section 3.1).
  const heard = new RegExp(`the peer says: .*cease: administrative shutdown \\(6/2\\): ${THEIR_WORD}`);
  await hosts.until('muslin bgp peers has their word', () => saysPeers(heard));
  assert.equal((await muslin.routes()).size, 0, 'nothing of a peer that was shut down is kept');
  const last = (await muslin.neighbor(them))?.lastNotification;
  assert.deepEqual([last?.direction, last?.code], ['received', 6]);
  assert.match(last?.text ?? '', new RegExp(`administrative shutdown \\(6/2\\): ${THEIR_WORD}$`));
  await parts.takeUp();
  await untilEstablished(parts);

  muslin.reconfigure({ fields: { shutdown: OUR_WORD } });
  await hosts.until('the other has our word', async () => (await parts.shown()).includes(OUR_WORD));
  assert.ok(await saysPeers(new RegExp(OUR_WORD)), 'our own peers view has it, too');
  assert.equal((await daemon.routes()).size, 0);
  muslin.reconfigure({});
  await untilEstablished(parts);
}

for (const [name, make] of KINDS) {
  describe(name, LIMITS, () => {
    test('passwords differ and we dial: no session, and we say so', { timeout: TEST_MS }, () =>
      onHosts((hosts) => passwordsDiffer(setUp(hosts, make, { password: 'another' }, { passive: true }), 'muslin')),
    );
    test('passwords differ and they dial: no session', { timeout: TEST_MS }, () =>
      onHosts((hosts) => passwordsDiffer(setUp(hosts, make, { password: 'another', passive: true }, {}), 'daemon')),
    );
    test('either takes its routes back', { timeout: TEST_MS }, () =>
      onHosts((hosts) => takenBack(setUp(hosts, make, {}, { passive: true }))),
    );
    test('either shuts the session down, and the other shows why', { timeout: TEST_MS }, () =>
      onHosts((hosts) => shutDown(setUp(hosts, make, {}, { passive: true }))),
    );
  });
}
