/**
 * Mutated messages: whatever a peer sends, the speaker neither throws nor asks to be woken without end, and its tables stay
 * in step. The seed is printed; MUSLIN_FUZZ_SEED=… runs it again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../lib/clock.ts';
import { seededRandom } from '../lib/prng.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { ip } from '../net/ip.ts';
import { type ConnectionId, connectionId } from './contract.ts';
import { encodeEndOfRib } from './export/update-writer.ts';
import { announce } from './scripted-peer.suite.ts';
import { createSpeaker, type Speaker } from './speaker.ts';
import { config, everyRoute, originations, peer } from './virtual-net.suite.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';
import { NO_CAPABILITIES } from './wire/capabilities.ts';
import { encodeMessage, encodeNotification, KEEPALIVE, MESSAGE_TYPE } from './wire/message.ts';
import { encodeOpen } from './wire/open.ts';

const SEED = Number(process.env.MUSLIN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = 4_000;
const ROUNDS_PER_SPEAKER = 8;

const PEER = '10.0.0.2';

const OPEN = encodeOpen({
  asn: asn(64512),
  holdTimeSeconds: 90,
  routerId: routerIdFromIp(ip(PEER)),
  capabilities: {
    ...NO_CAPABILITIES,
    families: [4, 6],
    fourOctetAsn: 64512,
    gracefulRestart: {
      restarting: false,
      notification: false,
      restartTimeSeconds: 60,
      families: [{ family: 4, forwardingPreserved: true }],
    },
    routeRefresh: true,
  },
});

const rich = {
  ...PLAIN_ATTRIBUTES,
  asPath: [65001, 4200000000],
  med: 3,
  communities: [0xfc000064],
  largeCommunities: [[1, 2, 3] as const],
  aggregator: { asn: 65001, address: ip('10.0.0.9') },
  clusterList: [7],
  unknown: [{ type: 99, flags: 0xe0, value: Uint8Array.of(1, 2) }],
};
const UPDATES = Uint8Array.from([
  ...announce(ip(PEER), ['172.17.9.0/24', '172.17.0.0/16'], rich),
  ...announce(ip('fd00::2'), ['fd17:9::/64'], rich),
]);
const MESSAGES = [
  OPEN,
  KEEPALIVE,
  UPDATES,
  UPDATES,
  encodeEndOfRib(4),
  encodeEndOfRib(6),
  encodeNotification({ code: 6, subcode: 2, data: Uint8Array.of(3, 65, 66, 67) }),
  encodeMessage(MESSAGE_TYPE.routeRefresh, Uint8Array.of(0, 1, 0, 1)),
];

test(`RFC 7606: mutated messages never make the speaker throw (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  const below = (limit: number): number => Math.floor(random() * limit);
  const mutate = (message: Uint8Array): Uint8Array => {
    const bytes = message.slice();
    // Mostly behind the header, whose errors hide everything else.
    for (let count = below(4); count > 0; count--)
      bytes[below(6) === 0 ? below(bytes.length) : 19 + below(Math.max(bytes.length - 19, 1))] = below(256);
    return below(10) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
  };
  const peers = [peer(PEER, { passive: true }), peer('10.0.0.3', { passive: true })];
  const start = (): Speaker => {
    const speaker = createSpeaker({ random, now });
    speaker.handle(now, { kind: 'configure', config: config('10.0.0.1', peers) });
    speaker.handle(now, { kind: 'announce', originations: originations(['172.17.8.0/24']) });
    return speaker;
  };
  let now = instant(0);
  let speaker = start();
  const seen = { Established: 0, updates: 0 };
  let connections = 0;
  for (let round = 0; round < ROUNDS; round++) {
    // A session that has failed often enough refuses its peer for a while.
    if (round % ROUNDS_PER_SPEAKER === 0) speaker = start();
    const connection: ConnectionId = connectionId(++connections * 2 - 1);
    const peerAddress = ip(PEER);
    speaker.handle(now, { kind: 'accepted', connection, peerAddress, localAddress: ip('10.0.0.1'), device: undefined });
    const openFirst = below(20) === 0 ? [] : [OPEN, KEEPALIVE];
    const messages = [
      ...openFirst,
      ...Array.from({ length: 1 + below(6) }, () => mutate(MESSAGES[below(MESSAGES.length)] ?? OPEN)),
    ];
    for (const bytes of messages) {
      now = instant(now + below(50));
      const outputs = speaker.handle(now, { kind: 'received', connection, bytes });
      while (speaker.hasWork()) outputs.push(...speaker.handle(now, { kind: 'work' }));
      if (outputs.some((output) => output.kind === 'session' && output.to === 'Established')) seen.Established += 1;
      if (outputs.some((output) => output.kind === 'best')) seen.updates += 1;
    }
    if (below(2) === 0) speaker.handle(now, { kind: 'closed', connection, reason: 'fuzz' });
    now = instant(now + below(5_000));
    speaker.handle(now, { kind: 'tick' });
    while (speaker.hasWork()) speaker.handle(now, { kind: 'work' });
    const next = speaker.nextTimer();
    assert.ok(next === undefined || next > now, `after a tick at ${now} it wants another at ${next}`);
  }
  assert.ok(seen.Established > ROUNDS / 4 && seen.updates > ROUNDS / 20, JSON.stringify(seen));
  speaker.handle(now, { kind: 'configure', config: config('10.0.0.1', []) });
  while (speaker.hasWork()) speaker.handle(now, { kind: 'work' });
  assert.deepEqual(
    everyRoute(speaker).map((route) => route.from),
    ['local'],
  );
});
