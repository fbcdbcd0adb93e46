/**
 * Whose rule it was, in words: the same in every table that names rules.
 */
import type { RuleOrigin } from '../felix/dataplane/filter/program.ts';

/** "NetworkPolicy shop/db", "end of tier security", "profile kns.shop", "protection: forged source". */
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
