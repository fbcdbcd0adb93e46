/**
 * Bytes in hexadecimal for tests: as they stand in an RFC or in a capture.
 *
 * Blanks are for the reader. Lengths are counted by hand in the rows themselves, so that a wrong length in the codec cannot
 * hide behind the same mistake in the test.
 */

/** The bytes of "ff 00 1a". */
export function hex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}

/** A marker in hexadecimal. */
export const MARKER = 'ff'.repeat(16);
