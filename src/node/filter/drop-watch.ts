/**
 * Denied packets, as they are denied, for those who watch: who, to whom, and which rule of which file.
 *
 * Every rule that denies also logs the packet's head under a prefix of its own (filter/log-prefix.ts). The kernel is listened to only while
 * somebody watches; whatever number of them, there is one socket. A prefix is looked up among the rules that are in force now,
 * so a packet that an older rule has logged may stay without a name.
 */

import { logPrefix } from '../../felix/dataplane/filter/log-prefix.ts';
import type { FilterProgram, Rule } from '../../felix/dataplane/filter/program.ts';
import type { LoggedPacket, NflogSocket } from '../../kernel/nflog-socket.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { IfIndex } from '../../net/kernel-objects.ts';
import type { DropView } from '../control-api.ts';

export interface DropWatchOptions {
  readonly program: () => FilterProgram;
  readonly deviceName: (index: IfIndex) => string | undefined;
  /** "default/a1" for the address of a container, wherever in the network it is. */
  readonly workloadAt: (address: Ip) => string | undefined;
  /** Listens to the groups of the rules' logging. Throws KernelError. */
  readonly listen: (onPackets: (packets: readonly LoggedPacket[], lost: number) => void) => NflogSocket;
}

/** So many people look at one host at once; each costs a copy of every packet. */
const WATCHERS_MAX = 8;

export type DropListener = (drops: readonly DropView[], lost: number) => void;

export class DropWatch {
  readonly #options: DropWatchOptions;
  readonly #listeners = new Set<DropListener>();
  #socket: NflogSocket | undefined;
  /** Rules by prefix, as they were at the last look. */
  #rules: ReadonlyMap<string, Rule> = new Map();

  constructor(options: DropWatchOptions) {
    this.#options = options;
  }

  /** Calls back until the returned function is called; undefined when too many watch already. Throws KernelError. */
  watch(listener: DropListener): (() => void) | undefined {
    if (this.#listeners.size >= WATCHERS_MAX) return undefined;
    this.#socket ??= this.#options.listen((packets, lost) => this.#tell(packets, lost));
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  close(): void {
    this.#listeners.clear();
    this.#socket?.close();
    this.#socket = undefined;
    this.#rules = new Map();
  }

  #tell(packets: readonly LoggedPacket[], lost: number): void {
    if (packets.some(({ prefix }) => !this.#rules.has(prefix))) this.#rules = loggedRules(this.#options.program());
    const drops = packets.map((packet) => this.#viewOf(packet));
    for (const listener of this.#listeners) listener(drops, lost);
  }

  #viewOf({ prefix, inIndex, outIndex, timeMs, head }: LoggedPacket): DropView {
    const { deviceName, workloadAt } = this.#options;
    const rule = this.#rules.get(prefix);
    const end = (address: Ip | undefined) => (address === undefined ? undefined : workloadAt(address));
    return {
      time: timeMs === undefined ? undefined : new Date(timeMs).toISOString(),
      family: head?.family,
      protocol: head?.protocol,
      source: head && formatIp(head.source),
      sourcePort: head?.sourcePort,
      destination: head && formatIp(head.destination),
      destinationPort: head?.destinationPort,
      from: end(head?.source),
      to: end(head?.destination),
      inDevice: inIndex === undefined ? undefined : deviceName(inIndex),
      outDevice: outIndex === undefined ? undefined : deviceName(outIndex),
      rule: rule?.origin,
      origin: rule?.provenance?.origin,
      file: rule?.provenance?.source,
      prefix,
    };
  }
}

/** The rules that judge, by the prefix under which they deny: several that became of one resource's rule share it. */
function loggedRules(program: FilterProgram): Map<string, Rule> {
  const rules = new Map<string, Rule>();
  for (const chain of program.chains.values()) {
    for (const rule of chain.rules) if (rule.origin !== undefined) rules.set(logPrefix('deny', rule.origin), rule);
  }
  return rules;
}
