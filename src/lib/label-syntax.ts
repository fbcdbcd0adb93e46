/**
 * What a label may be called and what it may say: Kubernetes' rules.
 *
 * Labels come in documents and in runtimes' calls, and selectors match them wherever they came from, so both are held to
 * the same rules here. The callers have their own words for what is wrong. Called by model/metadata.ts and cni/fields.ts.
 */

/** Also of annotations. */
const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** For messages. */
export const LABEL_NAME_RULE =
  'at most 63 letters, digits, "-", "_" and ".", with or without a DNS name and "/" before them';

/** For messages. */
export const LABEL_VALUE_RULE = 'at most 63 letters, digits, "-", "_" and ".", a letter or digit at each end';

export function isLabelName(text: string): boolean {
  return QUALIFIED_NAME.test(text);
}

export function isLabelValue(text: string): boolean {
  return LABEL_VALUE.test(text);
}
