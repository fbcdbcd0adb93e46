/**
 * Running nftables' commands in one network namespace.
 *
 * The backend takes nft's text and gives nft's JSON, since that interface is kept stable while the netlink one below it is
 * not ours to know. libnftables runs it inside the process (a small change takes well under a millisecond); where that
 * library is missing, each run starts the `nft` program with the same text. A script is one transaction: it takes effect as
 * a whole or not at all.
 *
 * Invariant: `run` and `listTable` leave the calling thread in its own namespace. What is wrong with a script is a
 * KernelError that carries nft's words; a missing library, program or kernel option is one that names it.
 */
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { KernelError } from './kernel.ts';
import type { NftEngine } from './libnftables.ts';
import { loadLibnftables } from './libnftables.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket } from './system-calls.ts';

export interface Nft {
  /** Runs commands as one transaction; no commands are no error. Throws KernelError when nft or the kernel refuses. */
  run(script: string): void;
  /** The parsed JSON of `nft -j list table …`; `table` is family and name, "inet muslin". Undefined: no such table. */
  listTable(table: string): unknown;
  close(): void;
}

/** nft in the namespace at `namespacePath`, or in the thread's own; by libnftables if it is there, else by the program. */
export function openNft(namespacePath?: string): Nft {
  const library = loadLibnftables();
  return open(namespacePath, () => library?.newContext() ?? spawnedEngine());
}

/** As `openNft`, but starts the `nft` program for each run. */
export function openSpawnedNft(namespacePath?: string): Nft {
  return open(namespacePath, spawnedEngine);
}

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
    return {
      run: (script) => {
        if (script === '') return;
        const result = inside(() => engine.run(script, false));
        if (!result.ok) throw nftError(result.errors);
      },
      listTable: (table) => {
        assert(/^[a-z0-9]+ [A-Za-z][A-Za-z0-9_-]*$/.test(table), `not a family and a table name: ${table}`);
        const result = inside(() => engine.run(`list table ${table}\n`, true));
        return result.ok ? parseJson(result.output) : noTable(nftError(result.errors));
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

function spawnedEngine(): NftEngine {
  return {
    run: (commands, json) => {
      // With -j, nft opens /dev/stdin anew, which fails where that is a socket, as Node's pipes are.
      const result = spawnSync('nft', json ? ['-j', '-s', commands] : ['-f', '-'], {
        input: json ? '' : commands,
        encoding: 'utf8',
        // Where nft lives is in no ordinary user's path; its messages are read by their English words.
        env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
        timeout: SPAWN_TIMEOUT_MS,
        maxBuffer: SPAWN_OUTPUT_MAX,
      });
      if (result.error !== undefined) throw spawnError(result.error);
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

function noTable(error: KernelError): undefined {
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
