/**
 * One speaker among ten peers of all kinds, against the model of speaker-model.suite.ts.
 *
 * Peers announce and withdraw, come and go, stop reading, ask for everything again; the operator changes policies, limits,
 * aggregates and addresses; none waits for the speaker to be done with the thing before. Each peer keeps the table that
 * follows from what it is sent. When the speaker is quiet all tables must be those of the model, and so must its kernel.
 * The seed is printed; MUSLIN_FUZZ_SEED=… runs it again, MUSLIN_FUZZ_ROUNDS=… runs more seeds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after, type Instant, instant } from '../lib/clock.ts';
import { type Random, seededRandom } from '../lib/prng.ts';
import { asn, type RouterId, routerIdFromIp } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { formatIp, ip } from '../net/ip.ts';
import { type ConnectionId, connectionId, type PeerName, peerName, type SpeakerOutput } from './contract.ts';
import { encodeForSending, UpdateWriter } from './export/update-writer.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import { ACCEPT_ALL, type Policy, type PolicyRule, REJECT_ALL } from './policy/policy-rules.ts';
import { createSpeaker } from './speaker.ts';
import { Model, type ModelPeer, prefixOfKey, textOf } from './speaker-model.suite.ts';
import { PrefixTable } from './table/prefix-table.ts';
import { config, originations, peer } from './virtual-net.suite.ts';
import type { PathAttributes } from './wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';
import { type Capabilities, NO_CAPABILITIES } from './wire/capabilities.ts';
import { isBgpError } from './wire/errors.ts';
import { KEEPALIVE, MESSAGE_TYPE, MessageFramer } from './wire/message.ts';
import { prefixesIn } from './wire/nlri.ts';
import { encodeOpen } from './wire/open.ts';
import { decodeRefresh, encodeRefresh, type RefreshKind } from './wire/route-refresh.ts';
import { UpdateDecoder } from './wire/update.ts';

const SEED = Number(process.env.MUSLIN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env.MUSLIN_FUZZ_ROUNDS ?? 300);

const OWN_ASN = 64512;
/** Longer than anybody waits for End-of-RIB. */
const ALL_WAITS_MS = 200_000;

/** What tells the peers apart; the third number of an address is the kind, so that several peers may be of one kind. */
interface Kind {
  readonly asn: number;
  readonly config: Partial<PeerConfig>;
  readonly open: Partial<Capabilities>;
}

const BOTH = { families: [4, 6] as const };
const WIDE = { fourOctetAsn: 1, routeRefresh: true };
const KINDS: readonly Kind[] = [
  { asn: OWN_ASN, config: { reflectorClient: true }, open: { ...BOTH, ...WIDE } },
  { asn: OWN_ASN, config: { reflectorClient: true }, open: { ...BOTH, ...WIDE, enhancedRouteRefresh: true } },
  { asn: OWN_ASN, config: { reflectorClient: true, nextHop: 'self' }, open: { families: [4] } },
  { asn: OWN_ASN, config: {}, open: { ...BOTH, ...WIDE, extendedMessages: true } },
  {
    asn: OWN_ASN,
    config: { reflectorClient: true, addPath: { sendMax: 3, receive: true } },
    open: { ...BOTH, ...WIDE, addPath: [...both({ send: true, receive: true })] },
  },
  { asn: 65001, config: {}, open: { ...BOTH, ...WIDE } },
  { asn: 65001, config: { asOverride: true, nextHop: 'keep' }, open: { ...BOTH, ...WIDE, extendedMessages: true } },
  { asn: 65002, config: { importPolicy: undefined, exportPolicy: undefined }, open: { ...BOTH, ...WIDE } },
  { asn: 65003, config: { routeServerClient: true, enforceFirstAs: false }, open: { ...BOTH, ...WIDE } },
  {
    asn: 65004,
    config: { addPath: { sendMax: 2, receive: false }, allowedOwnAsns: 1 },
    open: { families: [4, 6], routeRefresh: true, addPath: [...both({ send: false, receive: true })] },
  },
];

function both(way: { send: boolean; receive: boolean }): { family: Family; send: boolean; receive: boolean }[] {
  return ([4, 6] as const).map((family) => ({ family, ...way }));
}

const PREFIXES: readonly string[] = [
  ...Array.from({ length: 12 }, (_, index) => `10.${index >> 2}.${index & 3}.0/${24 + (index % 3)}`),
  '0.0.0.0/0',
  '10.0.0.0/16',
  '192.0.2.1/32',
  ...Array.from({ length: 6 }, (_, index) => `fd17:${index}::/${48 + 16 * (index % 3)}`),
  '::/0',
  'fd17::/16',
  'fd17::1/128',
].map((text) => formatCidr(cidr(text)));

const AGGREGATES = [
  { prefix: cidr('10.0.0.0/15'), summaryOnly: true },
  { prefix: cidr('10.0.0.0/8'), summaryOnly: false },
  { prefix: cidr('fd17:1::/40'), summaryOnly: true },
];

const rule = (more: Partial<PolicyRule>): PolicyRule => ({ name: 'a rule', action: 'accept', operations: [], ...more });
const within = (text: string): PolicyRule['prefix'] & object => ({
  cidr: cidr(text),
  operator: 'In',
  lengthMin: undefined,
  lengthMax: undefined,
});
const POLICIES: readonly Policy[] = [
  ACCEPT_ALL,
  REJECT_ALL,
  { rules: [rule({ prefix: within('10.0.0.0/14'), action: 'reject' })], otherwise: 'accept' },
  {
    rules: [
      rule({ prefix: within('10.0.0.0/15'), operations: [{ kind: 'setMed', value: 7 }] }),
      rule({ prefix: { ...within('10.2.0.0/16'), operator: 'NotIn', lengthMin: 25 }, source: 'remote' }),
      rule({ family: 6, operations: [{ kind: 'prependAsPath', asns: [65009] }] }),
    ],
    otherwise: 'reject',
  },
  {
    rules: [
      rule({ localPreference: 100, operations: [{ kind: 'setLocalPreference', value: 200 }] }),
      rule({ localPreference: 150, operations: [{ kind: 'setLocalPreference', value: 100 }] }),
      rule({ peerType: 'external', operations: [{ kind: 'addCommunity', community: { kind: 'standard', value: 9 } }] }),
    ],
    otherwise: 'accept',
  },
];

/** One end of a session that is up, and the table that follows from what it was sent. */
class Far {
  readonly connection: ConnectionId;
  readonly #framer = new MessageFramer();
  readonly #decoder: UpdateDecoder;
  readonly #bytesMax: number;
  readonly table = new Map<string, Map<number, string>>();
  readonly ends: Family[] = [];
  updates = 0;
  isUp = false;
  isBlocked = false;
  isClosed = false;

  constructor(connection: ConnectionId, model: ModelPeer, open: Capabilities) {
    this.connection = connection;
    const external = model.asn !== OWN_ASN;
    this.#bytesMax = open.extendedMessages ? 65535 : 4096;
    this.#framer.messageBytesMax = this.#bytesMax;
    this.#decoder = new UpdateDecoder({
      asnBytes: open.fourOctetAsn === undefined ? 2 : 4,
      external,
      peerAsn: OWN_ASN,
      enforceFirstAs: external && !model.config.routeServerClient,
      role: undefined,
      families: model.families,
      addPathReceive: model.takesPaths ? model.families : [],
      ipv4OverIpv6: false,
    });
  }

  /** Whether it may be told something (a peer that is blocked was told before it was). */
  take(bytes: Uint8Array): void {
    const { frames, error } = this.#framer.push(bytes);
    assert.equal(error, undefined);
    for (const { type, body } of frames) {
      if (type === MESSAGE_TYPE.keepalive) this.isUp = true;
      if (type === MESSAGE_TYPE.update) this.#update(body);
      if (type === MESSAGE_TYPE.routeRefresh) assert.ok(decodeRefresh(body, true) !== undefined);
    }
  }

  #update(body: Uint8Array): void {
    assert.ok(!this.isBlocked, 'an UPDATE for a peer that is blocked');
    assert.ok(body.length + 19 <= this.#bytesMax, `an UPDATE of ${body.length + 19} bytes`);
    const update = this.#decoder.decode(body);
    assert.ok(!isBgpError(update), isBgpError(update) ? update.why + Buffer.from(body).toString('hex') : '');
    assert.deepEqual(update.problems, []);
    if (update.endOfRib !== undefined) this.ends.push(update.endOfRib);
    else this.updates += 1;
    for (const range of update.withdrawn) {
      for (const { prefix, pathId } of prefixesIn(body, range)) this.#forget(formatCidr(prefix), pathId ?? 0);
    }
    for (const { range, attributes } of update.announced) {
      const text = textOf(attributes);
      for (const { prefix, pathId } of prefixesIn(body, range)) {
        const paths = this.table.get(formatCidr(prefix)) ?? new Map<number, string>();
        this.table.set(formatCidr(prefix), paths.set(pathId ?? 0, text));
      }
    }
  }

  #forget(prefix: string, pathId: number): void {
    const paths = this.table.get(prefix);
    paths?.delete(pathId);
    if (paths?.size === 0) this.table.delete(prefix);
  }
}

/** A peer over all its sessions. */
interface Scripted {
  readonly kind: Kind;
  readonly name: PeerName;
  config: PeerConfig;
  readonly open: Capabilities;
  readonly routerId: RouterId;
  readonly said: Map<string, PathAttributes>;
  far: Far | undefined;
}

class World {
  now: Instant = instant(0);
  readonly random: Random;
  readonly speaker;
  readonly peers: Scripted[];
  config: SpeakerConfig;
  readonly kernel = new Map<string, string>();
  readonly #fars = new Map<ConnectionId, Far>();
  #own: readonly string[] = [];
  #lastConnection = -1;

  constructor(seed: number, kinds: readonly Kind[] = KINDS) {
    this.random = seededRandom(seed);
    this.speaker = createSpeaker({ random: this.random, now: this.now });
    this.peers = kinds.map((kind, index) => this.#scripted(kind, index));
    this.config = config('10.9.0.100', [], { clusterId: 77, nextHops: { 4: ip('10.9.0.100'), 6: ip('fd00::100') } });
    this.configure({});
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)] as Value;
  }

  some<Value>(values: readonly Value[], most: number): Value[] {
    return Array.from({ length: 1 + this.below(most) }, () => this.pick(values));
  }

  tell(event: Parameters<typeof this.speaker.handle>[1]): void {
    for (const output of this.speaker.handle(this.now, event)) this.#obey(output);
  }

  work(slices: number): void {
    for (let slice = 0; slice < slices && this.speaker.hasWork(); slice++) this.tell({ kind: 'work' });
  }

  quiet(): void {
    this.work(10_000);
    assert.ok(!this.speaker.hasWork(), 'work without end');
  }

  wait(milliseconds: number): void {
    this.now = after(this.now, milliseconds);
    this.tell({ kind: 'tick' });
  }

  configure(more: Partial<SpeakerConfig>): void {
    this.config = { ...this.config, ...more, peers: this.peers.map((scripted) => scripted.config) };
    this.tell({ kind: 'configure', config: this.config });
  }

  originate(prefixes: readonly string[]): void {
    this.#own = [...new Set(prefixes)];
    this.tell({ kind: 'announce', originations: originations(this.#own) });
  }

  connect(scripted: Scripted): void {
    if (scripted.far !== undefined) return;
    this.#lastConnection += 2;
    const connection = connectionId(this.#lastConnection);
    const far = new Far(connection, this.model(scripted), scripted.open);
    this.#fars.set(connection, far);
    scripted.far = far;
    const { asn: number, routerId, open } = { ...scripted, asn: scripted.kind.asn };
    const localAddress = ip('10.9.0.100');
    this.tell({ kind: 'accepted', connection, peerAddress: scripted.config.address, localAddress, device: undefined });
    const opening = { asn: asn(number), holdTimeSeconds: 0, routerId, capabilities: open };
    this.say(scripted, encodeOpen(opening));
    this.say(scripted, KEEPALIVE);
    if (far.isClosed) scripted.far = undefined;
  }

  lose(scripted: Scripted): void {
    const { far } = scripted;
    if (far === undefined) return;
    scripted.far = undefined;
    scripted.said.clear();
    this.#fars.delete(far.connection);
    this.tell({ kind: 'closed', connection: far.connection, reason: 'cut' });
  }

  /** Bytes from the peer, in two parts. */
  say(scripted: Scripted, bytes: Uint8Array): void {
    const { far } = scripted;
    if (far === undefined || bytes.length === 0) return;
    const middle = this.below(bytes.length);
    const { connection } = far;
    this.tell({ kind: 'received', connection, bytes: bytes.slice(0, middle) });
    this.tell({ kind: 'received', connection, bytes: bytes.slice(middle) });
  }

  announce(scripted: Scripted, prefixes: readonly string[], attributes: PathAttributes): void {
    this.#write(scripted, prefixes, (family, writer, rows, pathIds) => {
      const nextHop = family === 6 ? ip(`fd00::${scripted.config.address.bytes[3]}`) : scripted.config.address;
      const whole = { ...attributes, nextHop };
      const asnBytes = scripted.open.fourOctetAsn === undefined ? 2 : 4;
      const encoded = encodeForSending(whole, family, asnBytes, 4096);
      assert.ok(encoded !== undefined);
      writer.announce(encoded, rows, pathIds);
      return whole;
    });
  }

  withdraw(scripted: Scripted, prefixes: readonly string[]): void {
    this.#write(scripted, prefixes, (_family, writer, rows, pathIds) => {
      writer.withdraw(rows, pathIds);
      return undefined;
    });
  }

  refresh(scripted: Scripted, family: Family, kind: RefreshKind): void {
    this.say(scripted, encodeRefresh({ family, kind }));
  }

  model({ config: peerConfig, kind, open, said, routerId }: Scripted): ModelPeer {
    const sends = open.addPath.some((way) => way.send) && peerConfig.addPath.receive;
    const takes = open.addPath.some((way) => way.receive) && peerConfig.addPath.sendMax > 1;
    const families = open.families ?? [4];
    return { config: peerConfig, asn: kind.asn, families, routerId, said, sendsPaths: sends, takesPaths: takes };
  }

  /** Compares everything with the model. */
  check(): void {
    this.quiet();
    const up = this.peers.filter(({ far }) => far !== undefined);
    const models = up.map((scripted) => this.model(scripted));
    const own = new Map(this.#own.map((prefix) => [prefix, PLAIN_ATTRIBUTES]));
    const model = new Model(this.config, models, own);
    for (const [index, { name, far, said }] of up.entries()) {
      assert.ok(far?.isUp && models[index] !== undefined);
      if (far.isBlocked) continue;
      const table = new Map(Array.from(far.table, ([prefix, paths]) => [prefix, [...paths.values()].sort()]));
      assertSameMap(table, model.table(models[index]), `${name} has`);
      const view = this.speaker.peers(this.now).find(({ address }) => address === name);
      assert.equal(view?.prefixesReceived, said.size, `${name}: prefixesReceived`);
      const sent = Array.from(far.table.values(), (paths) => paths.size).reduce((sum, size) => sum + size, 0);
      assert.equal(view?.prefixesSent, sent, `${name}: prefixesSent`);
      assert.ok(new Set(far.ends).size === far.ends.length, `End-of-RIB twice: ${far.ends}`);
    }
    assertSameMap(this.kernel, model.ways(), 'the kernel has');
  }

  #scripted(kind: Kind, index: number): Scripted {
    const address = `10.9.0.${index + 1}`;
    const value = peer(address, { passive: true, asn: asn(kind.asn), gracefulRestart: 'off', ...kind.config });
    const wide = kind.open.fourOctetAsn === undefined ? undefined : kind.asn;
    const open = { ...NO_CAPABILITIES, ...kind.open, fourOctetAsn: wide };
    const routerId = routerIdFromIp(ip(address));
    return { kind, name: peerName(value), config: value, open, routerId, said: new Map(), far: undefined };
  }

  #write(
    scripted: Scripted,
    prefixes: readonly string[],
    write: (family: Family, writer: UpdateWriter, rows: number[], pathIds: number[]) => PathAttributes | undefined,
  ): void {
    if (scripted.far === undefined) return;
    const model = this.model(scripted);
    for (const family of model.families) {
      const table = new PrefixTable(family);
      const chosen = prefixes.filter((prefix) => cidr(prefix).address.family === family);
      if (chosen.length === 0) continue;
      const rows = chosen.map((prefix) => table.addPrefix(cidr(prefix)));
      const pathIds = chosen.map(() => (model.sendsPaths ? this.below(2) : 0));
      const writer = new UpdateWriter(table, 4096, model.sendsPaths);
      const attributes = write(family, writer, rows, pathIds);
      for (const [index, prefix] of chosen.entries()) {
        const key = `${formatCidr(cidr(prefix))} ${pathIds[index]}`;
        if (attributes === undefined) scripted.said.delete(key);
        else scripted.said.set(key, attributes);
      }
      this.say(scripted, writer.take());
    }
  }

  #obey(output: SpeakerOutput): void {
    if (output.kind === 'best') {
      const { prefix, gateways, discard } = output;
      const way = discard ? 'discard' : gateways.map(({ address }) => formatIp(address)).join(' ');
      if (way === '') this.kernel.delete(formatCidr(prefix));
      else this.kernel.set(formatCidr(prefix), way);
    }
    if (output.kind === 'send') this.#fars.get(output.connection)?.take(output.bytes);
    if (output.kind !== 'close') return;
    const far = this.#fars.get(output.connection);
    this.#fars.delete(output.connection);
    if (far !== undefined) far.isClosed = true;
    for (const scripted of this.peers) {
      if (scripted.far !== far || far === undefined) continue;
      scripted.far = undefined;
      scripted.said.clear();
    }
  }
}

function assertSameMap<Value>(actual: ReadonlyMap<string, Value>, expected: ReadonlyMap<string, Value>, what: string) {
  const sorted = (map: ReadonlyMap<string, Value>): [string, Value][] =>
    [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  assert.deepEqual(sorted(actual), sorted(expected), what);
}

function attributesFor(world: World, { kind }: Scripted): PathAttributes {
  const external = kind.asn !== OWN_ASN;
  const asPath = external
    ? [kind.asn, ...world.pick([[], [], [65001], [OWN_ASN], [4200000000, 65002], [65004, 65004]])]
    : world.pick([[], [], [65001], [65002, 65003], [65004]]);
  const reflected = !external && world.below(4) === 0;
  return {
    ...PLAIN_ATTRIBUTES,
    asPath,
    origin: world.pick([0, 0, 1, 2]),
    med: world.pick([undefined, undefined, 0, 5, 7]),
    localPreference: external ? undefined : world.pick([100, 100, 100, 150, 200]),
    communities: world.pick([[], [], [], [9], [5, 9], [0xffffff01], [0xffffff02]]),
    largeCommunities: world.pick([[], [[1, 2, 3] as const]]),
    originatorId: reflected ? routerIdFromIp(ip(world.pick(['10.9.0.1', '10.9.0.77', '10.9.0.100']))) : undefined,
    clusterList: reflected ? world.pick([[5], [5, 6], [77]]) : [],
  };
}

type Act = (world: World, scripted: Scripted) => void;

function repolicy(world: World, scripted: Scripted, which: 'importPolicy' | 'exportPolicy'): void {
  const policy = scripted.kind.asn === OWN_ASN || world.below(8) > 0 ? world.pick(POLICIES) : undefined;
  scripted.config = { ...scripted.config, [which]: policy };
  world.configure({});
}

/** What may happen, some of it more often. */
const ACTS: readonly Act[] = [
  ...Array.from(
    { length: 5 },
    (): Act => (world, scripted) => {
      world.announce(scripted, world.some(PREFIXES, 6), attributesFor(world, scripted));
    },
  ),
  ...Array.from(
    { length: 3 },
    (): Act => (world, scripted) => {
      const said = [...scripted.said.keys()].map(prefixOfKey);
      world.withdraw(scripted, world.some(said.length > 0 && world.below(4) > 0 ? said : PREFIXES, 6));
    },
  ),
  (world, scripted) => {
    world.withdraw(scripted, [...scripted.said.keys()].map(prefixOfKey));
  },
  (world, scripted) => world.lose(scripted),
  (world, scripted) => world.connect(scripted),
  (world, scripted) => world.connect(scripted),
  (world, scripted) => world.refresh(scripted, world.pick([4, 6]), 'request'),
  (world, scripted) => {
    if (!scripted.open.enhancedRouteRefresh) return;
    const family = world.pick([4, 6] as const);
    world.refresh(scripted, family, 'begin');
    for (const key of [...scripted.said.keys()]) {
      const prefix = prefixOfKey(key);
      if (cidr(prefix).address.family !== family) continue;
      if (world.below(3) > 0) world.announce(scripted, [prefix], attributesFor(world, scripted));
      else scripted.said.delete(key);
      world.work(world.below(2));
    }
    world.refresh(scripted, family, 'end');
  },
  (world, scripted) => repolicy(world, scripted, 'exportPolicy'),
  (world, scripted) => repolicy(world, scripted, 'exportPolicy'),
  (world, scripted) => {
    for (let times = 0; times < 3; times++) repolicy(world, scripted, 'exportPolicy');
  },
  (world, scripted) => repolicy(world, scripted, 'importPolicy'),
  (world, scripted) => {
    const { addPath } = scripted.config;
    const sendMax = addPath.sendMax > 1 ? 2 + world.below(3) : 1;
    const reflectorClient = scripted.kind.asn === OWN_ASN && world.below(2) === 0;
    scripted.config = { ...scripted.config, reflectorClient, addPath: { ...addPath, sendMax } };
    world.configure({});
  },
  (world) => world.configure({ aggregates: AGGREGATES.filter(() => world.below(2) === 0) }),
  (world) => world.configure({ nextHops: { 4: ip(`10.9.0.${100 + world.below(2)}`), 6: ip('fd00::100') } }),
  (world) => world.originate(world.some(PREFIXES, 5)),
  (world, { far }) => {
    if (far === undefined || far.isBlocked) return;
    far.isBlocked = true;
    world.tell({ kind: 'blocked', connection: far.connection });
  },
  ...Array.from(
    { length: 2 },
    (): Act =>
      (world, { far }) => {
        if (far === undefined || !far.isBlocked) return;
        far.isBlocked = false;
        world.tell({ kind: 'drained', connection: far.connection });
      },
  ),
  (world, { name }) => world.tell({ kind: 'command', peer: name, command: { kind: 'refreshOut' } }),
];

function drainAll(world: World): void {
  for (const { far } of world.peers) {
    if (far === undefined || !far.isBlocked) continue;
    far.isBlocked = false;
    world.tell({ kind: 'drained', connection: far.connection });
  }
}

function live(seed: number): void {
  const world = new World(seed);
  if (world.below(2) === 0) world.originate(world.some(PREFIXES, 5));
  if (world.below(2) === 0) world.wait(ALL_WAITS_MS);
  for (const scripted of world.peers) if (world.below(4) > 0) world.connect(scripted);
  for (let act = 0; act < 60; act++) {
    world.pick(ACTS)(world, world.pick(world.peers));
    world.work(world.below(4));
    if (act % 20 === 19) {
      if (world.below(2) === 0) drainAll(world);
      world.check();
    }
  }
  drainAll(world);
  world.wait(ALL_WAITS_MS);
  world.wait(ALL_WAITS_MS);
  world.check();
  steady(world);
  end(world);
}

/** Nothing is said when nothing changes, and every session has had its End-of-RIB. */
function steady(world: World): void {
  const fars = world.peers.flatMap(({ far }) => far ?? []);
  const before = fars.map(({ updates }) => updates);
  for (const scripted of world.peers) {
    const { far } = scripted;
    if (far !== undefined) assert.deepEqual([...far.ends].sort(), [...world.model(scripted).families].sort());
    if (scripted.open.addPath.length > 0) continue;
    for (const [key, attributes] of [...scripted.said]) world.announce(scripted, [prefixOfKey(key)], attributes);
  }
  world.configure({});
  world.quiet();
  const updates = fars.map((far) => far.updates);
  assert.deepEqual(updates, before, 'UPDATEs though nothing has changed');
}

/** When all are gone, nothing is left. */
function end(world: World): void {
  world.originate([]);
  world.configure({ aggregates: [] });
  for (const scripted of world.peers) world.lose(scripted);
  world.quiet();
  assert.deepEqual(world.speaker.sizes(), { prefixes: 0, paths: 0, attributeSets: 0 });
  assert.deepEqual([...world.kernel], []);
}

test(`ten peers of all kinds are told what the model says (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (SEED + round) >>> 0;
    try {
      live(seed);
    } catch (error) {
      throw new Error(`MUSLIN_FUZZ_SEED=${seed}`, { cause: error });
    }
  }
});
