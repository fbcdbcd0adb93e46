/**
 * What a policy and the ends of its rules choose by labels, as one selector over what endpoints and sets carry.
 *
 * Labels of a namespace or service account come to an endpoint with its profiles, under a prefix each; so a
 * namespaceSelector is the same selector over prefixed labels. Two words change their meaning on the way: `all()` of
 * namespaces is "in some namespace", and `global()` is "in none". A policy in a namespace means its own one wherever it
 * chooses by labels at all and names no other.
 *
 * Equal conditions should give equal text, because the text names the set; so joins are flat and have no `all()` in them.
 */
import { assert } from '../../../lib/assert.ts';
import type { EntityRule } from '../../../model/entity-rule.ts';
import type { Selector } from '../../../model/selector.ts';
import { parseSelector } from '../../../model/selector-parser.ts';

/** Given by the system to whatever is in a namespace. */
export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const ORCHESTRATOR_LABEL = 'projectcalico.org/orchestrator';
export const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';

/** Before labels of the namespace. */
export const NAMESPACE_PREFIX = 'pcns.';
/** Before labels of the service account. */
const SERVICE_ACCOUNT_PREFIX = 'pcsa.';

/** The selector of a validated resource. */
function selectorOf(text: string): Selector {
  const parsed = parseSelector(text);
  assert(parsed.ok, `not a selector: ${text}`);
  return parsed.selector;
}

/** What holds where all of these do; undefined where none is given. */
function allOf(selectors: readonly (Selector | undefined)[]): Selector | undefined {
  const given = selectors.filter((selector) => selector !== undefined);
  if (given.length === 0) return undefined;
  const operands = given
    .flatMap((selector) => (selector.kind === '&&' ? selector.operands : [selector]))
    .filter(({ kind }) => kind !== 'all');
  const [first] = operands;
  if (first === undefined) return { kind: 'all' };
  return operands.length === 1 ? first : { kind: '&&', operands };
}

/** A selector of namespaces (service accounts) as one of what belongs to them; what does has the label `present`. */
function ofParent(selector: Selector, prefix: string, present: string): Selector {
  switch (selector.kind) {
    case 'all':
      return { kind: 'has', label: present };
    case 'global':
      return { kind: 'not', operand: { kind: 'has', label: present } };
    case 'not':
      return { kind: 'not', operand: ofParent(selector.operand, prefix, present) };
    case '&&':
    case '||':
      return { ...selector, operands: selector.operands.map((operand) => ofParent(operand, prefix, present)) };
    default:
      return { ...selector, label: `${prefix}${selector.label}` };
  }
}

/** An absent field, and an empty one, ask nothing. */
function given(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

function ofNamespaces(text: string): Selector {
  return ofParent(selectorOf(text), NAMESPACE_PREFIX, NAMESPACE_LABEL);
}

function ofServiceAccounts(text: string): Selector {
  return ofParent(selectorOf(text), SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNT_LABEL);
}

function inNamespace(namespace: string): Selector {
  return { kind: '==', label: NAMESPACE_LABEL, value: namespace };
}

/** The selectors of a policy, of whatever kind. */
interface PolicySelectors {
  readonly selector: string;
  readonly namespaceSelector?: string;
  readonly serviceAccountSelector?: string;
}

/** Whom a policy is for. */
export function policySelector(spec: PolicySelectors, namespace: string | undefined): Selector {
  const chosen = allOf([
    namespace === undefined ? undefined : inNamespace(namespace),
    given(spec.namespaceSelector) ? ofNamespaces(spec.namespaceSelector) : undefined,
    given(spec.serviceAccountSelector) ? ofServiceAccounts(spec.serviceAccountSelector) : undefined,
    selectorOf(spec.selector),
  ]);
  return chosen ?? { kind: 'all' };
}

/** Whom one end of a rule must be, as far as it asks for labels; undefined where it does not. */
export function endSelector(end: EntityRule, namespace: string | undefined): Selector | undefined {
  const { names = [], selector: accounts } = end.serviceAccounts ?? {};
  const chosen = [
    names.length === 0 ? undefined : oneOf(SERVICE_ACCOUNT_LABEL, names),
    given(accounts) ? ofServiceAccounts(accounts) : undefined,
    given(end.selector) ? selectorOf(end.selector) : undefined,
  ];
  if (given(end.namespaceSelector)) return allOf([ofNamespaces(end.namespaceSelector), ...chosen]);
  const asks = given(end.notSelector) || chosen.some((selector) => selector !== undefined);
  const own = asks && namespace !== undefined ? inNamespace(namespace) : undefined;
  return allOf([own, ...chosen]);
}

/** Whom one end of a rule must not be. */
export function endNotSelector(end: EntityRule): Selector | undefined {
  return given(end.notSelector) ? selectorOf(end.notSelector) : undefined;
}

function oneOf(label: string, values: readonly string[]): Selector {
  return { kind: 'in', label, values: [...new Set(values)].sort() };
}
