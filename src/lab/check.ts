/**
 * Whether what a topology promises is so: pings between namespaces, routes and neighbours read from the kernel, BGP sessions as
 * the agents tell them.
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
import { AgentUnreachable, agentStatus } from '../node/control-client.ts';
import { fits, neighbourLine, routeLine } from './iproute-text.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, namespaceOf } from './names.ts';
import type { LabState } from './state.ts';
import { nodeAddress, type Topology } from './topology.ts';
import { counted } from './wording.ts';

export type Assertion =
  | { readonly kind: 'reach' | 'unreachable'; readonly from: string; readonly to: string; readonly address: string }
  | { readonly kind: 'sessions'; readonly on: string; readonly established: number }
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
    const pings = (kind: 'reach' | 'unreachable', from: string, to: string): Assertion[] =>
      sharedAddresses(topology, workloads, from, to).map((address) => ({ kind, from, to, address: formatIp(address) }));
    switch (check.kind) {
      case 'reach':
        return check.among.flatMap((from) =>
          check.among.filter((to) => to !== from).flatMap((to) => pings('reach', from, to)),
        );
      case 'unreachable':
        return pings('unreachable', check.from, check.to);
      default:
        return [check];
    }
  });
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
  switch (assertion.kind) {
    case 'reach':
      return `${assertion.from} reaches ${assertion.to} at ${assertion.address}`;
    case 'unreachable':
      return `${assertion.from} does not reach ${assertion.to} at ${assertion.address}`;
    case 'sessions':
      return `${assertion.on} has ${counted(assertion.established, 'BGP session')} established`;
    default:
      return `${assertion.on} shows ${assertion.kind} ${assertion.shows}`;
  }
}

/** A verdict for each assertion, in order. Throws LabError `failed` when there is no ping to ask with. */
export async function judge(lab: string, assertions: readonly Assertion[]): Promise<Verdict[]> {
  const verdicts = new Array<Verdict>(assertions.length);
  // Pings first, side by side: the neighbour entries that others assert come from traffic.
  const pings = [...assertions.entries()].filter(([, { kind }]) => kind === 'reach' || kind === 'unreachable');
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
    case 'unreachable': {
      const failure = await pingFailure(namespacePath(namespaceOf(lab, assertion.from)), assertion.address);
      return { assertion, pass: failure !== undefined, found: failure === undefined ? 'an answer' : '' };
    }
    case 'sessions':
      return judgeSessions(lab, assertion);
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

async function judgeSessions(lab: string, assertion: Extract<Assertion, { kind: 'sessions' }>): Promise<Verdict> {
  try {
    const { peers } = (await agentStatus(hostPlaces(lab, assertion.on).controlSocket)).bgp;
    const down = peers.filter(({ state }) => state !== 'Established');
    const found = [
      `${peers.length - down.length} established`,
      ...down.slice(0, FOUND_LINES_MAX).map(({ address, state }) => `${address} ${state}`),
    ].join(', ');
    const pass = peers.length - down.length === assertion.established;
    return { assertion, pass, found: pass ? '' : found };
  } catch (error) {
    if (!(error instanceof AgentUnreachable)) throw error;
    return { assertion, pass: false, found: error.message };
  }
}

function judgeShown(assertion: Extract<Assertion, { shows: string }>, kernel: Kernel): Verdict {
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
