/**
 * Attribute sets: the attributes of a route together with who told us of them, each with a small number.
 *
 * A hundred thousand routes share a few hundred sets, so whatever depends only on attributes and source is worked out once
 * a set: the measures of the decision, whether it may be used, what policy says, and (in update-group.ts) the bytes to
 * send. A set belongs to one source, which makes split horizon a property of the set. Tables hold the number and a
 * reference; a set that nobody refers to is forgotten and its number used again. Equal attributes of one source are
 * one set, also over two sessions, so that a peer which restarts and says the same again causes nothing.
 */
import { AssertionFailed } from '../../lib/assert.ts';
import { byteAt, sameBytes } from '../../lib/bytes.ts';
import type { RouterId } from '../../net/asn.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { sameIp } from '../../net/ip.ts';
import type { AttributesVerdict, CompiledPolicy } from '../policy/policy.ts';
import { DEFAULT_LOCAL_PREFERENCE } from '../policy/policy-rules.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { encodeAttributes } from '../wire/attributes.ts';
import { LLGR_STALE } from '../wire/communities.ts';

/** Ourselves as a source. */
export const LOCAL_SLOT = 0;

/** Who told us: a peer under the terms of its configuration and session, or ourselves. Never changed once made. */
export interface Source {
  /** Equal for all sources of one peer; 0 for ourselves. */
  readonly slot: number;
  /** The peer's name, or "local". */
  readonly name: string;
  readonly address: Ip | undefined;
  /** The device of a link-local peer. */
  readonly device: string | undefined;
  readonly external: boolean;
  readonly routerId: RouterId | undefined;
  /** Our own end of the session. */
  readonly localAddress: Ip | undefined;
  readonly reflectorClient: boolean;
  readonly allowedOwnAsns: number;
  /** The AS number that the peer sees us in, where it is another than our own. */
  readonly localAsn: number | undefined;
}

export const LOCAL_SOURCE: Source = {
  slot: LOCAL_SLOT,
  name: 'local',
  address: undefined,
  device: undefined,
  external: false,
  routerId: undefined,
  localAddress: undefined,
  reflectorClient: false,
  allowedOwnAsns: 0,
  localAsn: undefined,
};

interface AttributeSetParts {
  readonly id: number;
  readonly family: Family;
  readonly source: Source;
  readonly attributes: PathAttributes;
  readonly device: string | undefined;
  readonly contents: Uint8Array;
  readonly hash: number;
}

export class AttributeSet {
  readonly id: number;
  readonly family: Family;
  readonly source: Source;
  readonly attributes: PathAttributes;
  /** The device that an own route points to. */
  readonly device: string | undefined;
  /** The attributes encoded, which tells equal ones. */
  readonly contents: Uint8Array;
  readonly hash: number;
  nextOfHash: AttributeSet | undefined;
  /** The object by which it is found at once: its own attributes, or equal ones that came later. */
  knownBy: PathAttributes;
  references = 0;
  isForgotten = false;
  /** Why routes with it may not be used, in words; undefined where they may. */
  unusable: string | undefined;
  /** Unusable because we are in its path already. */
  isLoop = false;
  /** What an import policy says of it; undefined as long as nobody has asked. */
  imported: { readonly policy: CompiledPolicy; readonly verdict: AttributesVerdict } | undefined;

  readonly localPreference: number;
  readonly asPathLength: number;
  readonly origin: number;
  readonly med: number;
  readonly neighbour: number;
  readonly clusterListLength: number;
  /** ORIGINATOR_ID stands in for the identifier of the peer (RFC 4456 section 9). */
  readonly originator: number;
  readonly isLongLivedStale: boolean;

  constructor({ id, family, source, attributes, device, contents, hash }: AttributeSetParts) {
    this.id = id;
    this.family = family;
    this.source = source;
    this.attributes = attributes;
    this.device = device;
    this.contents = contents;
    this.hash = hash;
    this.nextOfHash = undefined;
    this.knownBy = attributes;
    this.unusable = undefined;
    this.imported = undefined;
    this.localPreference = attributes.localPreference ?? DEFAULT_LOCAL_PREFERENCE;
    this.asPathLength = attributes.asPath.length;
    this.origin = attributes.origin;
    this.med = attributes.med ?? 0;
    this.neighbour = attributes.asPath[0] ?? 0;
    this.clusterListLength = attributes.clusterList.length;
    this.originator = attributes.originatorId ?? source.routerId ?? 0;
    this.isLongLivedStale = attributes.communities.includes(LLGR_STALE);
  }
}

export class AttributeSets {
  readonly #judge: (set: AttributeSet) => void;
  readonly #onForget: (id: number) => void;
  readonly #sets: (AttributeSet | undefined)[] = [];
  readonly #free: number[] = [];
  /** The way of nearly all look-ups: decoders give the same object for the same bytes. One entry for each set. */
  readonly #byObject = new Map<PathAttributes, AttributeSet>();
  /** By a hash of `contents`. */
  readonly #byHash = new Map<number, AttributeSet>();

  /** `judge` says of a set whether it may be used; `onForget` hears of numbers that will stand for another set. */
  constructor(judge: (set: AttributeSet) => void, onForget: (id: number) => void) {
    this.#judge = judge;
    this.#onForget = onForget;
  }

  get size(): number {
    return this.#sets.length - this.#free.length;
  }

  get(id: number): AttributeSet {
    const set = this.#sets[id];
    // On the path of every route: the text is made only where it is needed.
    if (set === undefined) throw new AssertionFailed(`attribute set ${id} is gone though a table refers to it`);
    return set;
  }

  /** The set of these attributes from this source. It lives until the last reference to it is released. */
  intern(family: Family, source: Source, attributes: PathAttributes, device?: string): AttributeSet {
    const recent = this.#byObject.get(attributes);
    if (recent?.source === source && recent.family === family && recent.device === device) return recent;
    const contents = encodeAttributes(attributes, { asnBytes: 4 });
    const hash = hashOf(contents, source.slot);
    let set = this.#byHash.get(hash);
    while (set !== undefined && !isSame(set, family, source, attributes, device, contents)) set = set.nextOfHash;
    if (set === undefined) return this.#make(family, source, attributes, device, contents, hash);
    // The decoder that made the other object is gone, or has forgotten it.
    this.#byObject.delete(set.knownBy);
    this.#byObject.set(attributes, set);
    set.knownBy = attributes;
    return set;
  }

  retain(set: AttributeSet): void {
    set.references += 1;
  }

  release(set: AttributeSet): void {
    set.references -= 1;
    if (set.references > 0 || set.isForgotten) return;
    set.isForgotten = true;
    if (this.#byObject.get(set.knownBy) === set) this.#byObject.delete(set.knownBy);
    this.#unchain(set);
    this.#sets[set.id] = undefined;
    this.#free.push(set.id);
    this.#onForget(set.id);
  }

  /** Who we are has changed: all are judged again. */
  judgeAll(): void {
    for (const set of this.#sets) if (set !== undefined) this.#judge(set);
  }

  #make(
    family: Family,
    source: Source,
    attributes: PathAttributes,
    device: string | undefined,
    contents: Uint8Array,
    hash: number,
  ): AttributeSet {
    const id = this.#free.pop() ?? this.#sets.length;
    const set = new AttributeSet({ id, family, source, attributes, device, contents, hash });
    this.#judge(set);
    this.#sets[id] = set;
    set.nextOfHash = this.#byHash.get(hash);
    this.#byHash.set(hash, set);
    this.#byObject.set(attributes, set);
    return set;
  }

  #unchain(set: AttributeSet): void {
    const first = this.#byHash.get(set.hash);
    if (first === set) {
      if (set.nextOfHash === undefined) this.#byHash.delete(set.hash);
      else this.#byHash.set(set.hash, set.nextOfHash);
      return;
    }
    let before = first;
    while (before !== undefined && before.nextOfHash !== set) before = before.nextOfHash;
    if (before !== undefined) before.nextOfHash = set.nextOfHash;
  }
}

/** FNV-1a. */
function hashOf(bytes: Uint8Array, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let index = 0; index < bytes.length; index++) hash = Math.imul(hash ^ byteAt(bytes, index), 0x01000193);
  return hash;
}

function isSame(
  set: AttributeSet,
  family: Family,
  source: Source,
  attributes: PathAttributes,
  device: string | undefined,
  contents: Uint8Array,
): boolean {
  return (
    set.family === family &&
    set.device === device &&
    set.source.slot === source.slot &&
    sameBytes(set.contents, contents) &&
    sameIp(set.attributes.nextHop, attributes.nextHop) &&
    sameIp(set.attributes.linkLocalNextHop, attributes.linkLocalNextHop) &&
    sameTerms(set.source, source)
  );
}

/** Whether two sources of one slot treat and pass on routes alike. */
export function sameTerms(a: Source, b: Source): boolean {
  return (
    a === b ||
    (a.external === b.external &&
      a.routerId === b.routerId &&
      a.device === b.device &&
      a.reflectorClient === b.reflectorClient &&
      a.allowedOwnAsns === b.allowedOwnAsns &&
      a.localAsn === b.localAsn &&
      sameIp(a.localAddress, b.localAddress))
  );
}
