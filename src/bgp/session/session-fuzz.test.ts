/**
 * Sessions under random input: a peer that sends mutated messages, and two sessions over a wire that delays, splits and cuts.
 *
 * Never may a session throw or ask to be woken without end; two sessions that are left alone must find one connection that
 * both hold for Established, whoever dialled. The seed is printed; MUSLIN_FUZZ_SEED=… runs it again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after, type Instant, instant } from '../../lib/clock.ts';
import { type Random, seededRandom } from '../../lib/prng.ts';
import { routerIdFromIp } from '../../net/asn.ts';
import { type Ip, ip } from '../../net/ip.ts';
import { type ConnectionId, connectionId, type SpeakerOutput } from '../contract.ts';
import type { PeerConfig } from '../peer-config.ts';
import { encodeMessage, encodeNotification, KEEPALIVE, MESSAGE_TYPE } from '../wire/message.ts';
import { encodeOpen } from '../wire/open.ts';
import { encodeRefresh } from '../wire/route-refresh.ts';
import { ownOpenFor } from './own-open.ts';
import { Session } from './session.ts';
import { LOW, openFrom, peerConfig, restart, SessionRig, SPEAKER } from './session-rig.suite.ts';
import { viewSession } from './session-view.ts';

const SEED = Number(process.env.MUSLIN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));

const OPEN = encodeOpen(
  openFrom(LOW, { gracefulRestart: restart({ notification: true }), enhancedRouteRefresh: true }),
);
const MESSAGES = [
  OPEN,
  KEEPALIVE,
  encodeMessage(MESSAGE_TYPE.update, Uint8Array.of(0, 0, 0, 0)),
  encodeRefresh({ family: 4, kind: 'begin' }),
  encodeNotification({ code: 6, subcode: 9, data: Uint8Array.of(6, 2, 3, 65, 66, 67) }),
];

test(`mutated messages never make a session throw (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  const below = (limit: number): number => Math.floor(random() * limit);
  const mutate = (message: Uint8Array): Uint8Array => {
    const bytes = message.slice();
    for (let count = below(3); count > 0; count--) bytes[below(3) === 0 ? below(19) : below(bytes.length)] = below(256);
    return below(10) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
  };
  const rig = new SessionRig(peerConfig({ passive: false }), random);
  let established = 0;
  for (let round = 0; round < 1_500; round++) {
    const dialled = rig.outputs.findLast((output) => output.kind === 'connect')?.connection;
    const connection = dialled ?? rig.accept();
    if (dialled !== undefined) rig.session.connected(rig.now, dialled, ip(LOW));
    rig.outputs.length = 0;
    const begin = below(10) === 0 ? [] : [OPEN, KEEPALIVE];
    for (const bytes of [...begin, ...Array.from({ length: below(6) }, () => mutate(MESSAGES[below(5)] ?? OPEN))]) {
      rig.receive(connection, bytes);
      if (rig.session.state === 'Established') established += 1;
      rig.run(below(1_000));
    }
    if (below(3) === 0) rig.session.blocked(rig.now, connection);
    if (below(3) === 0) rig.session.closed(rig.now, connection, 'fuzz');
    rig.run(below(200_000));
    viewSession(rig.now, rig.session);
    rig.updates.length = 0;
  }
  assert.ok(established > 200, `${established}`);
});

/** One end of the wire. */
interface End {
  readonly session: Session;
  readonly address: Ip;
  established: ConnectionId | undefined;
}

/** Two sessions and the bytes between them; a connection has the same number at both ends. */
class Pair {
  now: Instant = instant(0);
  readonly ends: readonly [End, End];
  readonly #random: Random;
  readonly #pending: { at: Instant; readonly deliver: () => void }[] = [];
  /** When the last bytes of a direction arrive, as TCP keeps their order. */
  readonly #arrivals = new Map<string, Instant>();
  readonly #dead = new Set<ConnectionId>();
  #lastConnection = 0;
  #lastMs: number;

  constructor(random: Random, configs: readonly [PeerConfig, PeerConfig], latencyMs: number) {
    this.#random = random;
    this.#lastMs = latencyMs;
    this.ends = [this.#end(configs[0], '10.0.0.1', 0), this.#end(configs[1], '10.0.0.2', 1)];
    for (const end of this.ends) end.session.start(this.now);
  }

  #end(config: PeerConfig, address: string, index: 0 | 1): End {
    const speaker = { ...SPEAKER, routerId: routerIdFromIp(ip(address)) };
    const end: End = {
      address: ip(address),
      established: undefined,
      session: new Session(
        this.now,
        config,
        {
          emit: (output) => this.#output(index, output),
          nextConnection: () => connectionId(++this.#lastConnection),
          ownOpen: () => ownOpenFor(config, speaker, { restarting: false, forwardingKept: [4, 6] }),
          established: () => {
            end.established = connectionId(-1);
          },
          update: () => undefined,
          refresh: () => {},
          unanswered: () => {},
          down: () => {
            end.established = undefined;
          },
        },
        this.#random,
      ),
    };
    return end;
  }

  #later(direction: string, deliver: () => void): void {
    const soonest = this.#arrivals.get(direction) ?? this.now;
    const at = instant(Math.max(soonest, after(this.now, this.#random() * this.#lastMs)));
    this.#arrivals.set(direction, at);
    this.#pending.push({ at, deliver });
  }

  #output(from: 0 | 1, output: SpeakerOutput): void {
    const to = from === 0 ? 1 : 0;
    if (output.kind === 'connect') {
      const { connection } = output;
      this.#later(`dial ${connection}`, () => {
        if (this.#dead.has(connection)) {
          this.ends[from].session.connectFailed(this.now, connection, 'cut');
          return;
        }
        this.ends[to].session.accepted(this.now, connection, this.ends[to].address);
        this.ends[from].session.connected(this.now, connection, this.ends[from].address);
      });
    } else if (output.kind === 'send') {
      const { connection, bytes } = output;
      const cut = Math.floor(this.#random() * bytes.length);
      for (const piece of [bytes.slice(0, cut), bytes.slice(cut)]) {
        this.#later(`${connection} ${to}`, () => {
          if (!this.#dead.has(connection)) this.ends[to].session.received(this.now, connection, piece);
        });
      }
    } else if (output.kind === 'close') {
      this.#later(`${output.connection} ${to}`, () =>
        this.ends[to].session.closed(this.now, output.connection, 'closed'),
      );
    }
  }

  /** The connection is gone at one end; the other learns of it later. */
  cut(): void {
    const connection = connectionId(1 + Math.floor(this.#random() * this.#lastConnection));
    this.#dead.add(connection);
    for (const [index, end] of this.ends.entries()) {
      this.#later(`${connection} ${index}`, () => end.session.closed(this.now, connection, 'cut'));
    }
  }

  run(milliseconds: number): void {
    const end = after(this.now, milliseconds);
    for (let steps = 0; ; steps++) {
      assert.ok(steps < 100_000, 'it never comes to rest');
      this.#pending.sort((a, b) => a.at - b.at);
      const timers = this.ends.map(({ session }) => session.nextTimer() ?? Infinity);
      const next = Math.min(this.#pending[0]?.at ?? Infinity, ...timers);
      if (next > end) break;
      this.now = instant(Math.max(next, this.now));
      const arrival = this.#pending[0];
      if (arrival !== undefined && arrival.at <= this.now) {
        this.#pending.shift();
        arrival.deliver();
      } else for (const { session } of this.ends) session.tick(this.now);
    }
    this.now = end;
  }
}

test(`RFC 4271 section 6.8: two sessions always find one connection (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  for (let round = 0; round < 400; round++) {
    const random = seededRandom(SEED + round);
    const gracefulRestart = random() < 0.5 ? 'full' : 'off';
    const delayed = random() < 0.2 ? 2 : 0;
    const both = { passive: false, gracefulRestart, delayOpenSeconds: delayed } as const;
    const pair = new Pair(
      random,
      [
        peerConfig({ ...both, address: ip('10.0.0.2') }),
        peerConfig({ ...both, address: ip('10.0.0.1'), passive: random() < 0.3 }),
      ],
      random() < 0.5 ? 20 : 2_000,
    );
    const cutsMax = Math.floor(random() * 8);
    for (let cuts = cutsMax; cuts > 0; cuts--) {
      pair.run(random() * 10_000);
      pair.cut();
    }
    pair.run(120_000);
    const states = pair.ends.map(({ session }) => session.state);
    const told = pair.ends.map((end) => end.established !== undefined);
    const logs = (): string =>
      JSON.stringify(
        pair.ends.map(({ session }) => session.log.entries(pair.now)),
        null,
        1,
      );
    assert.deepEqual([...states, ...told], ['Established', 'Established', true, true], `round ${round} ${logs()}`);
    const flaps = pair.ends.map(({ session }) => session.log.flaps);
    // One: a collision may be found only when one side is already Established.
    if (cutsMax === 0) assert.ok(Math.max(...flaps) <= 1, `round ${round} collides again and again ${logs()}`);
    pair.run(600_000);
    assert.deepEqual(
      pair.ends.map(({ session }) => session.log.flaps),
      flaps,
      `round ${round} is not stable ${logs()}`,
    );
  }
});
