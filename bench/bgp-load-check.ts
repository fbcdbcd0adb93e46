/**
 * What the clients of the load generator have received, and whether all of it was right.
 *
 * Each client has one bit for each prefix; `held` counts the bits of prefixes that are not the client's own, over all
 * clients. Each UPDATE's attributes are compared, number by number, with what the owner of its prefixes sent and a
 * reflector must have made of it (RFC 4456). Nothing is allocated while routes come in: millions do, each second.
 */
import {
  CLIENT_ASN_PATH,
  communitiesOf,
  LOCAL_PREFERENCE,
  NEXT_HOP_IPV6_PREFIX,
  ownerOf,
  PREFIX_BASE,
  setOf,
  totalPrefixes,
  type Workload,
} from './bgp-load-workload.ts';

/** How often something was wrong, by what. */
export interface Faults {
  nextHop: number;
  originatorId: number;
  clusterList: number;
  asPath: number;
  localPreference: number;
  communities: number;
  unknownPrefix: number;
  /** A withdrawal of what the client did not have. */
  idleWithdrawal: number;
}

export interface CheckOptions {
  readonly workload: Workload;
  /** Address of client 0; the others follow. */
  readonly firstAddress: number;
  readonly clusterId: number;
  /** Clients that will ever be there. */
  readonly clients: number;
}

const NOTHING = -1;

export class Check {
  /** Prefixes of others, held by all clients together. */
  held = 0;
  receptions = 0;
  updates = 0;
  /** A client's own prefixes that came back to it. */
  echoes = 0;
  /** Prefixes that came though the client had them. */
  duplicates = 0;
  readonly faults: Faults = {
    nextHop: 0,
    originatorId: 0,
    clusterList: 0,
    asPath: 0,
    localPreference: 0,
    communities: 0,
    unknownPrefix: 0,
    idleWithdrawal: 0,
  };

  readonly #options: CheckOptions;
  readonly #total: number;
  readonly #known: number;
  readonly #wordsEach: number;
  readonly #bits: Int32Array;

  // The attributes of the UPDATE at hand; NOTHING where absent.
  #nextHop = NOTHING;
  #nextHop6At = NOTHING;
  #originator = NOTHING;
  #cluster = NOTHING;
  #localPreference = NOTHING;
  #communityHigh = NOTHING;
  #communityLow = NOTHING;
  #pathIsRight = false;
  #reachAt = 0;
  #reachEnd = 0;
  #unreachAt = 0;
  #unreachEnd = 0;

  constructor(options: CheckOptions) {
    this.#options = options;
    this.#total = totalPrefixes(options.workload);
    this.#known = this.#total + options.workload.pings;
    this.#wordsEach = Math.ceil(this.#known / 32);
    this.#bits = new Int32Array(this.#wordsEach * options.clients);
  }

  /** Whether there was nothing wrong. */
  get isRight(): boolean {
    const { idleWithdrawal: _, ...faults } = this.faults;
    return Object.values(faults).every((count) => count === 0);
  }

  /** Takes the body of an UPDATE; false when it cannot be read. */
  update(client: number, bytes: Uint8Array, start: number, end: number): boolean {
    this.updates++;
    const withdrawnEnd = start + 2 + u16(bytes, start);
    if (withdrawnEnd + 2 > end) return false;
    const attributesAt = withdrawnEnd + 2;
    const attributesEnd = attributesAt + u16(bytes, withdrawnEnd);
    if (attributesEnd > end) return false;
    if (!this.#nlri(client, bytes, start + 2, withdrawnEnd, 4, true)) return false;
    if (!this.#attributes(bytes, attributesAt, attributesEnd)) return false;
    return (
      this.#nlri(client, bytes, attributesEnd, end, 4, false) &&
      this.#nlri(client, bytes, this.#reachAt, this.#reachEnd, 6, false) &&
      this.#nlri(client, bytes, this.#unreachAt, this.#unreachEnd, 6, true)
    );
  }

  #attributes(bytes: Uint8Array, start: number, end: number): boolean {
    this.#nextHop = this.#nextHop6At = this.#originator = this.#cluster = NOTHING;
    this.#localPreference = this.#communityHigh = this.#communityLow = NOTHING;
    this.#pathIsRight = false;
    this.#reachAt = this.#reachEnd = this.#unreachAt = this.#unreachEnd = 0;
    for (let at = start; at < end; ) {
      if (at + 4 > end && at + 3 !== end) return false;
      const isLong = ((bytes[at] ?? 0) & 0x10) !== 0;
      const type = bytes[at + 1] ?? 0;
      const length = isLong ? u16(bytes, at + 2) : (bytes[at + 2] ?? 0);
      const value = at + (isLong ? 4 : 3);
      at = value + length;
      if (at > end) return false;
      this.#attribute(bytes, type, value, length);
    }
    return true;
  }

  #attribute(bytes: Uint8Array, type: number, at: number, length: number): void {
    switch (type) {
      case 2:
        this.#pathIsRight =
          length === 10 &&
          u16(bytes, at) === 0x0202 &&
          u32(bytes, at + 2) === CLIENT_ASN_PATH[0] &&
          u32(bytes, at + 6) === CLIENT_ASN_PATH[1];
        break;
      case 3:
        this.#nextHop = u32(bytes, at);
        break;
      case 5:
        this.#localPreference = u32(bytes, at);
        break;
      case 8:
        if (length !== 8) break;
        this.#communityHigh = u32(bytes, at);
        this.#communityLow = u32(bytes, at + 4);
        break;
      case 9:
        this.#originator = u32(bytes, at);
        break;
      case 10:
        this.#cluster = u32(bytes, at);
        break;
      case 14:
        this.#nextHop6At = at + 4;
        this.#reachAt = at + 5 + (bytes[at + 3] ?? 0);
        this.#reachEnd = at + length;
        break;
      case 15:
        this.#unreachAt = at + 3;
        this.#unreachEnd = at + length;
        break;
      default:
    }
  }

  #nlri(client: number, bytes: Uint8Array, start: number, end: number, family: 4 | 6, withdrawn: boolean): boolean {
    const size = family === 4 ? 4 : 9;
    let checkedSet = NOTHING;
    for (let at = start; at < end; at += size) {
      if (at + size > end || bytes[at] !== (family === 4 ? 24 : 64)) return false;
      // An unknown first part of an IPv6 prefix makes a number that is unknown as well.
      const prefix = family === 4 ? (u32(bytes, at) & 0xffffff) - PREFIX_BASE : u32(bytes, at + 5);
      const isKnown = prefix >= 0 && prefix < this.#known && (family === 4 || u32(bytes, at + 1) === 0x2a000000);
      if (!isKnown) this.faults.unknownPrefix++;
      else if (withdrawn) this.#lost(client, prefix);
      else {
        const set = setOf(this.#options.workload, prefix);
        if (set !== checkedSet) this.#judge(bytes, client, prefix, set);
        checkedSet = set;
        this.#gained(client, prefix);
      }
    }
    return true;
  }

  /** The attributes at hand against those that the prefix's owner sent and a reflector passes on. */
  #judge(bytes: Uint8Array, client: number, prefix: number, set: number): void {
    const { workload, firstAddress, clusterId } = this.#options;
    const ownerNumber = ownerOf(workload, prefix);
    if (ownerNumber === client) return;
    const owner = firstAddress + ownerNumber;
    const [high, low] = communitiesOf(set);
    const { faults } = this;
    const nextHopIsRight = workload.family === 4 ? this.#nextHop === owner : this.#isNextHop6(bytes, owner);
    if (!nextHopIsRight) faults.nextHop++;
    if (this.#originator !== owner) faults.originatorId++;
    if (this.#cluster !== clusterId) faults.clusterList++;
    if (this.#localPreference !== LOCAL_PREFERENCE) faults.localPreference++;
    if (!this.#pathIsRight) faults.asPath++;
    if (this.#communityHigh !== high || this.#communityLow !== low) faults.communities++;
  }

  #isNextHop6(bytes: Uint8Array, owner: number): boolean {
    const at = this.#nextHop6At;
    if (at === NOTHING || u32(bytes, at + 12) !== owner) return false;
    for (let index = 0; index < 12; index++) if (bytes[at + index] !== NEXT_HOP_IPV6_PREFIX[index]) return false;
    return true;
  }

  #gained(client: number, prefix: number): void {
    this.receptions++;
    const word = client * this.#wordsEach + (prefix >>> 5);
    const bit = 1 << (prefix & 31);
    const before = this.#bits[word] ?? 0;
    const isOwn = ownerOf(this.#options.workload, prefix) === client;
    if (isOwn) this.echoes++;
    else if ((before & bit) !== 0) this.duplicates++;
    else this.held++;
    this.#bits[word] = before | bit;
  }

  #lost(client: number, prefix: number): void {
    const word = client * this.#wordsEach + (prefix >>> 5);
    const bit = 1 << (prefix & 31);
    const before = this.#bits[word] ?? 0;
    if ((before & bit) === 0) {
      this.faults.idleWithdrawal++;
      return;
    }
    this.#bits[word] = before & ~bit;
    if (ownerOf(this.#options.workload, prefix) !== client) this.held--;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}
