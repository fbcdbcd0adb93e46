/**
 * All situations, by subject, in the order in which they come about.
 */
import type { Situation } from '../situation.ts';
import { HOST_ENDPOINTS } from './host-endpoints.ts';
import { HOST_FORWARDING } from './host-forwarding.ts';
import { MANY } from './many.ts';
import { PROTECTION } from './protection.ts';
import { EGRESS_RECIPES } from './recipes-egress.ts';
import { INGRESS_RECIPES } from './recipes-ingress.ts';
import { RULES } from './rules.ts';
import { SELECTORS } from './selectors.ts';
import { NETWORK_SETS, PROFILES, STAGED } from './sets.ts';
import { THREE_TIERS } from './three-tiers.ts';
import { TIERS } from './tiers.ts';
import { FLOATING_IPS, NAT_OUTGOING } from './translation.ts';

export const SUBJECTS: Readonly<Record<string, readonly Situation[]>> = {
  'recipes for ingress': INGRESS_RECIPES,
  'recipes for egress': EGRESS_RECIPES,
  'tiers and order': TIERS,
  'what rules match': RULES,
  'whom selectors choose': SELECTORS,
  'many of a kind': MANY,
  'network sets': NETWORK_SETS,
  profiles: PROFILES,
  'staged policies': STAGED,
  'host endpoints': HOST_ENDPOINTS,
  'what hosts forward': HOST_FORWARDING,
  protection: PROTECTION,
  'leaving with another address': NAT_OUTGOING,
  'floating addresses': FLOATING_IPS,
  'an application of three tiers': THREE_TIERS,
};
