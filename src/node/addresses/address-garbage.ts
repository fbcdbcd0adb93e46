/**
 * Leaked addresses of this node, found and released while the agent runs, and blocks that it needs no more, given up.
 *
 * An address is suspect when this node's allocation of it has no endpoint, and its device is gone. Only what has been suspect
 * for a grace time, in every round, is looked at in the whole store, and released when check.ts takes it for a leak there,
 * too; each release is logged with its reason. A round reads the node's own claims and blocks, and endpoints only when a device is
 * gone, so a large network does not pay for its size. What this node has borrowed from others' blocks is left to `muslin ipam check --repair`.
 *
 * An empty block is given up when it has been empty for a grace time and the node has another one, unless blocks are
 * made by hand. Called in rounds (garbage-rounds.ts).
 */
import { isEmpty } from '../../ipam/block.ts';
import { type CheckTime, check } from '../../ipam/check.ts';
import type { Allocation } from '../../ipam/survey.ts';
import { allocationsOf, endpointsByAddress, Survey } from '../../ipam/survey.ts';
import type { Log } from '../../lib/log.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import { entryOfKind } from '../../model/resource-entry.ts';
import { cidrName, kindPrefix, resourceKey } from '../../model/resource-key.ts';
import type { Labels } from '../../model/selector.ts';
import type { Store } from '../../store/store.ts';
import { stillSince } from '../attach/garbage-rounds.ts';
import type { AddressAllocator } from './address-allocator.ts';
import { carryOut, readSurvey } from './address-survey.ts';

/** Among a holder's secondary attributes: its device on the host. */
export const DEVICE_ATTRIBUTE = 'device';

interface GarbageOptions {
  readonly node: string;
  readonly store: Store;
  readonly allocator: AddressAllocator;
  /** The node's labels now. */
  readonly labels: () => Labels;
  readonly hasDevice: (name: string) => boolean;
  readonly log: Log;
}

export class AddressGarbage {
  readonly #options: GarbageOptions;
  /** Since when each suspect has been one, by handle and address; likewise empty blocks, by CIDR. */
  #suspectSince: ReadonlyMap<string, number> = new Map();
  #emptySince: ReadonlyMap<string, number> = new Map();

  constructor(options: GarbageOptions) {
    this.#options = options;
  }

  /** One round; times are in milliseconds of the wall clock. Throws what the store throws. */
  async collect(now: number, graceMs: number): Promise<void> {
    const blocks = await this.#ownBlocks();
    const suspects = await this.#suspects(blocks);
    this.#suspectSince = stillSince(this.#suspectSince, suspects.map(suspectKey), now);
    const ripe = suspects.filter((suspect) => isRipe(this.#suspectSince.get(suspectKey(suspect)), now, graceMs));
    if (ripe.length > 0) await this.#releaseLeaks(new Set(ripe.map(({ holder }) => holder.handleId)), { now, graceMs });

    const empty = blocks.filter(isEmpty).map(({ spec }) => spec.cidr);
    this.#emptySince = stillSince(this.#emptySince, empty, now);
    const isBlockRipe = empty.some((cidr) => isRipe(this.#emptySince.get(cidr), now, graceMs));
    const { allocator, node, labels } = this.#options;
    if (isBlockRipe && blocks.length > 1) await allocator.releaseEmptyBlocks(node, labels());
  }

  /** What this node has in its own blocks without an endpoint, and without a device as far as that is known. */
  async #suspects(blocks: readonly IpamBlock[]): Promise<Allocation[]> {
    const { store, node, hasDevice } = this.#options;
    const bare = allocationsOf(blocks).filter(({ holder }) => {
      const device = holder.secondary[DEVICE_ATTRIBUTE];
      return holder.secondary['node'] === node && (device === undefined || !hasDevice(device));
    });
    if (bare.length === 0) return [];
    const { entries } = await store.list(kindPrefix('WorkloadEndpoint'));
    const endpoints = entries.flatMap((entry) => entryOfKind('WorkloadEndpoint', entry) ?? []);
    const used = endpointsByAddress(new Survey(endpoints, []));
    return bare.filter(({ text }) => !used.has(text));
  }

  async #releaseLeaks(handles: ReadonlySet<string>, time: CheckTime): Promise<void> {
    const { store, log } = this.#options;
    const survey = await readSurvey(store);
    for (const { finding, repair } of check(survey, time)) {
      const { leak, cause } = finding;
      if (leak === null || repair === undefined || !handles.has(leak.handle)) continue;
      const plan = repair(survey);
      if (plan.writes.length === 0 || !(await carryOut(store, survey, plan))) continue; // the next round sees what is there then
      log.warn('leaked addresses released', { handle: leak.handle, addresses: leak.addresses, reason: cause });
    }
  }

  async #ownBlocks(): Promise<IpamBlock[]> {
    const { store, node } = this.#options;
    const { entries } = await store.list(`${kindPrefix('BlockAffinity')}${node}-`);
    const claims = entries.flatMap((entry) => entryOfKind('BlockAffinity', entry) ?? []);
    // The prefix of node "a" also finds what node "a-b" has.
    const own = claims.filter(({ spec }) => spec.node === node);
    const found = await Promise.all(
      own.map(({ spec }) => store.get(resourceKey({ kind: 'IPAMBlock', name: cidrName(spec.cidr) }))),
    );
    return found.flatMap((entry) => (entry && entryOfKind('IPAMBlock', entry)) ?? []);
  }
}

function suspectKey({ holder, text }: Allocation): string {
  return `${holder.handleId} ${text}`;
}

function isRipe(since: number | undefined, now: number, graceMs: number): boolean {
  return since !== undefined && now - since >= graceMs;
}
