/**
 * What a packet from or to one endpoint goes through: a chain for each kind of way.
 *
 *   protections of a container · known connections pass, invalid ones end · failsafe ports of a host · clear the marks
 *   tiers:  clear pass · policies, or groups of them, until one accepts (return) or passes · else the end of the tier denies
 *   profiles, until one accepts · else deny
 *
 * The order is Felix's (endpointIptablesChain), but for one thing: a container's protections come first. An answer to
 * port 4789 is "established", too, and a container has no business with encapsulated packets, with announcing routers
 * or with giving out addresses, whoever began. That its source is its own is judged before, in raw, by the routes.
 *
 * A chain returns with the accept mark set, or without where nobody had a say (forwarding), or denies: the sender's
 * policy and the receiver's both have to accept. Called by builder.ts for containers, by host-endpoint-chains.ts for
 * devices of the host.
 */

import type { FilterSettings } from '../../desired/filter-settings.ts';
import type { DesiredPolicy, EndpointPolicy, EndpointTier, PolicyId, PolicyStage } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';
import type { PolicyDirection } from './chain-names.ts';
import { policyChainName, profileChainName } from './chain-names.ts';
import { denyRules } from './policy-chains.ts';
import { groupsOf } from './policy-groups.ts';
import type { Chain, Match, Rule, RuleOrigin, TableName } from './program.ts';
import { clearMark, innerChain, jump, marked, notMarked, rule, setMark } from './rules.ts';
import { protectionJumps } from './workload-protection.ts';

export type EndpointChainKind =
  | 'from-workload'
  | 'to-workload'
  | 'from-host'
  | 'to-host'
  | 'from-host-forward'
  | 'to-host-forward'
  | 'from-host-untracked'
  | 'to-host-untracked'
  | 'from-host-pre-dnat'
  | 'to-host-post-nat';

/** What endpoints' chains need to know besides the endpoint. */
export interface EndpointContext {
  readonly settings: FilterSettings;
  readonly policyOf: (id: PolicyId) => DesiredPolicy | undefined;
  readonly hasProfile: (name: string) => boolean;
  /** The chain that calls these policies in order. */
  readonly groupChain: (members: readonly DesiredPolicy[], direction: PolicyDirection) => string;
}

export interface EndpointChainOptions {
  readonly table: TableName;
  readonly name: string;
  readonly kind: EndpointChainKind;
  readonly policy: EndpointPolicy;
  readonly context: EndpointContext;
  /** Whose endpoint it is. */
  readonly provenance?: Provenance | undefined;
}

/** What the kinds differ in. */
interface Shape {
  readonly direction: PolicyDirection;
  readonly stage: PolicyStage;
  /** Only policies that say so are for what the host forwards; without any, all is allowed, and no profile asked. */
  readonly isForward: boolean;
  readonly failsafeChain: string | undefined;
  /** What becomes of known connections; undefined where there are none yet. */
  readonly known: 'filterAllowAction' | 'mangleAllowAction' | 'return' | undefined;
}

const FILTER = { stage: 'normal', isForward: false, known: 'filterAllowAction' } as const;
const FORWARD = { ...FILTER, isForward: true, failsafeChain: undefined } as const;
const UNTRACKED = { stage: 'untracked', isForward: false, known: undefined } as const;
const INTO_HOST = { direction: 'ingress', failsafeChain: 'cali-failsafe-in' } as const;
const OUT_OF_HOST = { direction: 'egress', failsafeChain: 'cali-failsafe-out' } as const;

const SHAPES: Readonly<Record<EndpointChainKind, Shape>> = {
  'from-workload': { ...FILTER, direction: 'egress', failsafeChain: undefined },
  'to-workload': { ...FILTER, direction: 'ingress', failsafeChain: undefined },
  'from-host': { ...FILTER, ...INTO_HOST },
  'to-host': { ...FILTER, ...OUT_OF_HOST },
  'from-host-forward': { ...FORWARD, direction: 'ingress' },
  'to-host-forward': { ...FORWARD, direction: 'egress' },
  'from-host-untracked': { ...UNTRACKED, ...INTO_HOST },
  'to-host-untracked': { ...UNTRACKED, ...OUT_OF_HOST },
  'from-host-pre-dnat': { ...INTO_HOST, stage: 'preDnat', isForward: false, known: 'mangleAllowAction' },
  // What others do with their packets in mangle is theirs, so nothing is accepted there.
  'to-host-post-nat': { ...OUT_OF_HOST, stage: 'normal', isForward: false, known: 'return' },
};

export function endpointChain(options: EndpointChainOptions): Chain {
  const shape = SHAPES[options.kind];
  const { accept, pass } = options.context.settings.marks;
  const rules = [
    ...(options.kind === 'from-workload' ? protectionJumps(options.context.settings) : []),
    ...connectionRules(options, shape),
    ...(shape.failsafeChain === undefined ? [] : [rule([], jump(shape.failsafeChain), 'Failsafe ports')]),
    rule([], clearMark(accept | pass), 'Begin anew'),
    ...policyRules(options, shape),
  ];
  const { table, name, provenance } = options;
  return innerChain(
    table,
    name,
    rules.map((each) => (each.provenance === undefined ? { ...each, provenance } : each)),
  );
}

/** What was let through once stays let through, without being asked again. */
function connectionRules(options: EndpointChainOptions, { known, direction }: Shape): Rule[] {
  if (known === undefined) return [];
  const { settings } = options.context;
  const isKnown: Match = { kind: 'conntrack', states: ['established', 'related'], is: true };
  const isInvalid: Match = { kind: 'conntrack', states: ['invalid'], is: true };
  const allow = known === 'return' ? known : settings[known];
  const passing = rule([isKnown], { kind: allow }, 'Known connection');
  return [
    // Who gives others a say still has to hear at the end that we have allowed it.
    ...(allow === 'return'
      ? [rule([isKnown], setMark(settings.marks.accept), 'Known connection'), passing]
      : [passing]),
    ...(settings.dropInvalid ? deny(options, direction, [isInvalid], 'invalid connection state') : []),
  ];
}

function policyRules(options: EndpointChainOptions, shape: Shape): Rule[] {
  const { accept } = options.context.settings.marks;
  const tiers = options.policy.tiers.flatMap((tier) => tierRules(options, shape, tier));
  if (shape.stage !== 'normal') return tiers;
  if (!shape.isForward) return [...tiers, ...profileRules(options, shape.direction)];
  if (tiers.length > 0) return tiers;
  const comment = 'No policy for what is forwarded';
  return [rule([], setMark(accept), comment), rule([], { kind: 'return' }, comment)];
}

/** Nothing where no policy of the tier has a say. */
function tierRules(options: EndpointChainOptions, shape: Shape, tier: EndpointTier): Rule[] {
  const { settings, policyOf } = options.context;
  const { pass } = settings.marks;
  const ids = tier[shape.direction];
  const policies = ids.flatMap((id) => policyOf(id) ?? []);
  const enforced = policies.filter((policy) => hasSay(policy, shape));
  // A policy that nobody told of is as one that matches nothing, which does not open anything.
  const isLost = policies.length < ids.length;
  if (enforced.length === 0 && !isLost) return [];
  const rules = [rule([], clearMark(pass), `Start of tier ${tier.name}`)];
  for (const group of groupsOf(enforced)) rules.push(...callRules(options, shape, tier, group));
  if (shape.stage !== 'normal' || tier.defaultAction === 'pass') return rules;
  const origin: RuleOrigin = {
    kind: 'tier-end',
    name: tier.name,
    tier: tier.name,
    direction: shape.direction,
    index: undefined,
  };
  const about = { comment: `End of tier ${tier.name}`, provenance: tier.provenance };
  return [...rules, ...denyRules([notMarked(pass)], origin, options.table, settings, about)];
}

function hasSay({ staged, stage, applyOnForward }: DesiredPolicy, shape: Shape): boolean {
  return !staged && stage === shape.stage && (applyOnForward || !shape.isForward);
}

function callRules(
  { context }: EndpointChainOptions,
  { direction, stage }: Shape,
  tier: EndpointTier,
  group: readonly DesiredPolicy[],
): Rule[] {
  const { accept, pass } = context.settings.marks;
  const [policy] = group;
  if (policy === undefined) return [];
  const isOne = group.length === 1;
  const chain = isOne ? policyChainName(policy, direction) : context.groupChain(group, direction);
  const comment = isOne ? policy.id : `${group.length} policies of tier ${tier.name}`;
  const notrack = rule([marked(accept)], { kind: 'notrack' }, 'Not tracked, since untracked policy accepted');
  return [
    rule([notMarked(pass)], jump(chain), comment),
    ...(stage === 'untracked' ? [notrack] : []),
    rule([marked(accept)], { kind: 'return' }, 'Accepted'),
  ];
}

function profileRules(
  { policy, context, table, provenance }: EndpointChainOptions,
  direction: PolicyDirection,
): Rule[] {
  const { settings, hasProfile } = context;
  const lost = policy.profiles.find((name) => !hasProfile(name));
  const asked = lost === undefined ? policy.profiles : policy.profiles.slice(0, policy.profiles.indexOf(lost));
  const rules = asked.flatMap((name) => [
    rule([], jump(profileChainName(name, direction)), `Profile ${name}`),
    rule([marked(settings.marks.accept)], { kind: 'return' }, 'Accepted'),
  ]);
  const origin: RuleOrigin = { kind: 'no-profile', name: lost ?? '', tier: undefined, direction, index: undefined };
  const comment = lost === undefined ? 'No profile accepted' : `Profile ${lost} does not exist`;
  return [...rules, ...denyRules([], origin, table, settings, { comment, provenance })];
}

function deny(
  { context, table, provenance }: EndpointChainOptions,
  direction: PolicyDirection,
  matches: readonly Match[],
  name: string,
): Rule[] {
  const origin: RuleOrigin = { kind: 'protection', name, tier: undefined, direction, index: undefined };
  return denyRules(matches, origin, table, context.settings, { comment: `Protection: ${name}`, provenance });
}
