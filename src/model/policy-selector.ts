/**
 * Selectors as policies have them: shorter than others, and with rules for global().
 *
 * `global()` chooses what belongs to no namespace. Only the namespaceSelector of a rule's source or destination can ask
 * for that, and only alone: joined with labels it would compare labels of namespaces with things that have none.
 */
import { selectorField } from './fields.ts';
import type { Selector } from './selector.ts';
import { parseSelector } from './selector-parser.ts';

/** Calico's bound for each selector of a policy. */
const LENGTH_MAX = 1024;

/** A selector of endpoints, networks, namespaces or service accounts. */
export function policySelectorField() {
  return selectorOf((selector) =>
    usesGlobal(selector)
      ? 'global() has a meaning only as the namespaceSelector of a source or destination'
      : undefined,
  );
}

/** The namespaceSelector of a rule's source or destination. */
export function peerNamespaceSelectorField() {
  return selectorOf((selector) =>
    selector.kind !== 'global' && usesGlobal(selector)
      ? 'global() must stand alone; write two rules, one with global() and one with the rest'
      : undefined,
  );
}

function selectorOf(problem: (selector: Selector) => string | undefined) {
  return selectorField().superRefine((text, context) => {
    if (text.length > LENGTH_MAX) {
      context.addIssue({ code: 'custom', message: `is ${text.length} characters long; at most ${LENGTH_MAX}` });
    }
    const parsed = parseSelector(text);
    const message = parsed.ok ? problem(parsed.selector) : undefined;
    if (message !== undefined) context.addIssue({ code: 'custom', message: `"${text}": ${message}` });
  });
}

function usesGlobal(selector: Selector): boolean {
  switch (selector.kind) {
    case 'global':
      return true;
    case 'not':
      return usesGlobal(selector.operand);
    case '&&':
    case '||':
      return selector.operands.some(usesGlobal);
    default:
      return false;
  }
}
