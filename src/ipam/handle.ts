/**
 * Handles: what was assigned for one purpose, so that it can be released as one.
 *
 * A handle's record counts its addresses by block. It lies under a name made from its id: the id itself where that can
 * name a resource, else with each offending character as x<hex>x. Two ids could then meet in one name ("a_" and "ax5fx");
 * the record keeps the id, so that this is noticed and refused.
 */
import type { IpamHandle } from '../model/ipam-handle.ts';
import { API_VERSION } from '../model/resource.ts';
import { keyOf } from '../model/resource-key.ts';
import type { Failure } from './snapshot.ts';
import { failed } from './snapshot.ts';

/** The longest name of a resource. */
const NAME_LENGTH_MAX = 253;

/** A handle that has no addresses yet. */
export function newHandle(handleId: string): IpamHandle {
  return {
    apiVersion: API_VERSION,
    kind: 'IPAMHandle',
    metadata: { name: handleName(handleId) },
    spec: { handleID: handleId, block: {}, deleted: false },
  };
}

/** Where a handle's record lies in the store. */
export function handleKey(handleId: string): string {
  return keyOf(newHandle(handleId));
}

/** Why the id cannot be that of `handle`, the record that was found or made for it. */
export function handleFailure(handle: IpamHandle, handleId: string): Failure | undefined {
  if (handle.spec.handleID !== handleId) {
    return failed(
      'handle-invalid',
      `handle "${handleId}" clashes with handle "${handle.spec.handleID}"; use another one`,
    );
  }
  const { length } = handle.metadata.name;
  if (length > 0 && length <= NAME_LENGTH_MAX) return undefined;
  return failed(
    'handle-invalid',
    `handle "${handleId}" makes a name of ${length} characters; 1 to ${NAME_LENGTH_MAX} fit`,
  );
}

/** The handle with `difference` more addresses in the block. */
export function withCount(handle: IpamHandle, cidrText: string, difference: number): IpamHandle {
  const { [cidrText]: before = 0, ...others } = handle.spec.block;
  const count = before + difference;
  return { ...handle, spec: { ...handle.spec, block: count > 0 ? { ...others, [cidrText]: count } : others } };
}

function handleName(handleId: string): string {
  const escaped = (character: string) => `x${(character.codePointAt(0) ?? 0).toString(16)}x`;
  // A dot or dash may stand in a name only between letters and digits.
  return handleId.replaceAll(/[^a-z0-9.-]/gu, escaped).replaceAll(/^[.-]|[.-](?=[.-]|$)/g, escaped);
}
