/**
 * Whose rule it was and whom it concerns, in words: the same in every table that names rules and containers.
 */
import type { RuleOrigin } from '../felix/dataplane/filter/program.ts';

/** "NetworkPolicy shop/db", "end of tier security: …", "profile kns.shop", "protection: forged source". */
export function ownerText({ kind, name }: RuleOrigin): string {
  switch (kind) {
    case 'policy':
      return name;
    case 'profile':
      return `profile ${name}`;
    case 'tier-end':
      return `end of tier ${name}`;
    case 'no-profile':
      return 'no profile allowed it';
    case 'protection':
      return `protection: ${name}`;
  }
}

/** A container's address without its length, which is always that of a single address. */
export function bareAddress(text: string): string {
  return text.replace(/\/(32|128)$/, '');
}
