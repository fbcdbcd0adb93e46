/**
 * Policy at work: which routes go on, and with which attributes.
 *
 * A rule asks about a route's attributes, and about its prefix. Thousands of routes share their attributes, so these
 * are judged first and once (`judge`), and mostly that is the answer. Only where rules that ask about the prefix are left
 * does each prefix have to be looked at (`decide`), and then through an index, not rule by rule. Invariant: what comes out is
 * what trying the rules one by one would give.
 *
 * A prefix condition speaks of its own family: a rule with one does not fit routes of the other, whatever its operator.
 * A route without LOCAL_PREF counts as one with the default. The speaker calls this on import and on export; what RFC 4271,
 * 8212 or 1997 ask beyond policy is not here.
 */
import { assert } from '../../lib/assert.ts';
import type { Cidr } from '../../net/cidr.ts';
import { familyOf, formatCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { applyOperations, communityKey, hasCommunity, operationKey } from './policy-operations.ts';
import { boxOf, PrefixIndex } from './policy-prefixes.ts';
import type { Policy, PolicyOperation, PolicyRule } from './policy-rules.ts';
import { DEFAULT_LOCAL_PREFERENCE } from './policy-rules.ts';

/** Where routes are from, as far as rules ask. */
export interface PolicySource {
  readonly family: Family;
  /** Learnt from a peer; otherwise our own. */
  readonly remote: boolean;
  /** The device that an own route points to. */
  readonly device: string | undefined;
  /** Learnt from a peer of another AS. */
  readonly external: boolean;
}

export type Verdict =
  /** `attributes` are the same object where nothing changes, and the same changed one for equal operations. */
  | { readonly kind: 'accept'; readonly attributes: PathAttributes }
  /** `by` is the name of the rule, or says that none fits. */
  | { readonly kind: 'reject'; readonly by: string };

export type AttributesVerdict =
  | Verdict
  /** The prefix, which must be of the source's family, matters. */
  | { readonly kind: 'byPrefix'; decide(prefix: Cidr): Verdict };

export interface CompiledPolicy {
  /** Equal for policies that do the same by the same rules, whatever their names. */
  readonly key: string;
  /** What becomes of routes with these attributes. */
  judge(attributes: PathAttributes, source: PolicySource): AttributesVerdict;
}

const NO_RULE_FITS: Verdict = { kind: 'reject', by: 'no rule fits' };

/** Sessions share policies, so each is compiled once. */
const compiled = new WeakMap<Policy, CompiledPolicy>();

export function compilePolicy(policy: Policy): CompiledPolicy {
  const known = compiled.get(policy);
  if (known !== undefined) return known;
  let key: string | undefined;
  const families: Partial<Record<Family, FamilyRules>> = {};
  const fresh: CompiledPolicy = {
    get key() {
      key ??= keyOf(policy);
      return key;
    },
    judge(attributes, source) {
      families[source.family] ??= new FamilyRules(policy, source.family);
      return families[source.family]?.judge(attributes, source) ?? NO_RULE_FITS;
    },
  };
  compiled.set(policy, fresh);
  return fresh;
}

/** What becomes of a route that a rule fits. */
type Outcome = Verdict | Change | 'asItIs';

/** Operations that several rules share; what they make of attributes is made once. */
class Change {
  readonly #operations: readonly PolicyOperation[];
  readonly #verdicts = new WeakMap<PathAttributes, Verdict>();

  constructor(operations: readonly PolicyOperation[]) {
    this.#operations = operations;
  }

  verdict(attributes: PathAttributes): Verdict {
    const known = this.#verdicts.get(attributes);
    if (known !== undefined) return known;
    const verdict: Verdict = { kind: 'accept', attributes: applyOperations(attributes, this.#operations) };
    this.#verdicts.set(attributes, verdict);
    return verdict;
  }
}

/** A condition that does not ask about the prefix, and the first rules that are under it. */
interface SharedCondition {
  readonly rule: PolicyRule;
  readonly device: RegExp | undefined;
  /** The first that asks about the prefix, too. */
  byPrefix: number;
  /** The first that does not: with it all is decided. */
  always: number;
}

/** The rules that can fit routes of one family; a rule is a number, and the last one stands for `otherwise`. */
class FamilyRules {
  readonly #conditions: SharedCondition[] = [];
  readonly #index = new PrefixIndex();
  readonly #outcomes: Outcome[] = [];

  constructor({ rules, otherwise }: Policy, family: Family) {
    const conditions = new Map<string, number>();
    const changes = new Map<string, Change>();
    for (const rule of rules) {
      if ((rule.family ?? family) !== family) continue;
      if (rule.prefix !== undefined && familyOf(rule.prefix.cidr) !== family) continue;
      const box = rule.prefix === undefined ? 'always' : boxOf(rule.prefix);
      if (box === 'never') continue;
      const number = this.#outcomes.push(outcomeOf(rule, changes)) - 1;
      const place = this.#conditionOf(rule, conditions);
      const condition = this.#conditions[place];
      assert(condition !== undefined, 'the condition of a rule is listed');
      if (box === 'always') {
        condition.always = Math.min(condition.always, number);
      } else if (number < condition.always) {
        condition.byPrefix = Math.min(condition.byPrefix, number);
        this.#index.add(box, number, place);
      }
    }
    this.#outcomes.push(otherwise === 'accept' ? 'asItIs' : NO_RULE_FITS);
  }

  judge(attributes: PathAttributes, source: PolicySource): AttributesVerdict {
    const asItIs: Verdict = { kind: 'accept', attributes };
    const verdictOf = (rule: number): Verdict => {
      const outcome = this.#outcomes[rule];
      if (outcome === undefined || outcome === 'asItIs') return asItIs;
      return outcome instanceof Change ? outcome.verdict(attributes) : outcome;
    };
    const holds = new Uint8Array(this.#conditions.length);
    let decided = this.#outcomes.length - 1;
    let byPrefix = decided;
    for (const [place, condition] of this.#conditions.entries()) {
      if (!fits(condition, attributes, source)) continue;
      holds[place] = 1;
      decided = Math.min(decided, condition.always);
      byPrefix = Math.min(byPrefix, condition.byPrefix);
    }
    if (byPrefix >= decided) return verdictOf(decided);
    return { kind: 'byPrefix', decide: (prefix) => verdictOf(this.#index.first(prefix, holds, decided)) };
  }

  /** The place of the rule's condition in the list; one for all rules that ask the same. */
  #conditionOf(rule: PolicyRule, places: Map<string, number>): number {
    const key = JSON.stringify(conditionKey(rule));
    const known = places.get(key);
    if (known !== undefined) return known;
    const device = rule.device === undefined ? undefined : globPattern(rule.device);
    const place = this.#conditions.push({ rule, device, byPrefix: Infinity, always: Infinity }) - 1;
    places.set(key, place);
    return place;
  }
}

function outcomeOf({ name, action, operations }: PolicyRule, changes: Map<string, Change>): Outcome {
  if (action === 'reject') return { kind: 'reject', by: name };
  if (operations.length === 0) return 'asItIs';
  const key = JSON.stringify(operations.map(operationKey));
  const change = changes.get(key) ?? new Change(operations);
  changes.set(key, change);
  return change;
}

function fits({ rule, device }: SharedCondition, attributes: PathAttributes, source: PolicySource): boolean {
  const { peerType, community, asPathPrefix, localPreference } = rule;
  if (rule.source !== undefined && (rule.source === 'remote') !== source.remote) return false;
  if (device !== undefined && !(source.device !== undefined && device.test(source.device))) return false;
  if (peerType !== undefined && !(source.remote && (peerType === 'external') === source.external)) return false;
  if (community !== undefined && !hasCommunity(attributes, community)) return false;
  if (asPathPrefix?.some((asn, place) => attributes.asPath[place] !== asn)) return false;
  return localPreference === undefined || localPreference === (attributes.localPreference ?? DEFAULT_LOCAL_PREFERENCE);
}

/** `*` stands for any characters, also for none. */
function globPattern(glob: string): RegExp {
  const pieces = glob.split(/\*+/).map((piece) => piece.replaceAll(/[^A-Za-z0-9_-]/g, '\\$&'));
  return new RegExp(`^${pieces.join('.*')}$`, 's');
}

/** The policy without its names, written in one way only. */
function keyOf({ rules, otherwise }: Policy): string {
  const ruleKeys = rules.map((rule) => {
    const { prefix } = rule;
    return [
      rule.action,
      rule.family ?? null,
      prefix && [formatCidr(prefix.cidr), prefix.operator, prefix.lengthMin ?? null, prefix.lengthMax ?? null],
      conditionKey(rule),
      rule.operations.map(operationKey),
    ];
  });
  return JSON.stringify([otherwise, ruleKeys]);
}

/** The conditions beyond family and prefix, in a fixed order. */
function conditionKey(rule: PolicyRule): unknown {
  const { source, device, peerType, community, asPathPrefix, localPreference } = rule;
  return [source, device, peerType, community && communityKey(community), asPathPrefix, localPreference];
}
