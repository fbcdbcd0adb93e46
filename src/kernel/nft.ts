/**
 * Running nftables' commands in one network namespace.
 *
 * The backend takes nft's text and gives nft's JSON, since that interface is kept stable while the netlink one below it is
 * not ours to know. libnftables runs it inside the process (a small change takes well under a millisecond); where that
 * library is missing, each run starts the `nft` program with the same text. Listings are left to the program if it is there:
 * they are rare and take much memory, and the library ends its process over rules that it cannot read, which anybody may
 * have made. A script is one transaction: it takes effect as a whole or not at all.
 *
 * Invariant: each call leaves the calling thread in its own namespace. What is wrong with a script is a
 * KernelError that carries nft's words; a missing library, program or kernel option is one that names it.
 */
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { release } from 'node:os';
import { assert } from '../lib/assert.ts';
import { KernelError } from './kernel.ts';
import type { NftEngine, NftMode } from './libnftables.ts';
import { loadLibnftables } from './libnftables.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket } from './system-calls.ts';

export interface Nft {
  /** Runs commands as one transaction; no commands are no error. Throws KernelError when nft or the kernel refuses. */
  run(script: string): void;
  /** Whether nft and the kernel would take the commands; nothing is changed. Throws KernelError when they would not. */
  check(script: string): void;
  /**
   * The parsed JSON of `nft -j list table …`; `table` is family and name, "inet muslin". Undefined: no such table. Counters
   * are left out unless asked for. Throws KernelError, with the code EPROTO where nft itself cannot read what is there.
   */
  listTable(table: string, counters?: 'counters'): unknown;
  /** The chains of all tables, without their rules. */
  listChains(): unknown;
  /** As `listTable`, of one chain, with its counters. Undefined: no such table or chain. */
  listChain(table: string, chain: string): unknown;
  close(): void;
}

/** nft in the namespace at `namespacePath`, or in the thread's own; by libnftables if it is there, else by the program. */
export function openNft(namespacePath?: string): Nft {
  const library = loadLibnftables();
  return open(namespacePath, () => {
    const context = library?.newContext();
    return context === undefined ? spawnedEngine() : listingApart(context);
  });
}

function listingApart(context: NftEngine): NftEngine {
  const program = spawnedEngine();
  let isThere = true;
  const list: NftEngine['run'] = (commands, mode) => {
    try {
      return program.run(commands, mode);
    } catch (error) {
      if (!(error instanceof KernelError && error.code === 'ENOENT')) throw error;
      isThere = false;
      return context.run(commands, mode);
    }
  };
  return {
    run: (commands, mode) => (isThere && isListing(mode) ? list(commands, mode) : context.run(commands, mode)),
    close: () => context.close(),
  };
}

function isListing(mode: NftMode): boolean {
  return mode === 'list' || mode === 'listCounters';
}

/** As `openNft`, but starts the `nft` program for each run. */
export function openSpawnedNft(namespacePath?: string): Nft {
  return open(namespacePath, spawnedEngine);
}

export type NftSupport = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Whether all that the packet filter is made of can be had here, found out by asking for it rather than by versions, which
 * distributions change. Nothing is changed, and nothing need be there.
 */
export function nftSupport(nft: Nft): NftSupport {
  try {
    nft.check(EVERYTHING_USED);
    return { ok: true };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return {
      ok: false,
      reason: `${error.message}; nft 1.0.1 and Linux 5.13 or newer are needed, this is Linux ${release()}`,
    };
  }
}

const CHECKED_TABLE = 'inet muslin-check';
/** One of each kind of chain, set, map, match and action. */
const EVERYTHING_USED = `add table ${CHECKED_TABLE}
add set ${CHECKED_TABLE} addresses { type ipv6_addr; }
add set ${CHECKED_TABLE} intervals { type ipv4_addr; flags interval; }
add set ${CHECKED_TABLE} ports { type ipv4_addr . inet_proto . inet_service; }
add map ${CHECKED_TABLE} dispatch { type ifname : verdict; }
add chain ${CHECKED_TABLE} plain/chain
add chain ${CHECKED_TABLE} raw { type filter hook prerouting priority -300; policy accept; }
add chain ${CHECKED_TABLE} forward { type filter hook forward priority 0; policy accept; }
add chain ${CHECKED_TABLE} dstnat { type nat hook prerouting priority -100; policy accept; }
add chain ${CHECKED_TABLE} srcnat { type nat hook postrouting priority 110; policy accept; }
add rule ${CHECKED_TABLE} raw fib saddr . mark . iif oif missing counter notrack comment "cali:check"
add rule ${CHECKED_TABLE} raw fib daddr type local meta mark & 0x1 == 0x1 meta mark set meta mark & 0xfffffffe | 0x2
add rule ${CHECKED_TABLE} forward iifname vmap @dispatch
add rule ${CHECKED_TABLE} forward ct state invalid,untracked ct state & (established | related) == 0 limit rate 1/second burst 5 packets log prefix "check" level notice
add rule ${CHECKED_TABLE} forward ip daddr @intervals log prefix "check" group 1 snaplen 80
add rule ${CHECKED_TABLE} forward ip daddr . meta l4proto . th dport @ports goto plain/chain
add rule ${CHECKED_TABLE} forward ip6 saddr != @addresses icmpv6 type . icmpv6 code { 1 . 4 } reject
add rule ${CHECKED_TABLE} dstnat ct status dnat dnat ip6 to fd00::1
add rule ${CHECKED_TABLE} dstnat numgen inc mod 2 0 dnat ip to 192.0.2.1
add rule ${CHECKED_TABLE} srcnat meta l4proto 6 masquerade to :1024-65535 fully-random
add rule ${CHECKED_TABLE} srcnat snat ip to 192.0.2.1
add element ${CHECKED_TABLE} dispatch { "check" : goto plain/chain }
add element ${CHECKED_TABLE} intervals { 192.0.2.0/24 }
add element ${CHECKED_TABLE} ports { 192.0.2.1 . 6 . 80 }
`;

/** For a listing of all tables. */
const NO_TABLE = 'all tables';
const NETLINK_NETFILTER = 12;
const KERNEL_NEEDS = 'the kernel needs CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET and CONFIG_NFT_CT (5.13 or newer)';

function open(namespacePath: string | undefined, makeEngine: () => NftEngine): Nft {
  // Held open, because the path may lead elsewhere later.
  const namespace = namespacePath === undefined ? undefined : openNamespace(namespacePath);
  const inside = <Result>(work: () => Result): Result =>
    namespace === undefined ? work() : inOpenNamespace(namespace, namespacePath ?? '', work);
  const close = () => {
    if (namespace !== undefined) closeSync(namespace);
  };
  try {
    const engine = inside(() => {
      assertNetfilter();
      return makeEngine();
    });
    const change = (script: string, mode: NftMode): void => {
      if (script === '') return;
      const result = inside(() => engine.run(script, mode));
      if (!result.ok) throw nftError(result.errors);
    };
    const list = (what: string, table: string, mode: NftMode): unknown => {
      assert(/^[a-z0-9]+ [A-Za-z][A-Za-z0-9_-]*$/.test(table), `not a family and a table name: ${table}`);
      const result = inside(() => engine.run(`list ${what}\n`, mode));
      return result.ok ? parseJson(result.output) : nothingThere(nftError(result.errors));
    };
    return {
      run: (script) => change(script, 'apply'),
      check: (script) => change(script, 'check'),
      listTable: (table, counters) => list(`table ${table}`, table, counters === undefined ? 'list' : 'listCounters'),
      listChains: () => list('chains', NO_TABLE, 'list'),
      listChain: (table, chain) => {
        assert(/^[A-Za-z][A-Za-z0-9/_.-]*$/.test(chain), `not a chain's name: ${chain}`);
        return list(`chain ${table} ${chain}`, table, 'listCounters');
      },
      close: () => {
        engine.close();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** libnftables ends the whole process when it cannot open its socket, so that is tried beforehand. */
function assertNetfilter(): void {
  try {
    closeSync(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new KernelError(error.code, `no netfilter netlink socket: ${error.message}; ${KERNEL_NEEDS}`);
  }
}

const SPAWN_TIMEOUT_MS = 30_000; // 100,000 rules take some seconds; beyond this it hangs
const SPAWN_OUTPUT_MAX = 1 << 28; // a listing of 100,000 rules is some 50 MB

const SPAWN_ARGUMENTS: Readonly<Record<NftMode, readonly string[]>> = {
  apply: ['-f', '-'],
  check: ['-c', '-f', '-'],
  list: ['-j', '-s'],
  listCounters: ['-j'],
};

function spawnedEngine(): NftEngine {
  return {
    run: (commands, mode) => {
      // With -j, nft opens /dev/stdin anew, which fails where that is a socket, as Node's pipes are.
      const result = spawnSync('nft', [...SPAWN_ARGUMENTS[mode], ...(isListing(mode) ? [commands] : [])], {
        input: isListing(mode) ? '' : commands,
        encoding: 'utf8',
        // Where nft lives is in no ordinary user's path; its messages are read by their English words.
        env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
        timeout: SPAWN_TIMEOUT_MS,
        maxBuffer: SPAWN_OUTPUT_MAX,
      });
      if (result.error !== undefined) throw spawnError(result.error);
      if (result.signal !== null) {
        throw new KernelError(
          'EPROTO',
          `nft was ended by ${result.signal}: ${result.stderr.trim().slice(0, MESSAGE_MAX)}`,
        );
      }
      return { ok: result.status === 0, output: result.stdout, errors: result.stderr };
    },
    close: () => undefined,
  };
}

function spawnError(error: Error): KernelError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
  if (code !== 'ENOENT') return new KernelError(code, `cannot run nft: ${error.message}`);
  return new KernelError(
    code,
    'neither libnftables.so.1 nor the nft program is there; install the package libnftables1 or nftables (1.0.1 or newer)',
  );
}

/** errno by the words of strerror(3), for those that the callers or the messages tell apart. */
const CODES: readonly (readonly [string, string])[] = [
  ['No such file or directory', 'ENOENT'],
  ['Operation not permitted', 'EPERM'],
  ['Operation not supported', 'EOPNOTSUPP'],
  ['Protocol not supported', 'EPROTONOSUPPORT'],
  ['Device or resource busy', 'EBUSY'],
  ['File exists', 'EEXIST'],
  ['Cannot allocate memory', 'ENOMEM'],
];
/** nft quotes the command that failed, which may be a line of thousands of elements. */
const MESSAGE_MAX = 500;

/** What nft said, as an error; EINVAL where it names no errno, as for a syntax error. */
function nftError(errors: string): KernelError {
  const code = CODES.find(([words]) => errors.includes(words))?.[1] ?? 'EINVAL';
  const hints: Readonly<Record<string, string>> = {
    EPERM: '; CAP_NET_ADMIN is needed',
    EOPNOTSUPP: `; ${KERNEL_NEEDS}`,
    EPROTONOSUPPORT: `; ${KERNEL_NEEDS}`,
  };
  return new KernelError(code, `nft: ${errors.trim().slice(0, MESSAGE_MAX)}${hints[code] ?? ''}`);
}

function nothingThere(error: KernelError): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KernelError('EPROTO', `nft printed something that is not JSON: ${text.slice(0, 100)}`);
  }
}
