/**
 * Hashes that say what a chain holds, rule by rule.
 *
 * The hash of a rule covers the chain's name, all rules before it, and the rule itself: it is FNV-1a of 64 bits, carried on
 * from rule to rule. So a chain whose rules bear the right hashes in the right number holds the right rules in the right
 * order, and nothing need be asked of nft's own way to print them. It is no protection against someone who writes
 * rules under our hashes, for who can do that can do anything.
 *
 * JavaScript multiplies 32 bits exactly, so the state is two halves; the prime is 2^40 + 0x1b3.
 */
const OFFSET_HIGH = 0xcbf29ce4;
const OFFSET_LOW = 0x84222325;
const PRIME_LOW = 0x1b3;
const TWO_TO_32 = 0x1_0000_0000;
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The hashes of a chain's rules, 11 characters of base64url each; the texts are ASCII. */
export function chainedHashes(chainName: string, ruleTexts: readonly string[]): string[] {
  let state = fnv1a({ high: OFFSET_HIGH, low: OFFSET_LOW }, chainName);
  return ruleTexts.map((text) => {
    // The separator is in no text, so that what ends one rule cannot as well begin the next.
    state = fnv1a(state, `\n${text}`);
    return base64url(state);
  });
}

interface State {
  readonly high: number;
  readonly low: number;
}

function fnv1a(state: State, text: string): State {
  let { high, low } = state;
  for (let index = 0; index < text.length; index++) {
    low = (low ^ text.charCodeAt(index)) >>> 0;
    const product = low * PRIME_LOW; // below 2^41, hence exact
    high = (Math.imul(high, PRIME_LOW) + (low << 8) + Math.floor(product / TWO_TO_32)) >>> 0;
    low = product >>> 0;
  }
  return { high, low };
}

function base64url({ high, low }: State): string {
  let bits = (BigInt(high) << 32n) | BigInt(low);
  let text = '';
  for (let index = 0; index < 11; index++) {
    text = (DIGITS[Number(bits & 63n)] ?? '') + text;
    bits >>= 6n;
  }
  return text;
}
