/**
 * Whether what a topology promises is so: pings between namespaces, routes and neighbours read from the kernel.
 *
 * A topology's checks become assertions (one ping, one line that must be shown), each of which gets a verdict with
 * what was found instead. `lab up` waits until all pass; `lab check` asks once.
 */
import { spawn } from 'node:child_process';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { inNamespace, namespacePath } from '../kernel/network-namespace.ts';
import { unreachable } from '../lib/assert.ts';
import { formatIp, type Ip, parseIp } from '../net/ip.ts';
import { type IfIndex, ROUTE_TABLE } from '../net/kernel-objects.ts';
import { fits, neighbourLine, routeLine } from './iproute-text.ts';
import { LabError } from './lab-error.ts';
import { namespaceOf } from './names.ts';
import type { LabState } from './state.ts';
import { nodeAddress, type Topology } from './topology.ts';

export type Assertion =
  | { readonly kind: 'reach'; readonly from: string; readonly to: string; readonly address: string }
  | { readonly kind: 'route'; readonly on: string; readonly shows: string }
  | { readonly kind: 'neighbour'; readonly on: string; readonly shows: string };

export interface Verdict {
  readonly assertion: Assertion;
  readonly pass: boolean;
  /** What was found instead; "" when it passes. */
  readonly found: string;
}

/** A lab is on one machine: an answer that takes longer is lost. */
const PING_TIMEOUT_SECONDS = 1;
/** Enough to be quick, few enough not to crowd the machine with processes. */
const PINGS_AT_ONCE = 16;
/** ECMP and several metrics make a few lines; more would hide the rest of a message. */
const FOUND_LINES_MAX = 6;

/** All that the topology's checks assert, in their order. */
export function assertionsOf(topology: Topology, workloads: LabState['workloads']): Assertion[] {
  return topology.checks.flatMap((check): Assertion[] => {
    if (check.kind !== 'reach') return [check];
    return check.among.flatMap((from) =>
      check.among
        .filter((to) => to !== from)
        .flatMap((to) => sharedAddresses(topology, workloads, from, to).map((address) => reach(from, to, address))),
    );
  });
}

function reach(from: string, to: string, address: Ip): Assertion {
  return { kind: 'reach', from, to, address: formatIp(address) };
}

/** The addresses of `to` in families that `from` has as well. */
function sharedAddresses(topology: Topology, workloads: LabState['workloads'], from: string, to: string): Ip[] {
  const families = addressesOf(topology, workloads, from).map(({ family }) => family);
  return addressesOf(topology, workloads, to).filter(({ family }) => families.includes(family));
}

function addressesOf(topology: Topology, workloads: LabState['workloads'], entity: string): Ip[] {
  const workload = workloads[entity];
  if (workload !== undefined) return workload.addresses.flatMap((text) => parseIp(text) ?? []);
  const machine = [...topology.hosts, ...topology.routers].find(({ name }) => name === entity);
  if (machine === undefined) return [];
  return ([4, 6] as const).flatMap((family) => nodeAddress(machine, family)?.address ?? []);
}

/** "a1 reaches b1 at 172.17.9.2", "host-a shows route 172.17.9.0/24 via …". */
export function assertionText(assertion: Assertion): string {
  if (assertion.kind === 'reach') return `${assertion.from} reaches ${assertion.to} at ${assertion.address}`;
  return `${assertion.on} shows ${assertion.kind} ${assertion.shows}`;
}

/** A verdict for each assertion, in order. Throws LabError `failed` when there is no ping to ask with. */
export async function judge(lab: string, assertions: readonly Assertion[]): Promise<Verdict[]> {
  const verdicts = new Array<Verdict>(assertions.length);
  // Pings first, side by side: the neighbour entries that others assert come from traffic.
  const pings = [...assertions.entries()].filter(([, assertion]) => assertion.kind === 'reach');
  const work = pings[Symbol.iterator]();
  const ping = async () => {
    for (const [index, assertion] of work) verdicts[index] = await judgeOne(lab, assertion);
  };
  await Promise.all(Array.from({ length: PINGS_AT_ONCE }, ping));
  for (const [index, assertion] of assertions.entries()) verdicts[index] ??= await judgeOne(lab, assertion);
  return verdicts;
}

async function judgeOne(lab: string, assertion: Assertion): Promise<Verdict> {
  switch (assertion.kind) {
    case 'reach': {
      const failure = await pingFailure(namespacePath(namespaceOf(lab, assertion.from)), assertion.address);
      return { assertion, pass: failure === undefined, found: failure ?? '' };
    }
    case 'route':
    case 'neighbour':
      return withKernel(namespaceOf(lab, assertion.on), (kernel) => judgeShown(assertion, kernel));
    default:
      return unreachable(assertion);
  }
}

/** Lets `read` look at the kernel of a namespace. */
export function withKernel<Result>(namespace: string, read: (kernel: Kernel) => Result): Result {
  const kernel = openKernel(namespacePath(namespace));
  try {
    return read(kernel);
  } finally {
    kernel.close();
  }
}

function judgeShown(assertion: Exclude<Assertion, { kind: 'reach' }>, kernel: Kernel): Verdict {
  const names = new Map(kernel.links().map((link) => [link.index, link.name]));
  const deviceName = (index: IfIndex) => names.get(index) ?? `if${index}`;
  const lines =
    assertion.kind === 'route'
      ? kernel.routes(ROUTE_TABLE.main).map((route) => routeLine(route, deviceName))
      : kernel.neighbours().map((neighbour) => neighbourLine(neighbour, deviceName));
  const pass = lines.some((line) => fits(assertion.shows, line));
  return { assertion, pass, found: pass ? '' : foundInstead(assertion.shows, lines) };
}

/** Lines about the same destination are what the reader wants to see. */
function foundInstead(pattern: string, lines: readonly string[]): string {
  const [subject = ''] = pattern.trim().split(/\s+/);
  const near = lines.filter((line) => line.split(' ').includes(subject));
  return near.length === 0 ? `nothing about ${subject}` : near.slice(0, FOUND_LINES_MAX).join('; ');
}

/** One echo request from inside the namespace; undefined when it was answered, else why it was not. */
function pingFailure(path: string, address: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const timeout = String(PING_TIMEOUT_SECONDS);
    // iputils' arguments, which busybox's ping takes as well.
    const child = inNamespace(path, () =>
      spawn('ping', ['-c', '1', '-W', timeout, address], { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
    child.on('error', (error) =>
      reject(new LabError('failed', `cannot run ping (${error.message}); install Debian's package iputils-ping`)),
    );
    child.on('close', (code) => resolve(code === 0 ? undefined : pingReason(output)));
  });
}

/** The line with the kernel's or a router's complaint, if there is one. */
function pingReason(output: string): string {
  const complaint = output
    .split('\n')
    .find((line) => /unreachable|prohibited|filtered|Operation not|exceeded/i.test(line));
  return complaint?.trim() ?? `no answer within ${PING_TIMEOUT_SECONDS} s`;
}
