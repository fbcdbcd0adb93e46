/**
 * Assertions: what stops the process when our own code is wrong.
 *
 * Three kinds of error exist here. Our bug: an assertion fails and the process ends, since its state can no longer be
 * believed; the supervisor starts it again and the kernel keeps forwarding meanwhile. The world's error (a full disk, a
 * device that vanished) is a typed error that the loop catches and retries. A peer's error is a value. Only the first
 * kind belongs in this file.
 */

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/** Throws AssertionFailed with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** For the `default` of a switch over a closed union: does not compile when a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable case: ${JSON.stringify(value)}`);
}
