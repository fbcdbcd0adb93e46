/**
 * The sets of addresses and ports that rules ask for, and their members, as endpoints and networks come and go.
 *
 * A set is wanted by whoever has a rule with its selector; rules with equal selectors share it, since its id is made from
 * the selector's canonical text. An item that the selector chooses contributes its prefixes, or, to a set of a named
 * port, each of its addresses with each port of that name. A few sets are not chosen by labels: they are there always, and
 * told whole by `setFixed`. What changes is told in one go, net: what came and went since the last asking is not mentioned.
 *
 * Ids are Calico's own: the first 25 characters of "s:" and a SHA-224. So two texts do not meet, not even on purpose, and
 * a set has the same name on every host and in every version.
 */
import { assert } from '../../../lib/assert.ts';
import { sha224 } from '../../../lib/sha224.ts';
import type { Labels, Selector } from '../../../model/selector.ts';
import { printSelector } from '../../../model/selector.ts';
import type { SetChange, SetId } from '../../desired/policy.ts';
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, setId, VXLAN_HOSTS } from '../../desired/policy.ts';
import type { Labelled } from './label-index.ts';
import { LabelIndex } from './label-index.ts';
import { SetMembers } from './set-members.ts';

/** A port that an endpoint has a name for. */
export interface NamedPort {
  readonly name: string;
  /** Of the IP header. */
  readonly protocol: number;
  readonly port: number;
}

/** An endpoint of a container or host, or a network set. */
export interface SetItem extends Labelled {
  /** Canonical: "10.0.0.1" for one address, "10.0.0.0/8" for more. */
  readonly nets: readonly string[];
  readonly ports: readonly NamedPort[];
}

export type SetWish =
  | { readonly kind: 'selector'; readonly selector: Selector }
  | {
      readonly kind: 'namedPort';
      readonly selector: Selector;
      readonly name: string;
      readonly protocol: 'tcp' | 'udp' | 'sctp';
    };

/** What a set's id may have (desired/policy.ts): a kernel's 31 without the "cali40" before it. */
const ID_LENGTH = 25;

const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;

const FIXED_SETS: readonly SetId[] = [MASQUERADED_POOLS, ALL_POOLS, ALL_HOSTS, VXLAN_HOSTS];

interface IndexedSet {
  /** Undefined: a fixed set. */
  readonly wish: SetWish | undefined;
  /** What the id is made from. */
  readonly text: string;
  readonly members: SetMembers;
  /** How many want it. Nobody: it is dropped with the next telling. */
  wanted: number;
  isTold: boolean;
}

/** Equal for wishes of equal canonical text, and for no others. */
export function setIdOf(wish: SetWish): SetId {
  return idOf(wish.kind, textOf(wish));
}

export class SetIndex {
  readonly #sets = new Map<SetId, IndexedSet>();
  readonly #items = new Map<string, SetItem>();
  readonly #labels: LabelIndex;
  /** Sets that may have something to tell. */
  readonly #touched = new Set<SetId>();

  constructor() {
    this.#labels = new LabelIndex({
      started: (id, item) => this.#contribute(setId(id), this.#items.get(item), 'add'),
      stopped: (id, item) => this.#contribute(setId(id), this.#items.get(item), 'remove'),
    });
    for (const id of FIXED_SETS) {
      this.#sets.set(id, { wish: undefined, text: id, members: new SetMembers('nets'), wanted: 1, isTold: false });
      this.#touched.add(id);
    }
  }

  /** One more rule needs the set; the id is `setIdOf(wish)`. */
  want(wish: SetWish): SetId {
    const text = textOf(wish);
    const id = idOf(wish.kind, text);
    const known = this.#sets.get(id);
    assert(known === undefined || known.text === text, `"${known?.text}" and "${text}" are both the set ${id}`);
    if (known !== undefined) known.wanted += 1;
    else {
      const members = new SetMembers(wish.kind === 'selector' ? 'nets' : 'ports');
      this.#sets.set(id, { wish, text, members, wanted: 1, isTold: false });
      this.#touched.add(id);
      this.#labels.setSelector(id, wish.selector);
    }
    return id;
  }

  /** One rule less needs it; throws where none did. */
  release(id: SetId): void {
    const set = this.#sets.get(id);
    assert(set?.wish !== undefined && set.wanted > 0, `set ${id} is released, and nobody wants it`);
    set.wanted -= 1;
    if (set.wanted === 0) this.#touched.add(id);
  }

  /** All members of one of the sets that desired/policy.ts has a name for. */
  setFixed(id: SetId, members: ReadonlySet<string>): void {
    const set = this.#sets.get(id);
    assert(set !== undefined && set.wish === undefined, `${id} is no set of a fixed name`);
    this.#touched.add(id);
    for (const member of members) {
      checkCanonical(member);
      if (!set.members.has(member)) set.members.add(member);
    }
    for (const member of [...set.members.all()]) if (!members.has(member)) set.members.remove(member);
  }

  /** Adds or replaces what contributes to sets; undefined removes it. */
  setItem(id: string, item: SetItem | undefined): void {
    const before = this.#items.get(id);
    if (item !== undefined) {
      for (const net of item.nets) checkCanonical(net);
      // First what the item brings, where it already is; then the labels, which tell where it is from now on.
      if (before !== undefined && !sameContribution(before, item)) this.#replace(id, before, item);
      this.#items.set(id, item);
    }
    this.#labels.setItem(id, item);
    if (item === undefined) this.#items.delete(id);
  }

  /** The labels that items inherit which name this parent. */
  setParent(name: string, labels: Labels | undefined): void {
    this.#labels.setParent(name, labels);
  }

  /** What has changed since the last call: a set that is new with all its members, one that is gone as undefined. */
  takeChanges(): Map<SetId, SetChange | undefined> {
    const changes = new Map<SetId, SetChange | undefined>();
    for (const id of this.#touched) {
      const set = this.#sets.get(id);
      if (set === undefined) continue;
      if (set.wanted === 0) {
        this.#sets.delete(id);
        this.#labels.setSelector(id, undefined);
        if (set.isTold) changes.set(id, undefined);
        continue;
      }
      const change = set.members.takeChange();
      if (!set.isTold || change.added.length > 0 || change.removed.length > 0) changes.set(id, change);
      set.isTold = true;
    }
    this.#touched.clear();
    return changes;
  }

  #replace(id: string, before: SetItem, item: SetItem): void {
    for (const selector of this.#labels.matching(id)) {
      this.#contribute(setId(selector), item, 'add');
      this.#contribute(setId(selector), before, 'remove');
    }
  }

  #contribute(id: SetId, item: SetItem | undefined, change: 'add' | 'remove'): void {
    const set = this.#sets.get(id);
    if (set?.wish === undefined || item === undefined) return; // a set that is being dropped
    this.#touched.add(id);
    for (const member of contribution(set.wish, item)) set.members[change](member);
  }
}

/** What an item brings into a set that chooses it; the same member may come twice. */
function contribution(wish: SetWish, { nets, ports }: SetItem): readonly string[] {
  if (wish.kind === 'selector') return nets;
  const named = ports.filter(({ name, protocol }) => {
    return name === wish.name && protocol === PROTOCOL_NUMBERS[wish.protocol];
  });
  // Whoever has ports has addresses; a prefix has nobody in particular who could listen.
  const addresses = named.length === 0 ? [] : nets.filter((net) => !net.includes('/'));
  return named.flatMap(({ port }) => addresses.map((address) => `${address},${wish.protocol}:${port}`));
}

function sameContribution(a: SetItem, b: SetItem): boolean {
  const samePorts =
    a.ports.length === b.ports.length &&
    a.ports.every(({ name, protocol, port }, index) => {
      const other = b.ports[index];
      return name === other?.name && protocol === other.protocol && port === other.port;
    });
  return samePorts && a.nets.length === b.nets.length && a.nets.every((net, index) => net === b.nets[index]);
}

/** One address has one text, or a set would hold it twice. */
function checkCanonical(net: string): void {
  const isWhole = net.endsWith('/128') || (net.endsWith('/32') && !net.includes(':'));
  assert(!isWhole, `${net} is one address and is written without its length`);
}

function textOf(wish: SetWish): string {
  const text = printSelector(wish.selector);
  return wish.kind === 'selector' ? text : `${uniqueId('s', text)},${wish.protocol},${wish.name}`;
}

function idOf(kind: SetWish['kind'], text: string): SetId {
  return setId(uniqueId(kind === 'selector' ? 's' : 'n', text).slice(0, ID_LENGTH));
}

/** As Calico makes them (libcalico-go, hash.MakeUniqueID). */
function uniqueId(prefix: 's' | 'n', text: string): string {
  return `${prefix}:${sha224(`${prefix}:${text}`)}`;
}
