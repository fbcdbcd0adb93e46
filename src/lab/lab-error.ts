/**
 * What can go wrong with a lab that is not our bug: a typed error whose code says what the caller can do.
 *
 * The CLI turns the code into an exit code; the message says where, what, and what would be right, and may have
 * several lines. Nothing in this room prints or exits by itself.
 */
export type LabErrorCode =
  /** The topology or an argument is wrong. */
  | 'invalid'
  /** No such lab, host or workload. */
  | 'notFound'
  /** It is there already, or more than one is and none was named. */
  | 'conflict'
  /** An agent does not answer. */
  | 'unreachable'
  /** A condition did not become true in time. */
  | 'timeout'
  /** The caller's AbortSignal. */
  | 'interrupted'
  /** The world said no: the kernel, the CNI plugin, the disk, a missing right. */
  | 'failed';

export class LabError extends Error {
  override readonly name = 'LabError';
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
