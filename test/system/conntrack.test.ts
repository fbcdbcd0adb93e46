/**
 * Connections that policy no longer allows are cut, on a real kernel; the others do not notice.
 *
 *   a (cali-a) ─┐
 *               ├─ host: routes, rules in the manner of ours, conntrack ─── out (eth-1)
 *   b (cali-b) ─┘
 *
 * Policy denies port 5001 from some moment on; port 5002 stays allowed. The program that judges and the rules in the
 * kernel are written by hand and say the same. Everything is in namespaces of this test's own.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Chain, FilterProgram, Match, Rule } from '../../src/felix/dataplane/filter/program.ts';
import { chainKey } from '../../src/felix/dataplane/filter/program.ts';
import { type Conntrack, openConntrack } from '../../src/kernel/conntrack.ts';
import { KernelError } from '../../src/kernel/kernel.ts';
import {
  addNamespace,
  inNamespace,
  namespaceNames,
  namespacePath,
  removeNamespace,
} from '../../src/kernel/network-namespace.ts';
import { type Nft, openNft } from '../../src/kernel/nft.ts';
import { encodeSocketAddress, SOCKET_ADDRESS_LENGTH } from '../../src/kernel/socket-address.ts';
import {
  AF_INET,
  AF_INET6,
  bind,
  receiveFrom,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sendTo,
  socket,
} from '../../src/kernel/system-calls.ts';
import { type AcceptedTcp, acceptTcp, dialTcp, listenTcp } from '../../src/kernel/tcp-socket.ts';
import type { Log, LogData } from '../../src/lib/log.ts';
import type { ConntrackEntry } from '../../src/net/conntrack-entry.ts';
import type { Family, Ip } from '../../src/net/ip.ts';
import { formatIp, ip as parsed } from '../../src/net/ip.ts';
import { ConnectionCutter } from '../../src/node/filter/connection-cutter.ts';

const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const PREFIX = `muslin-test-ct-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const HOST = namespacePath(`${PREFIX}host`);

const ADDRESSES = {
  a: { 4: '172.17.8.2', 6: 'fd00:17::2' },
  b: { 4: '172.17.8.3', 6: 'fd00:17::3' },
  out: { 4: '10.9.1.2', 6: 'fd00:9:1::2' },
  host: { 4: '10.9.1.1', 6: 'fd00:9:1::1' },
} as const;
type Place = keyof typeof ADDRESSES;
/** Leads to b by translation of the destination. */
const FLOATING = '198.51.100.3';

const DENIED = 5001;
const ALLOWED = 5002;
/** A cut takes hold within this. */
const CUT_MS = 1000;
/** How long a cut connection is watched: TCP resends after 200 ms, then after 400. */
const WATCHED_MS = 1500;
const CHUNK = 1000;
/** When waiting has become pointless. */
const PATIENCE_MS = 15_000;

const RULES = `
add table inet rules
delete table inet rules
add table inet rules
add chain inet rules deny
add chain inet rules FORWARD { type filter hook forward priority 0; }
add rule inet rules FORWARD ct state established,related accept
add rule inet rules FORWARD ct state invalid drop
add rule inet rules FORWARD jump deny
add chain inet rules nat { type nat hook prerouting priority -100; }
add rule inet rules nat ip daddr ${FLOATING} dnat ip to ${ADDRESSES.b[4]}
`;
const DENY_RULES = `add rule inet rules deny meta l4proto { tcp, udp } th dport ${DENIED} drop\n`;

const denial = (protocol: 'tcp' | 'udp'): Rule => {
  const ports: Match = {
    kind: 'ports',
    end: 'destination',
    protocol,
    ports: [{ first: DENIED, last: DENIED }],
    is: true,
  };
  const origin = { kind: 'policy', name: 'deny-5001', tier: 'default', direction: 'ingress', index: 0 } as const;
  return { matches: [ports], action: { kind: 'drop' }, comment: '', provenance: undefined, origin };
};

function programOf(rules: readonly Rule[]): FilterProgram {
  const chain: Chain = { table: 'filter', name: 'cali-FORWARD', hook: 'FORWARD', rules };
  return { chains: new Map([[chainKey(chain), chain]]), maps: new Map(), sets: new Map() };
}

/** A TCP connection of which both ends are here; what arrives is checked byte by byte. */
class Stream {
  readonly #ends: Socket[] = [];
  readonly #sent = [0, 0];
  readonly received = [0, 0];
  #arrived: () => void = () => undefined;

  static async open(from: Place, to: Place, target: string, port: number): Promise<Stream> {
    const address = parsed(target);
    const own = parsed(ADDRESSES[to][address.family]);
    const listener = inPlace(to, () => listenTcp(own, port, 1));
    const fd = inPlace(from, () => dialTcp(address, { source: undefined, device: undefined, ...UNPROTECTED }));
    const client = new Socket({ fd });
    client.connect({ host: target, port });
    const accepted = await acceptFrom(listener);
    closeSync(listener);
    return new Stream(client, new Socket({ fd: accepted.fd }));
  }

  private constructor(client: Socket, server: Socket) {
    this.#ends = [client, server];
    for (const [index, end] of this.#ends.entries()) {
      end.on('error', () => undefined);
      end.on('data', (bytes: Buffer) => {
        for (const [offset, byte] of bytes.entries()) assert.equal(byte, ((this.received[index] ?? 0) + offset) % 251);
        this.received[index] = (this.received[index] ?? 0) + bytes.length;
        this.#arrived();
      });
    }
  }

  get localPort(): number {
    return this.#ends[0]?.localPort ?? 0;
  }

  /** The end of this index sends some bytes; resolves when the other one has all of them, which may be never. */
  async send(index: 0 | 1): Promise<void> {
    const start = this.#sent[index] ?? 0;
    this.#sent[index] = start + CHUNK;
    this.#ends[index]?.write(Uint8Array.from({ length: CHUNK }, (_, offset) => (start + offset) % 251));
    while ((this.received[1 - index] ?? 0) < (this.#sent[index] ?? 0)) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  close(): void {
    for (const end of this.#ends) end.resetAndDestroy(); // the ports are free at once
  }
}

async function acceptFrom(listener: number): Promise<AcceptedTcp> {
  let accepted: AcceptedTcp | undefined;
  await until(() => {
    accepted = acceptTcp(listener);
    return accepted !== undefined;
  });
  assert.ok(accepted !== undefined);
  return accepted;
}

async function until(condition: () => boolean): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    await eventLoopTurn();
    assert.ok(performance.now() - start < PATIENCE_MS, 'the condition does not come');
  }
}

const UNPROTECTED = { password: undefined, ttlSecurityHops: undefined } as const;

function inPlace<Result>(place: Place, work: () => Result): Result {
  return inNamespace(namespacePath(PREFIX + place), work);
}

function entriesOf(conntrack: Conntrack, family: Family): ConntrackEntry[] {
  return [...conntrack.entries()].flat().filter((entry) => entry.family === family);
}

describe('a policy change and running connections', { skip }, () => {
  let nft: Nft;
  let conntrack: Conntrack;
  let program = programOf([]);
  let enabled = true;
  let cutter: ConnectionCutter;
  let streams: Stream[] = [];
  let lines: { readonly message: string; readonly data: LogData | undefined }[] = [];

  const log: Log = {
    debug: () => undefined,
    info: (message, data) => lines.push({ message, data }),
    warn: (message, data) => lines.push({ message, data }),
    error: (message, data) => lines.push({ message, data }),
    child: () => log,
  };
  const local: ReadonlyMap<string, string> = new Map(
    (['a', 'b'] as const).flatMap((place): [string, string][] =>
      ([4, 6] as const).map((family) => [ADDRESSES[place][family], `cali-${place}`]),
    ),
  );
  const world = {
    isLocal: (address: Ip) => formatIp(address) === ADDRESSES.host[address.family],
    deviceOf: (address: Ip) => local.get(formatIp(address)) ?? 'eth-1',
  };

  before(() => {
    buildNetwork();
    nft = openNft(HOST);
    conntrack = openConntrack(HOST);
  });
  after(() => {
    nft?.close();
    conntrack?.close();
    for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  });
  beforeEach(() => {
    nft.run(RULES);
    program = programOf([]);
    enabled = true;
    lines = [];
    streams = [];
    cutter = new ConnectionCutter({
      conntrack,
      guard: nft,
      ground: () => ({ enabled, program, world, local }),
      log,
      random: () => 0.5,
    });
  });
  afterEach(() => {
    cutter.close();
    for (const stream of streams) stream.close();
  });

  async function open(from: Place, to: Place, target: string, port: number): Promise<Stream> {
    const stream = await Stream.open(from, to, target, port);
    streams.push(stream);
    return stream;
  }

  const deny = (): void => {
    nft.run(DENY_RULES);
    program = programOf([denial('tcp'), denial('udp')]);
    cutter.policyChanged(new Set(['cali-b']));
  };

  /** How many the first pass that cut any has cut. */
  const cutCount = (): unknown => lines[0]?.data?.['cut'];

  const entryOf = (family: Family, stream: Stream): ConntrackEntry | undefined =>
    entriesOf(conntrack, family).find(
      ({ original: { protocol, sourcePort } }) => protocol === 6 && sourcePort === stream.localPort,
    );

  /** Goes on with `stream` until `condition` holds; how many milliseconds that took. */
  async function meanwhile(stream: Stream, condition: () => boolean): Promise<number> {
    const start = performance.now();
    while (!condition()) {
      await stream.send(0);
      await stream.send(1);
      assert.ok(performance.now() - start < PATIENCE_MS, 'the condition does not come');
    }
    return performance.now() - start;
  }

  const ROWS: readonly (readonly [what: string, family: Family, from: Place, target: string, sender: 0 | 1])[] = [
    ['an upload between containers, IPv4', 4, 'a', ADDRESSES.b[4], 0],
    ['a download between containers, IPv4', 4, 'a', ADDRESSES.b[4], 1],
    ['an upload between containers, IPv6', 6, 'a', ADDRESSES.b[6], 0],
    ['a download between containers, IPv6', 6, 'a', ADDRESSES.b[6], 1],
    ['a download from outside', 4, 'out', ADDRESSES.b[4], 1],
    ['a download from outside by a floating address', 4, 'out', FLOATING, 1],
  ];
  for (const [what, family, from, target, sender] of ROWS) {
    test(`${what} is cut within a second and stays so; what is allowed loses no byte`, async (context) => {
      const denied = await open(from, 'b', target, DENIED);
      const allowed = await open(from, 'b', target, ALLOWED);
      const foreign = await open('out', 'host', ADDRESSES.host[family], DENIED);
      for (const stream of streams) await stream.send(sender);
      const before = [allowed, foreign].map((stream) => entryOf(family, stream)?.id);
      assert.ok(before.every((id) => id !== undefined) && entryOf(family, denied) !== undefined);

      deny();
      void denied.send(sender); // something is always on its way
      const took = await meanwhile(allowed, () => lines.length > 0);
      assert.ok(took < CUT_MS, `${took} ms`);
      context.diagnostic(`cut after ${took.toFixed(1)} ms`);

      const arrived = [...denied.received];
      const start = performance.now();
      await meanwhile(allowed, () => {
        void denied.send(sender);
        return performance.now() - start > WATCHED_MS;
      });
      assert.deepEqual(denied.received, arrived, 'bytes still arrive');
      await foreign.send(0);
      assert.deepEqual(
        [allowed, foreign].map((stream) => entryOf(family, stream)?.id),
        before,
      );
      const [line] = lines;
      assert.deepEqual([line?.data?.['cut'], line?.data?.['rules']], [1, { 'policy deny-5001 ingress rule 0': 1 }]);
    });
  }

  test('a new connection with the ports of one that was cut is asked about like any other', async () => {
    const denied = await open('a', 'b', ADDRESSES.b[4], DENIED);
    await denied.send(1);
    deny();
    await until(() => lines.length > 0);
    const port = denied.localPort;
    denied.close();
    // The answering side opens one itself, with addresses and ports that are remembered: allowed.
    const listener = inPlace('a', () => listenTcp(parsed(ADDRESSES.a[4]), port, 1));
    const fd = inPlace('b', () => {
      const own = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      bind(own, encodeSocketAddress({ address: parsed(ADDRESSES.b[4]), port: DENIED, scope: 0 }));
      return own;
    });
    const back = new Socket({ fd });
    try {
      back.on('error', () => undefined).connect({ host: ADDRESSES.a[4], port });
      const accepted = await acceptFrom(listener);
      assert.equal(formatIp(accepted.peerAddress), ADDRESSES.b[4]);
      closeSync(accepted.fd);
    } finally {
      closeSync(listener);
      back.destroy();
    }
  });

  for (const family of [4, 6] as const) {
    test(`UDP over IPv${family}`, async () => {
      const open = (place: Place, port: number): number =>
        inPlace(place, () => {
          const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
          bind(fd, encodeSocketAddress({ address: parsed(ADDRESSES[place][family]), port, scope: 0 }));
          return fd;
        });
      const servers = [DENIED, ALLOWED].map((port) => open('b', port));
      const client = open('a', 4000);
      const send = (port: number): void =>
        sendTo(client, Uint8Array.of(1), encodeSocketAddress({ address: parsed(ADDRESSES.b[family]), port, scope: 0 }));
      const arrives = (server: number | undefined): boolean => {
        try {
          return receiveFrom(server ?? -1, new Uint8Array(8), new Uint8Array(SOCKET_ADDRESS_LENGTH)) > 0;
        } catch (error) {
          if (error instanceof KernelError && error.code === 'EAGAIN') return false;
          throw error;
        }
      };
      const both = async (): Promise<void> => {
        for (const [index, port] of [DENIED, ALLOWED].entries()) {
          send(port);
          await until(() => arrives(servers[index]));
        }
      };
      try {
        await both();
        deny();
        await until(() => lines.length > 0);
        // What is sent first would be there first.
        send(DENIED);
        send(ALLOWED);
        await until(() => arrives(servers[1]));
        assert.equal(arrives(servers[0]), false);
        const ports = entriesOf(conntrack, family).flatMap(({ original }) =>
          original.protocol === 17 && original.sourcePort === 4000 ? [original.destinationPort] : [],
        );
        assert.deepEqual(ports, [ALLOWED]);
      } finally {
        for (const fd of [client, ...servers]) closeSync(fd);
      }
    });
  }

  test('only connections of the devices that changed are judged, and none when the operator says so', async () => {
    const denied = await open('out', 'b', ADDRESSES.b[4], DENIED);
    await denied.send(0);
    program = programOf([denial('tcp')]);
    cutter.policyChanged(new Set(['cali-a']));
    for (let turn = 0; turn < 100; turn++) await denied.send(0);
    enabled = false;
    cutter.policyChanged('all');
    for (let turn = 0; turn < 100; turn++) await denied.send(0);
    assert.ok(entryOf(4, denied) !== undefined);
    assert.deepEqual(lines, []);
    enabled = true;
    cutter.policyChanged('all');
    await until(() => lines.length > 0);
    assert.equal(cutCount(), 1);
  });

  test('among 100,000 entries the event loop is not held for long', async (context) => {
    fillTable(100_000);
    const denied = await open('a', 'b', ADDRESSES.b[4], DENIED);
    deny();
    // Of the processor's time, since others may have the processor, too.
    const gaps: number[] = [];
    let last = process.threadCpuUsage();
    await until(() => {
      const { user, system } = process.threadCpuUsage(last);
      gaps.push((user + system) / 1000);
      last = process.threadCpuUsage();
      return lines.length > 0;
    });
    gaps.sort((a, b) => b - a);
    assert.equal(lines[0]?.data?.['cut'], 1);
    assert.ok(Number(lines[0]?.data?.['judged']) >= 100_000);
    assert.equal(entryOf(4, denied), undefined);
    context.diagnostic(`${lines[0]?.data?.['milliseconds']} ms, longest slices ${gaps.slice(0, 3).map(Math.round)} ms`);
    assert.ok((gaps[Math.floor(gaps.length / 20)] ?? 0) < 10, `${gaps.slice(0, 20)}`);
  });
});

/** Entries of connections that no container takes part in: datagrams to as many ports. */
function fillTable(count: number): void {
  const address = parsed(ADDRESSES.host[4]);
  for (let sent = 0; sent < count; ) {
    const fd = inPlace('out', () => socket(AF_INET, SOCK_DGRAM, 0));
    for (let port = 1; port <= 0xffff && sent < count; port++, sent++) {
      sendTo(fd, Uint8Array.of(1), encodeSocketAddress({ address, port, scope: 0 }));
    }
    closeSync(fd);
  }
}

function inside(name: string, command: string, ...rest: string[]): void {
  execFileSync('ip', ['netns', 'exec', PREFIX + name, command, ...rest], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function ip(name: string, words: string): void {
  execFileSync('ip', ['-n', PREFIX + name, ...words.split(' ')]);
}

function buildNetwork(): void {
  for (const name of ['host', 'a', 'b', 'out']) {
    addNamespace(PREFIX + name);
    // Link-local addresses are to be usable at once.
    inside(name, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_dad=0');
    ip(name, 'link set lo up');
  }
  inside('host', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  for (const name of ['a', 'b'] as const) {
    ip('host', `link add cali-${name} address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns ${PREFIX}${name}`);
    inside('host', 'sysctl', '-qw', `net.ipv4.conf.cali-${name}.proxy_arp=1`);
    connect(name, `cali-${name}`);
    for (const family of [4, 6] as const) ip('host', `route add ${ADDRESSES[name][family]} dev cali-${name}`);
    ip(name, 'neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent');
    ip(name, 'route add 169.254.1.1 dev eth0 scope link');
    ip(name, 'route add default via 169.254.1.1 dev eth0');
    ip(name, 'route add default via fe80::ecee:eeff:feee:eeee dev eth0');
  }
  ip('host', `link add eth-1 type veth peer name eth0 netns ${PREFIX}out`);
  connect('out', 'eth-1');
  ip('host', `addr add ${ADDRESSES.host[4]}/24 dev eth-1`);
  ip('host', `addr add ${ADDRESSES.host[6]}/64 dev eth-1 nodad`);
  ip('out', `route add default via ${ADDRESSES.host[4]}`);
  ip('out', `route add ${ADDRESSES.host[6]} dev eth0`);
  ip('out', `route add default via ${ADDRESSES.host[6]}`);
}

function connect(name: 'a' | 'b' | 'out', device: string): void {
  ip('host', `link set ${device} up`);
  ip(name, 'link set eth0 up');
  ip(name, `addr add ${ADDRESSES[name][4]}/${name === 'out' ? 24 : 32} dev eth0`);
  ip(name, `addr add ${ADDRESSES[name][6]}/128 dev eth0 nodad`);
  if (name === 'out') ip('host', `route add ${ADDRESSES.out[6]}/128 dev eth-1`);
}
