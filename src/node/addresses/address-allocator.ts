/**
 * IPAM over the store: read a snapshot, let ipam/ plan, transact, and again when somebody was faster.
 *
 * Races between hosts are decided by the store's compare-and-swap. A conflict means that another host got further, so
 * trying again at once is right; the bound is against a store that conflicts for ever. Calls of one agent wait for
 * each other instead, since they would all want the same block. A container is one transaction: the caller adds its own writes
 * (the WorkloadEndpoint) to those of IPAM, and all of it costs one fsync.
 *
 * Only what a decision needs is read: pools, reservations, the node's own claims and blocks. All blocks are listed when
 * the node needs a new one, or an address outside its own.
 */
import type { Assignment, AssignOutcome, BlockLimits } from '../../ipam/assign.ts';
import { blockLimitsOf, planAssign } from '../../ipam/assign.ts';
import { blockPrefix, ordinalsOf, SINCE_ATTRIBUTE } from '../../ipam/block.ts';
import { planClaim } from '../../ipam/claim.ts';
import { handleFailure, handleKey } from '../../ipam/handle.ts';
import { planReleaseAddress, planReleaseEmptyBlocks, planReleaseHandle } from '../../ipam/release.ts';
import type { FailureCode, Snapshot } from '../../ipam/snapshot.ts';
import { blockWith } from '../../ipam/snapshot.ts';
import { wallClockNow } from '../../lib/clock.ts';
import { DEFAULT_CONFIGURATION } from '../../model/configuration-name.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import type { IpamHandle } from '../../model/ipam-handle.ts';
import type { KindName } from '../../model/kinds.ts';
import { cidrName, kindPrefix, resourceKey } from '../../model/resource-key.ts';
import type { Labels } from '../../model/selector.ts';
import type { Cidr } from '../../net/cidr.ts';
import { addressIn, cidr, formatCidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, sameIp } from '../../net/ip.ts';
import type { Store, Transaction } from '../../store/store.ts';
import { EntryReader, type OfKind } from '../entry-reader.ts';

/** Calico's bound. Each lost attempt is another host's success, so a hundred in a row is not a race any more. */
const ATTEMPTS_MAX = 100;
/** More than a host can start at once; whoever comes then is told to come again. */
const WAITING_MAX = 1024;

const NOTHING: Transaction = { expect: [], writes: [] };

/** Why an address could not be had or given back; the message is for the user. A store's own errors pass as they are. */
export class AllocationError extends Error {
  override readonly name = 'AllocationError';
  /** `conflict`: the entries under the caller's own keys are not as it expected. `busy`: worth another try later. */
  readonly code: FailureCode | 'conflict' | 'busy' | 'unreadable';

  constructor(code: AllocationError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** What to write now, of ours and of the caller's, and what has come about when it is written. */
type Attempt<Result> = () => Promise<{
  readonly plan: Transaction;
  readonly also: Transaction;
  readonly result: Result;
}>;

export class AddressAllocator {
  readonly #store: Store;
  readonly #reader: EntryReader;
  readonly #now: () => number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** `now` is the wall clock in milliseconds, for what is written about holders; `reader` may be shared. */
  constructor(store: Store, options: { readonly now?: () => number; readonly reader?: EntryReader } = {}) {
    this.#store = store;
    this.#now = options.now ?? wallClockNow;
    this.#reader = options.reader ?? new EntryReader();
  }

  /**
   * Assigns an address of each family asked for, IPv4 first, and notes since when. `also` gives what is to be written in the same transaction;
   * it may be called several times, each time with the addresses of another attempt. Resolves when all is safe in the store;
   * `onTaken` gets the addresses before, as soon as nobody else can have them any more.
   */
  assign(
    assignment: Assignment,
    also: (addresses: readonly Ip[]) => Transaction = () => NOTHING,
    onTaken: (addresses: readonly Ip[]) => void = ignore,
  ): Promise<readonly Ip[]> {
    const attempt = async () => {
      const since = new Date(this.#now()).toISOString();
      const attributes = { ...assignment.attributes, [SINCE_ATTRIBUTE]: since };
      const { plan, addresses } = await this.#planAssignment({ ...assignment, attributes });
      return { plan, also: also(addresses), result: addresses };
    };
    return this.#inTurn(`assign addresses to ${assignment.handle}`, attempt, onTaken);
  }

  /** Releases all addresses of a handle, none when it has none; `also` is written in the same transaction. */
  release(handleId: string, also: Transaction = NOTHING): Promise<readonly Ip[]> {
    return this.#inTurn(`release the addresses of ${handleId}`, async () => {
      const handle = await this.#handle(handleId);
      if (handle === undefined) return { plan: NOTHING, also, result: [] };
      const { blocks } = await this.#blocksOf(Object.keys(handle.spec.block));
      const { plan, released } = planReleaseHandle(handle, blocks);
      return { plan, also, result: released };
    });
  }

  /** Releases one address of a handle, if it has it. */
  async releaseAddress(handleId: string, address: Ip): Promise<void> {
    await this.#inTurn(`release ${formatIp(address)} of ${handleId}`, async () => {
      const handle = await this.#handle(handleId);
      const { blocks } = await this.#blocksOf(Object.keys(handle?.spec.block ?? {}));
      const block = blockWith(blocks, address);
      const isOurs = block !== undefined && addressesIn(block, handleId).some((each) => sameIp(each, address));
      const plan = isOurs ? planReleaseAddress(block, handle, address).plan : NOTHING;
      return { plan, also: NOTHING, result: undefined };
    });
  }

  /** The addresses that a handle has now. */
  async addressesOf(handleId: string): Promise<readonly Ip[]> {
    const handle = await this.#handle(handleId);
    const { blocks } = await this.#blocksOf(Object.keys(handle?.spec.block ?? {}));
    return [...blocks.values()].flatMap((block) => addressesIn(block, handleId));
  }

  /** Makes the block the node's; nothing happens when it is already. */
  async claimBlock(node: string, prefix: Cidr): Promise<void> {
    await this.#inTurn(`claim block ${formatCidr(prefix)}`, async () => {
      const outcome = planClaim(await this.#snapshot(node, 'all'), node, prefix);
      if (outcome.kind === 'failed') throw new AllocationError(outcome.code, outcome.message);
      return { plan: outcome.plan, also: NOTHING, result: undefined };
    });
  }

  /** Gives up the node's empty blocks but for one of each family, unless blocks are made by hand: those were meant. */
  async releaseEmptyBlocks(node: string, labels: Labels): Promise<void> {
    await this.#inTurn(`release the empty blocks of ${node}`, async () => {
      const { autoAllocateBlocks } = await this.#configuration();
      const plan = autoAllocateBlocks
        ? planReleaseEmptyBlocks(await this.#snapshot(node, 'own'), node, labels)
        : NOTHING;
      return { plan, also: NOTHING, result: undefined };
    });
  }

  /**
   * Runs `attempt` until its plan is carried out, after the calls that came before have been taken. `purpose` is for messages.
   */
  async #inTurn<Result>(
    purpose: string,
    attempt: Attempt<Result>,
    onTaken: (result: Result) => void = ignore,
  ): Promise<Result> {
    if (this.#waiting >= WAITING_MAX) {
      throw new AllocationError('busy', `cannot ${purpose}: ${WAITING_MAX} calls are waiting; try again later`);
    }
    this.#waiting += 1;
    const before = this.#last;
    const { promise: taken, resolve: taking } = Promise.withResolvers<void>();
    const turn = before.then(() =>
      this.#carryOut(purpose, attempt, (result) => {
        taking();
        onTaken(result);
      }),
    );
    // The caller sees the error; those who wait do not, nor do they wait until all is safe.
    this.#last = Promise.race([taken, turn.then(ignore, ignore)]);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #carryOut<Result>(
    purpose: string,
    attempt: Attempt<Result>,
    onTaken: (result: Result) => void,
  ): Promise<Result> {
    for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
      const { plan, also, result } = await attempt();
      const expect = [...plan.expect, ...also.expect];
      const writes = [...plan.writes, ...also.writes];
      if (writes.length === 0) return result;
      const outcome = await this.#store.transact({ expect, writes }, () => onTaken(result));
      if (outcome.ok) return result;
      const callers = outcome.conflicts.filter((key) => also.expect.some((expectation) => expectation.key === key));
      if (callers.length > 0) {
        throw new AllocationError('conflict', `cannot ${purpose}: changed meanwhile: ${callers.join(', ')}`);
      }
    }
    throw new AllocationError(
      'busy',
      `cannot ${purpose}: other hosts were faster ${ATTEMPTS_MAX} times; try again later`,
    );
  }

  async #planAssignment(assignment: Assignment): Promise<Extract<AssignOutcome, { readonly kind: 'planned' }>> {
    const { node, namespace } = assignment;
    const handle = this.#handle(assignment.handle);
    const configuration = this.#configuration();
    for (const coverage of ['own', 'all'] as const) {
      const reading = this.#snapshot(node, coverage, namespace);
      const [snapshot, record, limits] = await Promise.all([reading, handle, configuration]);
      const outcome = planAssign(snapshot, record, assignment, limits);
      if (outcome.kind === 'failed') throw new AllocationError(outcome.code, outcome.message);
      if (outcome.kind === 'planned') return outcome;
    }
    throw new AllocationError('unreadable', 'all blocks were read, and yet more were asked for');
  }

  async #configuration(): Promise<BlockLimits> {
    const entry = await this.#store.get(resourceKey({ kind: 'IPAMConfiguration', name: DEFAULT_CONFIGURATION }));
    const configuration = entry && this.#reader.ofKind('IPAMConfiguration', entry);
    if (entry !== undefined && configuration === undefined)
      throw new AllocationError('unreadable', `${entry.key} is not a valid IPAMConfiguration; apply it anew`);
    return blockLimitsOf(configuration);
  }

  async #snapshot(node: string, coverage: Snapshot['coverage'], namespace?: string): Promise<Snapshot> {
    const [pools, reservations, claims] = await Promise.all([
      this.#list('IPPool'),
      this.#list('IPReservation'),
      this.#list('BlockAffinity', `${node}-`),
    ]);
    // The prefix of node "a" also finds what node "a-b" has.
    const affinities = claims.resources.filter(({ spec }) => spec.node === node);
    const { blocks, unreadable } =
      coverage === 'all' ? await this.#allBlocks() : await this.#blocksOf(affinities.map(({ spec }) => spec.cidr));
    return {
      pools: pools.resources,
      reserved: reservations.resources.flatMap(({ spec }) => spec.reservedCIDRs.map(cidr)),
      namespaces: await this.#namespaces(pools.resources, namespace),
      affinities,
      blocks,
      coverage,
      unreadable: new Set([...claims.unreadable, ...unreadable]),
    };
  }

  /** Few pools choose by namespace, so its labels are read only when one does. */
  async #namespaces(pools: readonly IpPool[], namespace: string | undefined): Promise<Snapshot['namespaces']> {
    const isAsked = pools.some(({ spec }) => spec.namespaceSelector !== undefined);
    if (namespace === undefined || !isAsked) return new Map();
    const entry = await this.#store.get(resourceKey({ kind: 'Namespace', name: namespace }));
    const resource = entry && this.#reader.ofKind('Namespace', entry);
    return new Map([[namespace, resource?.metadata.labels ?? {}]]);
  }

  async #blocksOf(cidrTexts: readonly string[]): Promise<Pick<Snapshot, 'blocks' | 'unreadable'>> {
    const keys = cidrTexts.map((text) => resourceKey({ kind: 'IPAMBlock', name: cidrName(text) }));
    const entries = await Promise.all(keys.map((key) => this.#store.get(key)));
    return byCidr(
      this.#reader.allOfKind(
        'IPAMBlock',
        entries.filter((entry) => entry !== undefined),
      ),
    );
  }

  async #allBlocks(): Promise<Pick<Snapshot, 'blocks' | 'unreadable'>> {
    return byCidr(await this.#list('IPAMBlock'));
  }

  async #handle(handleId: string): Promise<IpamHandle | undefined> {
    const entry = await this.#store.get(handleKey(handleId));
    if (entry === undefined) return undefined;
    const handle = this.#reader.ofKind('IPAMHandle', entry);
    if (handle === undefined)
      throw new AllocationError('unreadable', `${entry.key} is not a valid IPAMHandle; remove it`);
    const failure = handleFailure(handle, handleId);
    if (failure !== undefined) throw new AllocationError(failure.code, failure.message);
    return handle;
  }

  async #list<Name extends KindName>(kind: Name, namePrefix = ''): Promise<OfKind<Name>> {
    const { entries } = await this.#store.list(`${kindPrefix(kind)}${namePrefix}`);
    return this.#reader.allOfKind(kind, entries);
  }
}

function byCidr({ resources, unreadable }: OfKind<'IPAMBlock'>): Pick<Snapshot, 'blocks' | 'unreadable'> {
  return { blocks: new Map(resources.map((block) => [block.spec.cidr, block])), unreadable: new Set(unreadable) };
}

function addressesIn(block: IpamBlock, handleId: string): Ip[] {
  return ordinalsOf(block, handleId).map((ordinal) => addressIn(blockPrefix(block), ordinal));
}

function ignore(): void {}
