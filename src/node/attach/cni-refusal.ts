/**
 * How what goes wrong while a container is attached or detached becomes an error that its runtime understands.
 *
 * What may be otherwise in a moment is "try again later" (CNI's code 11), which runtimes do; all else is for the user who reads
 * it. Our own bugs are no answer: they are thrown on. Codes: CNI SPEC 1.1.0, "Error".
 */
import { CNI_ERROR, type CniError, type CniErrorCode } from '../../cni/cni-error.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { StoreError } from '../../store/store.ts';
import { AllocationError } from '../addresses/address-allocator.ts';

/** A refusal on its way to the runtime. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: CniErrorCode;
  /** For programs: "attached" (this very attachment is there already), "exists" (its interface is, of somebody else). */
  readonly details: string;

  constructor(code: CniErrorCode, message: string, details = '') {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Throws what is no error of the world's. */
export function cniErrorOf(error: unknown): CniError {
  if (error instanceof Refusal) return { code: error.code, message: error.message, details: error.details };
  if (error instanceof KernelError) return { code: CNI_ERROR.other, message: error.message, details: error.code };
  if (error instanceof StoreError)
    return { code: CNI_ERROR.tryAgainLater, message: error.message, details: error.code };
  if (error instanceof AllocationError) {
    const code = error.code === 'busy' ? CNI_ERROR.tryAgainLater : CNI_ERROR.other;
    return { code, message: error.message, details: error.code };
  }
  throw error;
}

/** Whether it is the store that is away, full or busy: then what was asked for can be done later, without the caller. */
export function isStoreTrouble(error: unknown): boolean {
  return error instanceof StoreError || (error instanceof AllocationError && error.code === 'busy');
}
