/**
 * A policy situation: resources as a user would write them, and who can reach whom then.
 *
 * What is expected is said in lines, of which a later one overrides an earlier one, over "everybody reaches everybody":
 *
 *   deny  * > web                            tcp, udp and icmp, all ports, both families
 *   allow api > web tcp/80                   from api's containers to web's, one port
 *   allow api,outside > web udp v4           several, all ports of a protocol, one family; icmp likewise
 *   deny  web as 10.0.0.9 > db udp/80        with a source that it chooses; "udp/68 from 67" chooses its port
 *   allow web > outside udp/80 seen as 10.99.0.1:4000-4100
 *   deny  web > db icmp/13.0                 a type and code, one way; ip/4 a protocol
 *   allow outside > 192.0.2.10 tcp/80        any address
 *
 * Names are workloads, hosts, "outside", or "label:app=web" for all workloads with that label; "*" is all workloads.
 * Every pair of workloads is probed, with tcp, udp and icmp, a few ports and both families, and whatever else a line names.
 * What containers and the outside can do by policy alone is asked of the naive evaluator, too: it must expect the same.
 */
import assert from 'node:assert/strict';
import { parseAllDocuments } from 'yaml';
import type { WorkloadEndpoint } from '../../../src/model/workload-endpoint.ts';
import type { Family, Ip } from '../../../src/net/ip.ts';
import { formatIp, ip, parseIp, sameIp } from '../../../src/net/ip.ts';
import { NaivePolicy } from '../../../src/node/filter/naive-policy.suite.ts';
import type { PolicyWorld, TestWorkload } from './policy-world.ts';
import type { Probe, ProbeProtocol, SeenAs } from './prober.ts';

export interface Situation {
  readonly name: string;
  /** YAML documents. */
  readonly resources: string;
  readonly expect: readonly string[];
  /** Ports to probe between all; 80 and 443 if absent. */
  readonly ports?: readonly number[];
  /** What is denied here is denied by what is no policy, of which the naive evaluator knows nothing. */
  readonly isBeyondNaive?: boolean;
}

const USUAL_PORTS: readonly number[] = [80, 443];
const USUAL_PROTOCOLS: readonly ProbeProtocol[] = ['tcp', 'udp', 'icmp'];
const NUMBERS: Partial<Readonly<Record<ProbeProtocol, number>>> = { tcp: 6, udp: 17 };
const ICMP_NUMBER: Readonly<Record<Family, number>> = { 4: 1, 6: 58 };
const ECHO_TYPE: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
/** Of these kinds the naive evaluator knows nothing, or not all. */
const BEYOND_NAIVE = /kind: (HostEndpoint|FelixConfiguration)|ipNATs|floatingIP/;

/** What a line says of packets, where it says it. */
interface Line {
  readonly allow: boolean;
  readonly from: ReadonlySet<string>;
  readonly to: ReadonlySet<string>;
  readonly source: Ip | undefined;
  readonly sourcePort: number | undefined;
  readonly protocol: ProbeProtocol | undefined;
  readonly port: number | undefined;
  readonly code: number | undefined;
  readonly family: Family | undefined;
  readonly seenAs: SeenAs | undefined;
}

interface Cell extends Probe {
  readonly name: string;
  readonly toName: string;
  readonly expected: boolean;
}

/** Puts the situation in force and probes all of it; fails with the cells that are wrong. */
export async function checkSituation(
  world: PolicyWorld,
  workloads: readonly TestWorkload[],
  situation: Situation,
): Promise<void> {
  await world.apply(documentsOf(situation.resources));
  const cells = cellsOf(world, workloads, situation);
  const got = await world.prober.run(
    cells,
    cells.map(({ expected }) => expected),
  );
  const wrong = cells.flatMap(({ name, expected }, index) =>
    got[index] === expected ? [] : [`${name}: ${expected ? 'should get through' : 'should not get through'}`],
  );
  assert.deepEqual(wrong.slice(0, 12), [], `${wrong.length} of ${cells.length} cells are wrong`);
  const isBeyond = situation.isBeyondNaive === true || BEYOND_NAIVE.test(situation.resources);
  const doubtful = isBeyond ? [] : naiveDoubts(world, workloads, cells);
  assert.deepEqual(doubtful.slice(0, 12), [], 'the naive evaluator expects something else');
}

export function documentsOf(yaml: string): object[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    assert.deepEqual(document.errors, []);
    const value: unknown = document.toJS();
    return typeof value === 'object' && value !== null ? [value] : [];
  });
}

function cellsOf(world: PolicyWorld, workloads: readonly TestWorkload[], situation: Situation): Cell[] {
  const lines = situation.expect.map((text) => parseLine(text, workloads));
  const names = workloads.map(({ name }) => name);
  const pairs = new Map<string, readonly [string, string]>();
  for (const from of names) for (const to of names) pairs.set(`${from} ${to}`, [from, to]);
  for (const line of lines) {
    if (isSpecial(line)) continue;
    for (const one of line.from) for (const other of line.to) pairs.set(`${one} ${other}`, [one, other]);
  }
  const usual = lines.filter((line) => !isSpecial(line));
  const ports = situation.ports ?? USUAL_PORTS;
  const unprobed = usual.find(
    ({ protocol, port }) => port !== undefined && protocol !== 'icmp' && !ports.includes(port),
  );
  assert.ok(unprobed === undefined, `port ${unprobed?.port} is expected something of, and is not among the ports`);
  const cells: Cell[] = [];
  for (const [from, to] of pairs.values()) {
    for (const address of reachable(world, from, to)) {
      for (const protocol of USUAL_PROTOCOLS) {
        for (const port of protocol === 'icmp' ? [0] : ports) {
          cells.push(usualCell(usual, { from, to: address, toName: to, protocol, port }));
        }
      }
    }
  }
  return [...cells, ...lines.filter(isSpecial).flatMap((line) => specialCells(world, line, ports))];
}

/** Lines about packets that are sent only because a line says so; no other line is about them. */
function isSpecial({ source, sourcePort, code, protocol, seenAs }: Line): boolean {
  return [source, sourcePort, code, seenAs].some((each) => each !== undefined) || protocol === 'ip';
}

function specialCells(world: PolicyWorld, line: Line, ports: readonly number[]): Cell[] {
  const protocols = line.protocol === undefined ? USUAL_PROTOCOLS : [line.protocol];
  const { source, sourcePort, code, seenAs, family } = line;
  return [...line.from].flatMap((from) =>
    [...line.to].flatMap((toName) =>
      reachable(world, from, toName)
        .filter((to) =>
          [family, source?.family, seenAs?.address.family].every((each) => (each ?? to.family) === to.family),
        )
        .flatMap((to) =>
          protocols.flatMap((protocol) =>
            (line.port !== undefined ? [line.port] : protocol === 'icmp' ? [0] : ports).map((port): Cell => {
              const cell = { from, to, toName, protocol, port, code, source, sourcePort, seenAs };
              return { ...cell, name: titleOf(cell), expected: line.allow };
            }),
          ),
        ),
    ),
  );
}

/** Addresses of `to` that `from` can send to; none of its own, for such packets never leave it. */
function reachable(world: PolicyWorld, from: string, to: string): Ip[] {
  if (from === to) return [];
  const families = world.addressesOf(from).map(({ family }) => family);
  const literal = parseIp(to);
  const addresses = literal === undefined ? world.addressesOf(to) : [literal];
  return addresses.filter(({ family }) => families.includes(family));
}

function usualCell(lines: readonly Line[], probe: Omit<Cell, 'name' | 'expected'>): Cell {
  const last = lines.findLast(
    (line) =>
      line.from.has(probe.from) &&
      line.to.has(probe.toName) &&
      (line.protocol ?? probe.protocol) === probe.protocol &&
      (line.port ?? probe.port) === probe.port &&
      (line.family ?? probe.to.family) === probe.to.family,
  );
  return { ...probe, name: titleOf(probe), expected: last?.allow ?? true };
}

function titleOf({
  from,
  toName,
  to,
  protocol,
  port,
  code,
  source,
  sourcePort,
  seenAs,
}: Omit<Cell, 'name' | 'expected'>): string {
  const as = source === undefined ? '' : ` as ${formatIp(source)}`;
  const what = protocol === 'icmp' ? '' : `/${port}${code === undefined ? '' : `.${code}`}`;
  const by = sourcePort === undefined ? '' : ` from ${sourcePort}`;
  const seen = seenAs === undefined ? '' : ` seen as ${formatIp(seenAs.address)}`;
  return `${from}${as} > ${toName} (${formatIp(to)}) ${protocol}${what}${by}${seen}`;
}

const LINE =
  /^(?<verb>allow|deny) +(?<from>\S+)(?: as (?<source>\S+))? > (?<to>\S+)(?: (?<protocol>tcp|udp|icmp|ip)(?:\/(?<port>\d+)(?:\.(?<code>\d+))?)?)?(?: from (?<sourcePort>\d+))?(?: v(?<family>[46]))?(?: seen as (?<seen>[^\s:]+|\[\S+\])(?::(?<first>\d+)-(?<last>\d+))?)?$/;

function parseLine(text: string, workloads: readonly TestWorkload[]): Line {
  const parts = LINE.exec(text)?.groups;
  assert.ok(parts !== undefined, `not an expectation: ${text}`);
  const { verb, from = '', to = '', source, protocol, family, seen, first, last } = parts;
  const number = (name: string) => (parts[name] === undefined ? undefined : Number(parts[name]));
  const ports = first === undefined ? undefined : ([Number(first), Number(last)] as const);
  return {
    allow: verb === 'allow',
    from: namesOf(from, workloads),
    to: namesOf(to, workloads),
    source: source === undefined ? undefined : ip(source),
    sourcePort: number('sourcePort'),
    protocol: parts['code'] === undefined ? (protocol as ProbeProtocol | undefined) : 'icmp-type', // by the pattern
    port: number('port'),
    code: number('code'),
    family: family === undefined ? undefined : (Number(family) as Family), // by the pattern
    seenAs: seen === undefined ? undefined : { address: ip(seen.replace(/[[\]]/g, '')), ports },
  };
}

function namesOf(text: string, workloads: readonly TestWorkload[]): Set<string> {
  return new Set(
    text.split(',').flatMap((word) => {
      if (word === '*') return workloads.map(({ name }) => name);
      const [, label, value] = /^label:([^=]+)=(.*)$/.exec(word) ?? [];
      if (label === undefined) return [word];
      const chosen = workloads.filter(({ labels }) => labels[label] === value).map(({ name }) => name);
      assert.ok(chosen.length > 0, `no workload has ${word}`);
      return chosen;
    }),
  );
}

/** Cells that the naive evaluator can judge, and judges otherwise. */
function naiveDoubts(world: PolicyWorld, workloads: readonly TestWorkload[], cells: readonly Cell[]): string[] {
  const naive = new NaivePolicy(world.resources);
  const endpoints = new Map(
    world.resources
      .filter((each): each is WorkloadEndpoint => each.kind === 'WorkloadEndpoint')
      .map((each) => [each.metadata.name, each]),
  );
  const places = new Set([...workloads.map(({ name }) => name), 'outside']);
  return cells.flatMap((cell) => {
    const { from, toName, to, protocol, port, source: chosen, sourcePort, code, seenAs, name, expected } = cell;
    if (!places.has(from) || (!places.has(toName) && parseIp(toName) === undefined)) return [];
    if (chosen !== undefined && from !== 'outside') return []; // forged
    if (seenAs !== undefined || (protocol === 'ip' && port === 4)) return [];
    const source = chosen ?? world.addressesOf(from).find(({ family }) => family === to.family)!;
    const isIcmp = protocol === 'icmp' || protocol === 'icmp-type';
    const flow = {
      ...{ source, destination: to },
      ...(isIcmp
        ? {
            protocol: ICMP_NUMBER[to.family],
            icmpType: protocol === 'icmp' ? ECHO_TYPE[to.family] : port,
            icmpCode: code ?? 0,
          }
        : { protocol: NUMBERS[protocol] ?? port, sourcePort: sourcePort ?? EPHEMERAL_PORT, destinationPort: port }),
    };
    const sender = endpoints.get(from);
    const receiver = [...endpoints.values()].find(({ spec }) =>
      spec.ipNetworks.some((net) => sameIp(ip(net.split('/')[0]!), to)),
    );
    const sends = sender === undefined ? { allowed: true, why: '' } : naive.judge(sender, 'egress', flow);
    const takes = receiver === undefined ? { allowed: true, why: '' } : naive.judge(receiver, 'ingress', flow);
    if ((sends.allowed && takes.allowed) === expected) return [];
    const [refusing = takes] = [sends, takes].filter(({ allowed }) => !allowed);
    return [`${name}: ${expected ? 'denied' : 'allowed'} by ${refusing.why}`];
  });
}

/** What a sender that chooses none is given; no rule of a situation is about it. */
const EPHEMERAL_PORT = 40_000;
