/**
 * Policies and profiles as chains, one for each direction and table that asks for it.
 *
 *   Allow   matches: set the accept mark; accept: return     Pass   the same with the pass mark
 *   Deny    matches: log; matches: drop                      Log    matches, not too often: a line in the kernel's log
 *
 * The callers (endpoint-chains.ts, policy-groups.ts) look at the marks. A Deny that became several rules sets the drop
 * mark in each of these, and logs and drops once. A resource's rule is counted by the rules with its `origin`, which
 * are the first that know of its verdict. Marks come in cleared. A chain depends on its resource, on which parts its
 * sets have, and on settings; not on endpoints.
 */
import { unreachable } from '../../../lib/assert.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import type { DesiredPolicy, DesiredProfile, DesiredRule } from '../../desired/policy.ts';
import type { PolicyDirection } from './chain-names.ts';
import { policyChainName, profileChainName } from './chain-names.ts';
import { logPrefix, NFLOG_GROUP } from './log-prefix.ts';
import type { Action, Chain, Dialect, Match, Rule, RuleOrigin, TableName } from './program.ts';
import { lowerRule } from './rule-lowering.ts';
import { innerChain, marked, setMark } from './rules.ts';
import type { SetLookup } from './set-parts.ts';

export interface PolicyChainContext {
  readonly settings: FilterSettings;
  readonly dialect: Dialect;
  readonly sets: SetLookup;
}

/** xt_LOG's prefix is 30 bytes with the final zero. */
const KERNEL_LOG_PREFIX_MAX = 29;

export function policyChain(
  policy: DesiredPolicy,
  direction: PolicyDirection,
  table: TableName,
  context: PolicyChainContext,
): Chain {
  const origin: RuleOrigin = { kind: 'policy', name: policy.id, tier: policy.tier, direction, index: undefined };
  const rules = rulesOf(policy[direction], origin, table, context);
  return innerChain(table, policyChainName(policy, direction), rules);
}

export function profileChain(
  profile: DesiredProfile,
  direction: PolicyDirection,
  table: TableName,
  context: PolicyChainContext,
): Chain {
  const origin: RuleOrigin = { kind: 'profile', name: profile.name, tier: undefined, direction, index: undefined };
  const rules = rulesOf(profile[direction], origin, table, context);
  return innerChain(table, profileChainName(profile.name, direction), rules);
}

/** Logs for whoever listens, then denies. REJECT exists at the hooks of the filter table alone. */
export function denyRules(
  matches: readonly Match[],
  origin: RuleOrigin,
  table: TableName,
  settings: FilterSettings,
  about: Pick<Rule, 'comment' | 'provenance'>,
): Rule[] {
  const group = NFLOG_GROUP[origin.direction ?? 'ingress'];
  const deny: Action = { kind: table === 'filter' ? settings.denyAction : 'drop' };
  return [
    { matches, action: { kind: 'nflog', group, prefix: logPrefix('deny', origin) }, ...about, origin },
    { matches, action: deny, ...about, origin: undefined },
  ];
}

/** `owner` is the origin of all of them but for the index. */
function rulesOf(
  rules: readonly DesiredRule[],
  owner: RuleOrigin,
  table: TableName,
  context: PolicyChainContext,
): Rule[] {
  const all = rules.flatMap((rule) => rulesOfOne(rule, { ...owner, index: rule.index }, table, context));
  while (all.at(-1)?.action.kind === 'return') all.pop(); // a chain that ends returns
  return all;
}

function rulesOfOne(rule: DesiredRule, origin: RuleOrigin, table: TableName, context: PolicyChainContext): Rule[] {
  const { settings, dialect, sets } = context;
  const { marks } = settings;
  const about = {
    comment: `${origin.name} ${origin.direction} ${origin.index}: ${rule.action}`,
    provenance: rule.provenance,
  };
  const steps = lowerRule(rule, { dialect, sets, marks });
  const isOne = steps.filter(({ kind }) => kind === 'rule').length === 1;
  const judged = (judge: (matches: readonly Match[]) => readonly Rule[]): Rule[] =>
    steps.flatMap((step) =>
      step.kind === 'rule'
        ? judge(step.matches)
        : [
            {
              matches: step.matches,
              action: { kind: 'mark', set: step.set, clear: step.clear },
              ...about,
              origin: undefined,
            },
          ],
    );
  const marking = (bits: number) => judged((matches) => [{ matches, action: setMark(bits), ...about, origin }]);
  const returning = (bits: number): Rule[] =>
    steps.length === 0 ? [] : [{ matches: [marked(bits)], action: { kind: 'return' }, ...about, origin: undefined }];
  switch (rule.action) {
    case 'allow':
      return [...marking(marks.accept), ...returning(marks.accept)];
    case 'pass':
      return [...marking(marks.pass), ...returning(marks.pass)];
    case 'log': {
      const action: Action = { kind: 'log', prefix: kernelLogPrefix(settings, origin) };
      return judged((matches) => [{ matches: [...matches, ...rateLimit(settings)], action, ...about, origin }]);
    }
    case 'deny': {
      if (isOne) return judged((matches) => denyRules(matches, origin, table, settings, about));
      if (steps.length === 0) return [];
      const [log, deny] = denyRules([marked(marks.drop)], origin, table, settings, about);
      return [
        ...marking(marks.drop),
        ...[log, deny].flatMap((each) => (each === undefined ? [] : [{ ...each, origin: undefined }])),
      ];
    }
    default:
      return unreachable(rule.action);
  }
}

function rateLimit({ logRate }: FilterSettings): Match[] {
  return logRate === undefined ? [] : [{ kind: 'limit', ...logRate }];
}

/** Calico's placeholders: %t the tier, %k the kind, %n the name, %p kind and name. */
function kernelLogPrefix({ logPrefix: template }: FilterSettings, { name, tier = '', kind }: RuleOrigin): string {
  const [policyKind = '', policyName = ''] = kind === 'policy' ? name.split(' ') : ['Profile', name];
  const words: Readonly<Record<string, string>> = { '%t': tier, '%k': policyKind, '%n': policyName, '%p': name };
  const text = template.replace(/%[tknp]/g, (placeholder) => words[placeholder] ?? placeholder);
  return `${text.slice(0, KERNEL_LOG_PREFIX_MAX - 2)}: `;
}
