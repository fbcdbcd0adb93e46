/**
 * CNI's versions and errors: the words in which the agent answers a runtime.
 *
 * An error is a JSON object on stdout and an exit code other than 0. Its codes are the specification's (CNI SPEC 1.1.0,
 * "Error"; runtimes act on 3 and 11), libcni's 8, and its 999 for whatever has no code. A message says where, what, and
 * what would be right, since it is all that a user of podman or kubectl gets to see.
 */

/** Oldest first. A configuration without a version is of the first, which is what the specification made it mean. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type CniVersion = (typeof CNI_VERSIONS)[number];

export const NEWEST_CNI_VERSION: CniVersion = '1.1.0';

export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfiguration: 7,
  /** The namespace is the one that the network's own ends are in (libcni's code, not in the specification). */
  invalidNamespace: 8,
  tryAgainLater: 11,
  /** STATUS: no container can be added now. */
  notAvailable: 50,
  other: 999,
} as const;

export type CniErrorCode = (typeof CNI_ERROR)[keyof typeof CNI_ERROR];

export interface CniError {
  readonly code: CniErrorCode;
  readonly message: string;
  /** What a developer wants to know beyond the message; may be empty. */
  readonly details: string;
}

/** The version that `text` names, if it is one that we speak; no text at all names the oldest. */
export function parseCniVersion(text: unknown): CniVersion | undefined {
  return text === undefined || text === '' ? CNI_VERSIONS[0] : CNI_VERSIONS.find((version) => version === text);
}

/** Whether `version` is `oldest` or newer. */
export function isAtLeast(version: CniVersion, oldest: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(oldest);
}

/** The error as it goes to stdout, in one line. */
export function encodeError(version: CniVersion, error: CniError): string {
  const { code, message, details } = error;
  return `${JSON.stringify({ cniVersion: version, code, msg: message, details })}\n`;
}

/** The answer to VERSION, which names the newest version, whatever the caller's is. */
export function encodeVersions(): string {
  return `${JSON.stringify({ cniVersion: NEWEST_CNI_VERSION, supportedVersions: CNI_VERSIONS })}\n`;
}
