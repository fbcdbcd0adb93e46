/**
 * Fields that BGPConfiguration, BGPPeer and BGPFilter share: communities, passwords, route priorities.
 *
 * A standard community is two halves of 16 bits (RFC 1997), a large one three parts of 32 bits (RFC 8092). A password is never
 * in a resource itself: the resource names the secret that holds it. A route priority is the kernel's metric, where
 * the lesser wins; BGP carries it as 2147483647 minus the priority in LOCAL_PREF, hence the bounds.
 */
import { z } from 'zod';
import { mapping } from './fields.ts';

/** Whether the text is a community, `aa:nn` or `aa:nn:mm`. */
export function isCommunity(text: string): boolean {
  const parts = text.split(':');
  const limit = parts.length === 2 ? 0xffff : 0xffffffff;
  return (
    (parts.length === 2 || parts.length === 3) &&
    parts.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= limit)
  );
}

/** A community by its value. */
export function communityField() {
  return z.string().refine(isCommunity, 'must be aa:nn (each up to 65535) or aa:nn:mm (each up to 4294967295)');
}

/** The secret, and the entry in it, that holds a TCP MD5 password (RFC 2385). */
export function passwordField() {
  return mapping({
    secretKeyRef: mapping({ name: z.string(), key: z.string(), optional: z.boolean().exactOptional() }),
  });
}

export function routePriorityField() {
  return z.int().min(1).max(2_147_483_646);
}
