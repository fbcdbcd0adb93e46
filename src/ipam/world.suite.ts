/**
 * A store's worth of IPAM objects for tests: what plans are made from and carried out on.
 *
 * Keeps the part of the store's contract that plans rely on: all writes or none, each expectation checked. Every value is
 * validated as it is read back, so that a plan that writes a malformed resource fails the test that made it. `check`
 * asserts what must hold after every single transaction.
 */
import assert from 'node:assert/strict';
import type { Json } from '../lib/json.ts';
import type { AnyResource, KindName } from '../model/kinds.ts';
import { resourceOfEntry, valueOfResource } from '../model/resource-entry.ts';
import { cidrName, keyOf, kindPrefix, resourceKey } from '../model/resource-key.ts';
import { validateResource } from '../model/validate.ts';
import { cidr, overlaps } from '../net/cidr.ts';
import { ownerOf } from './block.ts';
import { handleKey } from './handle.ts';
import type { Plan } from './plan.ts';
import type { Snapshot } from './snapshot.ts';
import { SURVEYED_KINDS, Survey } from './survey.ts';

type OfKind<Name extends KindName> = Extract<AnyResource, { readonly kind: Name }>;

export class World {
  readonly #entries = new Map<string, { readonly value: Json; readonly revision: number }>();
  #revision = 0;

  /** Writes a resource as a user would apply it: kind, name and spec. */
  apply(kind: KindName, name: string, spec: object): void {
    const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
    assert.ok(validated.ok, JSON.stringify(validated));
    this.write(keyOf(validated.resource), valueOfResource(validated.resource));
  }

  write(key: string, value: Json): void {
    this.#revision += 1;
    this.#entries.set(key, { value, revision: this.#revision });
  }

  remove(key: string): void {
    this.#entries.delete(key);
  }

  get<Name extends KindName>(kind: Name, name: string): OfKind<Name> | undefined {
    return this.#read(kind, resourceKey({ kind, name }));
  }

  handle(handleId: string): OfKind<'IPAMHandle'> | undefined {
    return this.#read('IPAMHandle', handleKey(handleId));
  }

  all<Name extends KindName>(kind: Name): OfKind<Name>[] {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(kindPrefix(kind))).sort();
    return keys.flatMap((key) => this.#read(kind, key) ?? []);
  }

  snapshot(node: string, coverage: Snapshot['coverage'] = 'all'): Snapshot {
    const affinities = this.all('BlockAffinity').filter(({ spec }) => spec.node === node);
    const blocks =
      coverage === 'all'
        ? this.all('IPAMBlock')
        : affinities.flatMap(({ spec }) => this.get('IPAMBlock', cidrName(spec.cidr)) ?? []);
    return {
      pools: this.all('IPPool'),
      reserved: this.all('IPReservation').flatMap(({ spec }) => spec.reservedCIDRs.map(cidr)),
      namespaces: new Map(this.all('Namespace').map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
      affinities,
      blocks: new Map(blocks.map((block) => [block.spec.cidr, block])),
      coverage,
      unreadable: new Set([...this.#entries.keys()].filter((key) => this.#isUnreadable(key))),
    };
  }

  survey(): Survey {
    const resources = SURVEYED_KINDS.flatMap((kind): AnyResource[] => this.all(kind));
    return new Survey(
      resources,
      [...this.#entries.keys()].filter((key) => this.#isUnreadable(key)),
    );
  }

  /** Carries a plan out as one transaction; false when an expectation does not hold. */
  commit(plan: Plan): boolean {
    const keys = plan.writes.map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length, 'a key is written once');
    if (plan.expect.some(({ key, revision }) => (this.#entries.get(key)?.revision ?? 0) !== revision)) return false;
    this.#revision += 1;
    for (const write of plan.writes) {
      if (write.kind === 'put') this.#entries.set(write.key, { value: write.value, revision: this.#revision });
      else this.#entries.delete(write.key);
    }
    return true;
  }

  /** Asserts that blocks, claims and handles say the same. */
  check(): void {
    const blocks = this.all('IPAMBlock');
    const counts = new Map<string, number>();
    for (const [index, block] of blocks.entries()) {
      const prefix = cidr(block.spec.cidr);
      for (const other of blocks.slice(index + 1))
        assert.ok(!overlaps(prefix, cidr(other.spec.cidr)), 'blocks overlap');
      const owner = ownerOf(block);
      const claims = this.all('BlockAffinity').filter(({ spec }) => spec.cidr === block.spec.cidr);
      const claimants = claims.map(({ spec }) => spec.node);
      assert.deepEqual(claimants, owner === undefined ? [] : [owner], `claims to ${block.spec.cidr}`);
      assert.ok(
        owner !== undefined || block.spec.unallocated.length < block.spec.allocations.length,
        'an empty orphan',
      );
      for (const attribute of block.spec.allocations) {
        if (attribute === null) continue;
        const handleId = block.spec.attributes[attribute]?.handle_id;
        assert.ok(handleId !== undefined, 'an allocation without attribute');
        const key = `${handleId} ${block.spec.cidr}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    assert.equal(this.all('BlockAffinity').length, blocks.filter((block) => ownerOf(block) !== undefined).length);
    const recorded = this.all('IPAMHandle').flatMap(({ spec }) => {
      assert.ok(Object.keys(spec.block).length > 0, `handle ${spec.handleID} has nothing`);
      return Object.entries(spec.block).map(([cidrText, count]) => [`${spec.handleID} ${cidrText}`, count] as const);
    });
    assert.deepEqual(new Map(recorded.sort()), new Map([...counts].sort()), 'handles count what blocks hold');
  }

  #read<Name extends KindName>(kind: Name, key: string): OfKind<Name> | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#isUnreadable(key)) return undefined;
    const reading = resourceOfEntry({ key, ...entry });
    assert.ok(reading.ok && reading.resource.kind === kind, `${key}: ${JSON.stringify(reading)}`);
    return reading.resource as OfKind<Name>; // the assertion above says so
  }

  /** Only what a test has put there as broken: a plan's mistakes shall not pass for that. */
  #isUnreadable(key: string): boolean {
    return this.#entries.get(key)?.value === 'broken';
  }
}
