import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CONNTRACK_STATUS, type ConntrackEntry } from '../../net/conntrack-entry.ts';
import { formatIp, ip } from '../../net/ip.ts';
import { guardScript, guardTableScript } from './connection-guard.ts';
import { type ChangedDevices, connectionsToCut } from './connections.ts';
import type { Packet } from './filter/evaluate.ts';
import type { Rule } from './filter/program.ts';

const A = '172.17.8.2';
const B = '172.17.8.3';
const HOST = '10.9.1.1';
const OUT = '10.9.1.2';
const FLOATING = '198.51.100.2';
const NOWHERE = '203.0.113.1';
const A6 = 'fd00:17::2';
const OUT6 = 'fd00:9::2';

const LOCAL = new Map([
  [A, 'cali-a'],
  [A6, 'cali-a'],
  [B, 'cali-b'],
]);
const WORLD = {
  isLocal: (address: { family: 4 | 6; bytes: Uint8Array }) => formatIp(address) === HOST,
  deviceOf: (address: { family: 4 | 6; bytes: Uint8Array }) =>
    formatIp(address) === NOWHERE ? undefined : (LOCAL.get(formatIp(address)) ?? 'eth0'),
};

interface Connection {
  readonly from: string;
  readonly to: string;
  /** Whom it really leads to, and by which port, where the destination was translated. */
  readonly translated?: string;
  readonly translatedPort?: number;
  /** What the other side sees, where the source was translated. */
  readonly seenAs?: string;
  readonly protocol?: number;
  readonly port?: number;
  readonly status?: number;
}

function entryOf(connection: Connection): ConntrackEntry {
  const { from, to, translated = to, seenAs = from, protocol = 6, port = 80, status = 8 } = connection;
  const { translatedPort = port } = connection;
  const icmp = protocol === 1 ? { type: 8, code: 0, id: 7 } : undefined;
  const ports = (source: number, destination: number) => ({
    protocol,
    sourcePort: icmp ? undefined : source,
    destinationPort: icmp ? undefined : destination,
    zone: undefined,
  });
  return {
    family: ip(from).family,
    original: { ...ports(1000, port), source: ip(from), destination: ip(to), icmp },
    reply: {
      ...ports(translatedPort, 1000),
      source: ip(translated),
      destination: ip(seenAs),
      icmp: icmp && { ...icmp, type: 0 },
    },
    status,
    zone: 0,
    mark: 0,
    id: 1,
  };
}

const RULE: Rule = { matches: [], action: { kind: 'drop' }, comment: '', provenance: undefined, origin: undefined };

/** What is asked of the program for a connection, as text; undefined where nothing is. */
function asked(connection: Connection, changed: ChangedDevices = 'all'): string | undefined {
  const packets: Packet[] = [];
  const evaluate = (packet: Packet) => {
    packets.push(packet);
    const { source, destination } = packet;
    return { verdict: 'drop', by: RULE, trace: [], source, destination, masqueraded: false, logs: [] } as const;
  };
  const cuts = connectionsToCut([entryOf(connection)], { evaluate, world: WORLD, local: LOCAL }, changed);
  assert.equal(cuts.length, packets.length);
  assert.ok(packets.every(({ state }) => state === 'new'));
  return packets.map((packet) => {
    const { source, destination, sourcePort, destinationPort, inDevice, outDevice, icmpType, icmpCode } = packet;
    const from = `${inDevice ?? 'host'} ${formatIp(source)}`;
    const to = `${outDevice ?? 'host'} ${formatIp(destination)}`;
    return `${from} → ${to} ${icmpType === undefined ? `${sourcePort} ${destinationPort}` : `${icmpType} ${icmpCode}`}`;
  })[0];
}

const ROWS: readonly (readonly [what: string, connection: Connection, asked: string | undefined])[] = [
  ['two containers', { from: A, to: B }, `cali-a ${A} → cali-b ${B} 1000 80`],
  ['a container and outside', { from: A, to: OUT }, `cali-a ${A} → eth0 ${OUT} 1000 80`],
  ['a masqueraded container', { from: A, to: OUT, seenAs: HOST }, `cali-a ${A} → eth0 ${OUT} 1000 80`],
  ['outside and a container', { from: OUT, to: A }, `eth0 ${OUT} → cali-a ${A} 1000 80`],
  ['IPv6', { from: OUT6, to: A6 }, `eth0 ${OUT6} → cali-a ${A6} 1000 80`],
  ['a floating address', { from: OUT, to: FLOATING, translated: A }, `eth0 ${OUT} → cali-a ${A} 1000 80`],
  [
    'a mapped port of the host',
    { from: OUT, to: HOST, port: 8080, translated: A, translatedPort: 80 },
    `eth0 ${OUT} → cali-a ${A} 1000 80`,
  ],
  [
    'a container’s own floating address',
    { from: A, to: FLOATING, translated: A, seenAs: FLOATING },
    `cali-a ${A} → cali-a ${A} 1000 80`,
  ],
  ['the host and a container', { from: HOST, to: A }, `host ${HOST} → cali-a ${A} 1000 80`],
  ['a container and the host', { from: A, to: HOST }, `cali-a ${A} → host ${HOST} 1000 80`],
  ['a ping', { from: A, to: OUT, protocol: 1 }, `cali-a ${A} → eth0 ${OUT} 8 0`],
  ['no container: forwarded', { from: OUT, to: OUT }, undefined],
  ['no container: of the host', { from: OUT, to: HOST }, undefined],
  ['where no route leads', { from: A, to: NOWHERE }, undefined],
  ['whence no route leads', { from: NOWHERE, to: A }, undefined],
  ['an announced one', { from: A, to: B, status: 8 | CONNTRACK_STATUS.expected }, undefined],
  ['one that is going', { from: A, to: B, status: CONNTRACK_STATUS.dying }, undefined],
];

describe('judged anew as its first packet', () => {
  for (const [what, connection, expected] of ROWS) {
    test(`a connection: ${what}`, () => assert.equal(asked(connection), expected));
  }
});

const CHANGED: readonly (readonly [changed: readonly string[], connection: Connection, judged: boolean])[] = [
  [['cali-a'], { from: A, to: B }, true],
  [['cali-b'], { from: A, to: B }, true],
  [['cali-c'], { from: A, to: B }, false],
  [['cali-b'], { from: A, to: OUT }, false],
  [['eth0'], { from: A, to: OUT }, false],
  [['cali-a'], { from: OUT, to: FLOATING, translated: A }, true],
  [[], { from: A, to: B }, false],
];
for (const [devices, { from, to, translated }, judged] of CHANGED) {
  const text = `${from} to ${translated ?? to} is ${judged ? '' : 'not '}judged after a change of ${devices.join() || 'none'}`;
  test(text, () => {
    const connection = translated === undefined ? { from, to } : { from, to, translated };
    assert.equal(asked(connection, new Set(devices)) !== undefined, judged);
  });
}

for (const [verdict, by, cut] of [
  ['drop', RULE, true],
  ['reject', RULE, true],
  ['accept', undefined, false],
  ['drop', undefined, false],
] as const) {
  test(`${verdict} ${by ? 'by a rule' : 'by none'}: ${cut ? 'cut' : 'left alone'}`, () => {
    const evaluate = ({ source, destination }: Packet) =>
      ({ verdict, by, trace: [], source, destination, masqueraded: false, logs: [] }) as const;
    const entry = entryOf({ from: A, to: B });
    const cuts = connectionsToCut([entry], { evaluate, world: WORLD, local: LOCAL }, 'all');
    assert.deepEqual(cuts, cut ? [{ entry, by: RULE }] : []);
  });
}

describe('the guard', () => {
  test('knows the answers of TCP connections, behind translation, by family', () => {
    const cut = [
      entryOf({ from: OUT, to: FLOATING, translated: A, seenAs: HOST }),
      entryOf({ from: OUT, to: B }),
      entryOf({ from: OUT6, to: A6 }),
      entryOf({ from: OUT, to: A, protocol: 17 }),
      entryOf({ from: OUT, to: A, protocol: 1 }),
    ];
    assert.deepEqual(guardScript(cut).split('\n'), [
      `add element inet muslin-cuts answers4 { ${A} . 80 . ${HOST} . 1000, ${B} . 80 . ${OUT} . 1000 }`,
      `add element inet muslin-cuts answers6 { ${A6} . 80 . ${OUT6} . 1000 }`,
      '',
    ]);
  });

  test('has nothing to say of UDP', () => {
    assert.equal(guardScript([entryOf({ from: A, to: B, protocol: 17 })]), '');
  });

  test('drops only what begins in the middle', () => {
    const rules = guardTableScript()
      .split('\n')
      .filter((line) => line.startsWith('add rule'));
    assert.equal(rules.length, 4);
    for (const rule of rules) assert.match(rule, /ct state new tcp flags & \(syn \| ack\) != syn .* drop$/);
  });
});
