/**
 * What a check of IPAM may find, in words for people and in fields for programs.
 *
 * A finding says what it is about, how that can have come about, and what is to be done. Where something can be done without
 * harm to anybody who uses an address, it has a repair: a plan made from the survey as it then is, so that repairs
 * of one block can follow each other.
 */
import type { Plan } from './plan.ts';
import type { Survey } from './survey.ts';

export type FindingCode =
  | 'unreadable'
  | 'block-outside-pools'
  | 'blocks-overlap'
  | 'block-without-affinity'
  | 'block-abandoned'
  | 'affinity-without-block'
  | 'affinity-foreign'
  | 'affinity-unfinished'
  | 'handle-without-allocation'
  | 'handle-miscounted'
  | 'allocation-without-handle'
  | 'address-twice'
  | 'leak'
  | 'endpoint-without-allocation';

export interface Finding {
  readonly code: FindingCode;
  /** A block's CIDR, an address, a handle's id, or a key of the store. */
  readonly subject: string;
  readonly cause: string;
  /** What repair does, or what a person can do where repair does nothing. */
  readonly remedy: string;
  readonly isRepairable: boolean;
  /** Of a leak: who has the addresses, and since when (RFC 3339); null where it is not known. */
  readonly leak: {
    readonly handle: string;
    readonly addresses: readonly string[];
    readonly since: string | null;
  } | null;
}

/** A finding, and its plan where it has a repair; a plan without writes when there is nothing to repair any more. */
export interface Found {
  readonly finding: Finding;
  readonly repair: ((survey: Survey) => Plan) | undefined;
}

/** A finding that repair takes care of. */
export function repairable(
  finding: Pick<Finding, 'code' | 'subject' | 'cause' | 'remedy'>,
  repair: (survey: Survey) => Plan,
): Found {
  return { finding: { ...finding, isRepairable: true, leak: null }, repair };
}

/** A finding that a person has to look at. */
export function unrepairable(finding: Pick<Finding, 'code' | 'subject' | 'cause' | 'remedy'>): Found {
  return { finding: { ...finding, isRepairable: false, leak: null }, repair: undefined };
}
