/**
 * What a selector cannot do without: labels that whatever it chooses must have.
 *
 * Of `app == "web" && tier in {"a", "b"}` an index may look at items with that app alone, or with one of those tiers alone:
 * each is a requirement, and fulfilling one is necessary, never sufficient. A requirement is a list of alternatives, so
 * that `||` has one, too. Negation is carried down to the labels: `!(a != "x" || !has(b))` requires a == "x", and has(b).
 * What holds for an item without labels requires nothing, and such a selector has to be asked about every item.
 */
import type { Selector } from '../../../model/selector.ts';

/** An item has the label, with this value; undefined: with any. */
export interface Alternative {
  readonly label: string;
  readonly value: string | undefined;
}

/** One of the alternatives holds for each item that the selector chooses. Without alternatives it chooses none. */
export type Requirement = readonly Alternative[];

const NEVER: Requirement = [];

/** The labels that the selector asks for; what happens to others does not concern it. */
export function labelsAskedFor(selector: Selector): ReadonlySet<string> {
  switch (selector.kind) {
    case 'all':
    case 'global':
      return new Set();
    case 'not':
      return labelsAskedFor(selector.operand);
    case '&&':
    case '||':
      return new Set(selector.operands.flatMap((operand) => [...labelsAskedFor(operand)]));
    default:
      return new Set([selector.label]);
  }
}

/** All requirements that the selector's text shows, in its order; none where it may choose something without labels. */
export function requirementsOf(selector: Selector): readonly Requirement[] {
  return requirements(selector, false);
}

function requirements(selector: Selector, negated: boolean): readonly Requirement[] {
  switch (selector.kind) {
    case 'all':
    case 'global':
      return negated ? [NEVER] : [];
    case 'not':
      return requirements(selector.operand, !negated);
    case '&&':
    case '||': {
      const operands = selector.operands.map((operand) => requirements(operand, negated));
      return (selector.kind === '&&') === negated ? ofOneOf(operands) : operands.flat();
    }
    case '!=':
    case '==':
      return (selector.kind === '!=') === negated ? [[{ label: selector.label, value: selector.value }]] : [];
    case 'not in':
    case 'in': {
      const { label, values } = selector;
      return (selector.kind === 'not in') === negated ? [values.map((value) => ({ label, value }))] : [];
    }
    default:
      return negated ? [] : [[{ label: selector.label, value: undefined }]];
  }
}

/** One requirement of each operand, together; all ways to choose would be too many, so that it is the narrowest of each. */
function ofOneOf(operands: readonly (readonly Requirement[])[]): readonly Requirement[] {
  const together: Alternative[] = [];
  for (const operand of operands) {
    const [first, ...others] = operand;
    if (first === undefined) return [];
    together.push(...others.reduce((best, other) => (breadth(other) < breadth(best) ? other : best), first));
  }
  return [together];
}

/** A label with any value counts as more than values that somebody has written down one by one. */
const BREADTH_OF_PRESENCE = 1000;

function breadth(requirement: Requirement): number {
  return requirement.reduce((sum, { value }) => sum + (value === undefined ? BREADTH_OF_PRESENCE : 1), 0);
}
