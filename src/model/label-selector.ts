/**
 * Kubernetes' way to choose by labels: values that must be there, and expressions that must all hold.
 *
 * An empty one chooses everything; an absent one has a meaning of its own in each place. In and NotIn need values,
 * Exists and DoesNotExist take none; the negative ones hold where the label is absent.
 */
import { z } from 'zod';
import { mapping } from './fields.ts';
import { labelNameProblem, labelsField, labelValueProblem } from './metadata.ts';

const labelNameField = checkedText(labelNameProblem);
const labelValueField = checkedText(labelValueProblem);

function checkedText(problem: (text: string) => string | undefined) {
  return z.string().superRefine((text, context) => {
    const message = problem(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
}

const expression = mapping({
  key: labelNameField,
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: z.array(labelValueField).readonly().exactOptional(),
}).superRefine(({ operator, values = [] }, context) => {
  const needed = operator === 'In' || operator === 'NotIn';
  if (needed === values.length > 0) return;
  const message = needed
    ? `is required: ${operator} needs one value at least`
    : `must be left out: ${operator} takes none`;
  context.addIssue({ code: 'custom', path: ['values'], message });
});

const labelSelector = mapping({
  matchLabels: labelsField().exactOptional(),
  matchExpressions: z.array(expression).readonly().exactOptional(),
}).readonly();

export type LabelSelector = Readonly<z.infer<typeof labelSelector>>;

export function labelSelectorField() {
  return labelSelector;
}

/** As kubectl prints it: `app=web,tier in (a,b),!old`; `<none>` for the empty one, which chooses everything. */
export function formatLabelSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const parts = [
    ...Object.entries(matchLabels).map(([name, value]) => `${name}=${value}`),
    ...matchExpressions.map(({ key, operator, values = [] }) => {
      if (operator === 'Exists') return key;
      if (operator === 'DoesNotExist') return `!${key}`;
      return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
    }),
  ];
  return parts.length === 0 ? '<none>' : parts.join(',');
}
