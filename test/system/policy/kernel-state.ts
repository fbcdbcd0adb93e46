/**
 * What is in the kernel of a host of a test, as the usual programs print it, in a form in which equal states are equal texts.
 *
 * Left out is what differs between equal states: counters, handles, and the order of things that have none. Rules keep their
 * order within a chain.
 */
import { execFileSync } from 'node:child_process';
import { namespacePath } from '../../../src/kernel/network-namespace.ts';
import type { TestDataplane } from './policy-world.ts';

/** By what it is a part of: "chain inet muslin cali-INPUT", "route", "sysctl". */
export type KernelState = ReadonlyMap<string, string>;

const SECTION = '=== ';
const SYSCTLS = ['ipv4/conf', 'ipv6/conf', 'ipv4/neigh', 'ipv6/neigh', 'ipv4/ip_forward']
  .map((name) => `/proc/sys/net/${name}`)
  .join(' ');
const IP = String.raw`printf 'link show\naddress show\nroute show table all\nneighbour show proxy\n' | ip -oneline -batch -`;

const RULES: Readonly<Record<TestDataplane, readonly string[]>> = {
  nftables: ['nft'],
  'iptables-nft': ['nft', 'iptables-nft-save', 'ip6tables-nft-save', 'ipset'],
  'iptables-legacy': ['nft', 'iptables-legacy-save', 'ip6tables-legacy-save', 'ipset'],
};

const COMMANDS: Readonly<Record<string, string>> = {
  // The tables of iptables-nft are printed by its own programs, in full.
  nft: 'nft -s list ruleset 2>/dev/null',
  'iptables-nft-save': 'iptables-nft-save 2>/dev/null',
  'ip6tables-nft-save': 'ip6tables-nft-save 2>/dev/null',
  'iptables-legacy-save': 'iptables-legacy-save',
  'ip6tables-legacy-save': 'ip6tables-legacy-save',
  // A table's size follows its members, the seed of its hashes is random.
  ipset: `ipset save | sed -E 's/ (hashsize|initval) [0-9a-fx]+//g'`,
};

/** What a device's other end makes of it; the kernel tells of that in its own time. */
const OPERATIONAL = /\bNO-CARRIER,|,LOWER_UP\b|\bstate (?:UP|DOWN|LOWERLAYERDOWN|UNKNOWN) | linkdown\b/g;

/** Runs a script of the shell in a namespace of a test; throws with what it printed where a command fails. */
export function inShell(namespace: string, script: string): string {
  return execFileSync('nsenter', [`--net=${namespacePath(namespace)}`, 'sh', '-ec', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 26,
  });
}

/** All of a host's packet filters that are in question, its devices, addresses, routes, proxies and settings. */
export function kernelState(namespace: string, dataplane: TestDataplane): KernelState {
  const commands = [
    ...RULES[dataplane].map((name) => [name, COMMANDS[name] as string] as const), // the names are its keys
    ['ip', IP] as const,
    ['sysctl', `grep -rs . ${SYSCTLS} || true`] as const,
  ];
  const script = commands.map(([name, command]) => `echo '${SECTION}${name}'; ${command}`).join('\n');
  const state = new Map<string, string>();
  for (const section of inShell(namespace, script).split(SECTION).slice(1)) {
    const end = section.indexOf('\n');
    const [name, text] = [section.slice(0, end), section.slice(end + 1)];
    const parts =
      name === 'nft' ? nftParts(text) : name.endsWith('-save') ? savedParts(name, text) : [[name, sorted(text)]];
    for (const [part, content] of parts as [string, string][]) state.set(part, content);
  }
  return state;
}

/** What differs between two states, a line each; none when they are equal. */
export function stateDifference(before: KernelState, now: KernelState): string[] {
  const parts = [...new Set([...before.keys(), ...now.keys()])];
  return parts.flatMap((part) => {
    const [was, is] = [before.get(part), now.get(part)];
    if (was === is) return [];
    if (was === undefined || is === undefined) return [`${part} ${was === undefined ? 'is new' : 'is gone'}`];
    const [wasLines, isLines] = [was.split('\n'), is.split('\n')];
    const lost = wasLines.filter((line) => !isLines.includes(line)).map((line) => `${part} - ${line.trim()}`);
    const come = isLines.filter((line) => !wasLines.includes(line)).map((line) => `${part} + ${line.trim()}`);
    return lost.length + come.length > 0 ? [...lost, ...come] : [`${part}: another order`];
  });
}

/** Each chain, set and map by itself; their order in the listing is that in which they were made. */
function nftParts(text: string): [string, string][] {
  return text.split(/^(?=table )/m).flatMap((table): [string, string][] => {
    const [, title = ''] = /^table (\S+ \S+) /.exec(table) ?? [];
    if (title === '' || isOfIptables(table)) return [];
    const [head = '', ...blocks] = table.split(/^\t(?=(?:chain|set|map) )/m);
    return [
      [`table ${title}`, head.replaceAll(/^\}\n/gm, '').trim()],
      ...blocks.map((block): [string, string] => {
        const [, kind = '', name = ''] = /^(\S+) (\S+)/.exec(block) ?? [];
        const body = block.replace(/\s*\}\s*(\}\s*)?$/, '');
        return [`${kind} ${title} ${name}`, kind === 'chain' ? body : elementsSorted(body)];
      }),
    ];
  });
}

/** Rules with expressions of iptables' own are printed by its programs, not by nft. */
function isOfIptables(table: string): boolean {
  return /^table ip6? (?:raw|mangle|nat|filter) /.test(table);
}

function elementsSorted(body: string): string {
  return body.replace(/elements = \{([\s\S]*)\}/, (_, elements: string) => {
    const each = elements.split(',').map((element) => element.trim());
    return `elements =\n${each.sort().join('\n')}`;
  });
}

/** Each chain by itself, with its policy. */
function savedParts(program: string, text: string): [string, string][] {
  const parts = new Map<string, string>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined) parts.set(`${program} ${table} ${chain}`, policy ?? '');
    const [, ruled] = /^-A (\S+)/.exec(line) ?? [];
    if (ruled === undefined) continue;
    const part = `${program} ${table} ${ruled}`;
    parts.set(part, `${parts.get(part)}\n${line}`);
  }
  return [...parts];
}

function sorted(text: string): string {
  return text.replaceAll(OPERATIONAL, '').split('\n').sort().join('\n');
}
