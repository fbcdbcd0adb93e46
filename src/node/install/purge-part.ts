/**
 * What a purge is made of: parts, each of which can say what there is of ours and take it away.
 *
 * The plan lists all parts; carrying it out has each part remove what it finds, in the order of the parts; the proof lists all parts
 * again. So plan and proof cannot disagree about what is ours, and a purge that was interrupted is just run again.
 */

/** Something of ours on this host. */
export interface OwnedObject {
  /** "device", "route", "nft table" …, for people and scripts. */
  readonly kind: string;
  readonly name: string;
  /** What becomes of it, or what it is for. */
  readonly detail: string;
}

export interface PurgePart {
  /** What there is of ours now. */
  list(): OwnedObject[] | Promise<OwnedObject[]>;
  /** Throws InstallError where it must not be begun; asked of all parts before the first removes anything. */
  check?(): void;
  /** Removes that. Throws KernelError, StoreError or InstallError. */
  remove(): void | Promise<void>;
  /** What is not removed and yet should be known, in sentences; asked after `list`. */
  notes?(): readonly string[];
  close?(): void;
}
