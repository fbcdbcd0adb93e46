/**
 * The registry of kinds: a row each. To add a kind is to add its file and its row.
 *
 * The words by which users call a kind (`ippool`, `ippools`, `ipp`, any case) are all found here, so documents, store and
 * command line agree on them.
 */
import type { BgpConfiguration } from './bgp-configuration.ts';
import { bgpConfigurationKind } from './bgp-configuration.ts';
import type { BlockAffinity } from './block-affinity.ts';
import { blockAffinityKind } from './block-affinity.ts';
import type { IpPool } from './ip-pool.ts';
import { ipPoolKind } from './ip-pool.ts';
import type { IpReservation } from './ip-reservation.ts';
import { ipReservationKind } from './ip-reservation.ts';
import type { IpamBlock } from './ipam-block.ts';
import { ipamBlockKind } from './ipam-block.ts';
import type { IpamHandle } from './ipam-handle.ts';
import { ipamHandleKind } from './ipam-handle.ts';
import type { Kind } from './kind.ts';
import { suggestion } from './near-miss.ts';
import type { Node } from './node.ts';
import { nodeKind } from './node.ts';
import type { WorkloadEndpoint } from './workload-endpoint.ts';
import { workloadEndpointKind } from './workload-endpoint.ts';

/** A resource of whatever kind; `kind` tells which. */
export type AnyResource =
  | BgpConfiguration
  | BlockAffinity
  | IpamBlock
  | IpamHandle
  | IpPool
  | IpReservation
  | Node
  | WorkloadEndpoint;

export type KindName = AnyResource['kind'];

/** In the order in which a whole network is best applied: what others refer to comes first. */
export const KINDS: readonly Kind[] = [
  nodeKind,
  bgpConfigurationKind,
  ipPoolKind,
  ipReservationKind,
  workloadEndpointKind,
  ipamBlockKind,
  blockAffinityKind,
  ipamHandleKind,
];

const byKind = new Map(KINDS.map((kind) => [kind.kind, kind]));
const byWord = new Map(KINDS.flatMap((kind) => wordsOf(kind).map((word) => [word, kind] as const)));

function wordsOf(kind: Kind): string[] {
  return [kind.kind.toLowerCase(), kind.plural, ...kind.shortNames];
}

/** The kind with exactly this name, as in a document's `kind:`. */
export function kindNamed(name: string): Kind | undefined {
  return byKind.get(name);
}

/** The kind that a user means by a word: its name, plural or a short name, in any case. */
export function kindByWord(word: string): Kind | undefined {
  return byWord.get(word.toLowerCase());
}

/** Says that there is no kind of that name, which there are, and which was probably meant. */
export function unknownKindMessage(word: string): string {
  const names = KINDS.map((kind) => kind.kind);
  const near = kindByWord(word)?.kind;
  const hint = near === undefined ? suggestion(word, [...names, ...byWord.keys()]) : `; did you mean ${near}?`;
  return `unknown kind "${word}"${hint} (known kinds: ${names.join(', ')})`;
}
