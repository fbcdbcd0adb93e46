/**
 * The few characters that a logged packet carries to say which rule judged it.
 *
 * Calico's form: a letter for the action (A allowed, D denied, P passed on), one for the owner (P policy, R profile, T the end of a tier, X a protection of ours), one
 * for the direction (I ingress, E egress), the index of the rule where there is one, "|", and the name: "DPI0|GlobalNetworkPolicy deny-all", "DRE|" for
 * "no profile matched". iptables keeps 64 bytes with the final zero, so a long name is cut and ends with a hash; whoever reads a
 * prefix looks it up among the rules that are in force rather than taking it apart.
 */

import type { RuleOrigin } from './program.ts';
import { chainedHashes } from './rule-hash.ts';

export type Judgement = 'allow' | 'deny' | 'pass';

/** Groups as in Calico: one for what goes to an endpoint, one for what comes from it. */
export const NFLOG_GROUP = { ingress: 1, egress: 2 } as const;

/** XT_LOG's and NFLOG's prefix is 64 bytes with the final zero. */
const PREFIX_MAX = 63;

const JUDGEMENTS = { allow: 'A', deny: 'D', pass: 'P' } as const;
const OWNERS = { policy: 'P', profile: 'R', 'tier-end': 'T', 'no-profile': 'R', protection: 'X' } as const;

/** Unique for what a rule does for whom; ASCII without quotes. */
export function logPrefix(judgement: Judgement, origin: RuleOrigin): string {
  const direction = origin.direction === 'egress' ? 'E' : 'I';
  const head = `${JUDGEMENTS[judgement]}${OWNERS[origin.kind]}${direction}${origin.index ?? ''}|`;
  const text = head + origin.name;
  if (text.length <= PREFIX_MAX) return text;
  const [hash = ''] = chainedHashes(text, ['']);
  return `${text.slice(0, PREFIX_MAX - hash.length - 1)}_${hash}`;
}
