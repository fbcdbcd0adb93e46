/**
 * What a packet meets in a packet filter program: the program read as the kernel reads it.
 *
 *   from outside ─► PREROUTING (raw, mangle, nat) ─ routing ─┬► INPUT
 *                                                            └► FORWARD ─┐
 *   from the host ─► OUTPUT (raw, mangle, nat, filter) ──────────────────┴► POSTROUTING (mangle, nat)
 *
 * Marks stay with the packet from hook to hook; `drop` and `reject` end its way, `accept` and the end of a kernel chain only the
 * table at this hook. nat is asked for packets that begin a connection. Where it has changed the destination, routing is asked
 * again. What others have in the kernel is not known here.
 * Used to find connections that policy no longer allows, to explain a verdict, and to compare the program with what policy means.
 */
import { assert, unreachable } from '../../../lib/assert.ts';
import type { Ip } from '../../../net/ip.ts';
import type { FilterWorld, PacketState } from './match.ts';
import { matchHolds, SetReader } from './match.ts';
import type { Action, Chain, ChainKey, ConntrackState, FilterProgram, HookName, Rule, TableName } from './program.ts';
import { chainKey } from './program.ts';

/** Both addresses are of one family, which is the packet's. Ports are those of TCP, UDP and SCTP. */
export interface Packet {
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** "new" where it is not said. */
  readonly state?: ConntrackState;
  /** How many of the rules that take turns pass it on before one keeps it; none where it is not said. */
  readonly turn?: number;
  /** The device that it comes in by; undefined: the host itself sends it. */
  readonly inDevice: string | undefined;
  /** The device that it goes out by, as far as its first destination goes; undefined: it is for the host itself. */
  readonly outDevice: string | undefined;
}

/** A rule that a packet met. Rules for the end of the kernel chain are counted on behind those of their chain. */
export interface Step {
  readonly chain: ChainKey;
  readonly index: number;
  readonly rule: Rule;
}

export interface Outcome {
  readonly verdict: 'accept' | 'drop' | 'reject';
  /** The rule that dropped or rejected it; undefined, too, where no route leads on. */
  readonly by: Rule | undefined;
  /** The rules that matched, in order; empty unless asked for. */
  readonly trace: readonly Step[];
  /** After translation. A masqueraded source is still the old one. */
  readonly source: Ip;
  readonly destination: Ip;
  readonly masqueraded: boolean;
  /** Prefixes of what was logged on the way. */
  readonly logs: readonly string[];
}

/** Asks one program many times; it must not change between the questions. */
export type Evaluation = (packet: Packet) => Outcome;

const TABLES: readonly TableName[] = ['raw', 'mangle', 'nat', 'filter'];

/** Far more than a packet's way through any program that a kernel takes: chains jump in a circle. */
const JUMPS_MAX = 1_000_000;

/** Ready to be asked about packets, as long as the program and the world stay as they are. With `traced`, each outcome tells its way. */
export function evaluationOf(program: FilterProgram, world: FilterWorld, traced = false): Evaluation {
  const hooks = hooksOf(program);
  const sets = new SetReader(program);
  const context: Context = { program, world, traced, hooks, sets, targets: new Map() };
  return (packet) => new Walk(context, packet).outcome();
}

/** The kernel's chains by hook, in the order of their tables. */
type Hooks = ReadonlyMap<HookName, readonly Chain[]>;

interface Context {
  readonly program: FilterProgram;
  readonly world: FilterWorld;
  readonly traced: boolean;
  readonly hooks: Hooks;
  readonly sets: SetReader;
  /** Chains that jumps have led to, found by their action rather than by name. */
  readonly targets: Map<Action, Chain>;
}

function hooksOf({ chains }: FilterProgram): Hooks {
  const hooks = new Map<HookName, Chain[]>();
  for (const chain of chains.values()) {
    if (chain.hook === undefined) continue;
    const beside = hooks.get(chain.hook);
    // What is for the end of the kernel chain comes right behind, for nobody else's rules are known here.
    const whole = { ...chain, rules: [...chain.rules, ...(chain.hookRules ?? [])] };
    if (beside === undefined) hooks.set(chain.hook, [whole]);
    else beside.push(whole);
  }
  for (const list of hooks.values()) list.sort((a, b) => TABLES.indexOf(a.table) - TABLES.indexOf(b.table));
  return hooks;
}

/** Where to go on after a jump. */
interface Frame {
  readonly chain: Chain;
  readonly index: number;
}

/** What a rule's action does to the walk through its chain. */
type Next = 'next rule' | 'return' | 'end of table' | 'dropped' | { readonly jump: Chain; readonly comeBack: boolean };

class Walk {
  readonly #context: Context;
  readonly #first: Packet;
  readonly #state: PacketState;
  readonly #trace: Step[] = [];
  readonly #logs: string[] = [];
  #verdict: Outcome['verdict'] = 'accept';
  #by: Rule | undefined;
  #masqueraded = false;

  constructor(context: Context, packet: Packet) {
    this.#context = context;
    this.#first = packet;
    const {
      protocol,
      source,
      destination,
      sourcePort,
      destinationPort,
      icmpType,
      icmpCode,
      state = 'new',
      turn = 0,
    } = packet;
    this.#state = {
      family: source.family,
      protocol,
      source,
      destination,
      sourcePort,
      destinationPort,
      icmpType,
      icmpCode,
      conntrack: state,
      mark: 0,
      turnsLeft: turn,
      translated: false,
      inDevice: undefined,
      outDevice: undefined,
    };
  }

  outcome(): Outcome {
    this.#travel();
    const { source, destination } = this.#state;
    const verdict = this.#verdict;
    const masqueraded = this.#masqueraded;
    return { verdict, by: this.#by, trace: this.#trace, source, destination, masqueraded, logs: this.#logs };
  }

  #travel(): void {
    const { inDevice, outDevice } = this.#first;
    if (inDevice === undefined) {
      if (!this.#passes('OUTPUT', undefined, outDevice)) return;
      const way = this.#wayOn();
      if (way !== undefined) this.#passes('POSTROUTING', undefined, way === 'host' ? outDevice : way.device);
      return;
    }
    if (!this.#passes('PREROUTING', inDevice, undefined)) return;
    const way = this.#wayOn();
    if (way === 'host') this.#passes('INPUT', inDevice, undefined);
    else if (way !== undefined && this.#passes('FORWARD', inDevice, way.device)) {
      this.#passes('POSTROUTING', undefined, way.device);
    }
  }

  /** Where routing sends it: as it was asked, unless its destination was translated. Undefined, and dropped, where no route is. */
  #wayOn(): 'host' | { readonly device: string } | undefined {
    const { translated, destination } = this.#state;
    let device = this.#first.outDevice;
    if (translated) {
      if (this.#context.world.isLocal(destination, undefined)) return 'host';
      device = this.#context.world.deviceOf(destination);
      if (device === undefined) {
        this.#verdict = 'drop';
        return undefined;
      }
    }
    return device === undefined ? 'host' : { device };
  }

  /** Whether the packet is still there after all tables at the hook. */
  #passes(hook: HookName, inDevice: string | undefined, outDevice: string | undefined): boolean {
    this.#state.inDevice = inDevice;
    this.#state.outDevice = outDevice;
    for (const chain of this.#context.hooks.get(hook) ?? []) {
      const begins = this.#state.conntrack === 'new' || this.#state.conntrack === 'related';
      if (chain.table === 'nat' && !begins) continue;
      if (!this.#passesTable(chain)) return false;
    }
    return true;
  }

  #passesTable(base: Chain): boolean {
    const frames: Frame[] = [];
    let chain = base;
    let index = 0;
    let jumps = 0;
    for (;;) {
      const rule = chain.rules[index];
      let next: Next = rule === undefined ? 'return' : 'next rule';
      if (rule !== undefined && this.#matches(rule)) {
        if (this.#context.traced) this.#trace.push({ chain: chainKey(chain), index, rule });
        next = this.#perform(rule.action, chain.table);
        if (next === 'dropped') this.#by = rule;
      }
      if (next === 'dropped') return false;
      if (next === 'end of table') return true;
      if (next === 'next rule') index += 1;
      else if (next === 'return') {
        const frame = frames.pop();
        if (frame === undefined) return true;
        ({ chain, index } = frame);
      } else {
        if (next.comeBack) frames.push({ chain, index: index + 1 });
        jumps += 1;
        assert(jumps <= JUMPS_MAX, `chains jump in a circle at ${chainKey(chain)}`);
        chain = next.jump;
        index = 0;
      }
    }
  }

  #matches(rule: Rule): boolean {
    const { sets, world } = this.#context;
    for (const match of rule.matches) if (!matchHolds(match, this.#state, sets, world)) return false;
    return true;
  }

  #perform(action: Action, table: TableName): Next {
    switch (action.kind) {
      case 'accept':
        return 'end of table';
      case 'drop':
      case 'reject':
        this.#verdict = action.kind;
        return 'dropped';
      case 'return':
        return 'return';
      case 'jump':
      case 'goto':
        return { jump: this.#target(table, action), comeBack: action.kind === 'jump' };
      case 'dispatch': {
        const device = action.direction === 'in' ? this.#state.inDevice : this.#state.outDevice;
        const name = this.#context.program.maps.get(action.map)?.get(device ?? '');
        return name === undefined ? 'next rule' : { jump: this.#chain(table, name), comeBack: false };
      }
      case 'mark':
        this.#state.mark = (this.#state.mark & ~action.clear) | action.set;
        return 'next rule';
      case 'notrack':
        this.#state.conntrack = 'untracked';
        return 'next rule';
      case 'log':
      case 'nflog':
        this.#logs.push(action.prefix);
        return 'next rule';
      case 'dnat':
        this.#state.destination = action.to;
        this.#state.translated = true;
        return 'end of table';
      case 'snat':
        this.#state.source = action.to;
        return 'end of table';
      case 'masquerade':
        this.#masqueraded = true;
        return 'end of table';
      default:
        return unreachable(action);
    }
  }

  #target(table: TableName, action: Extract<Action, { readonly kind: 'jump' | 'goto' }>): Chain {
    const known = this.#context.targets.get(action);
    // One action may stand in chains of several tables.
    if (known?.table === table) return known;
    const chain = this.#chain(table, action.chain);
    this.#context.targets.set(action, chain);
    return chain;
  }

  #chain(table: TableName, name: string): Chain {
    const chain = this.#context.program.chains.get(`${table} ${name}`);
    assert(chain !== undefined, `a rule names the chain ${table} ${name}, which is not there`);
    return chain;
  }
}
