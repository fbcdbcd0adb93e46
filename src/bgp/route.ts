/**
 * A route: a prefix, the attributes it came with, and where it came from.
 *
 * Routes are never changed; a new UPDATE makes a new one. Attribute sets are shared by identity: two routes of one session
 * with the same attributes hold the same object, which the tables use to tell at once that nothing changed.
 */
import type { Asn, RouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { PathAttributes } from './attributes.ts';

export type RouteSource =
  | { readonly kind: 'local' }
  | {
      readonly kind: 'peer';
      readonly address: Ip;
      /** Learnt by eBGP. */
      readonly external: boolean;
      readonly routerId: RouterId;
      /** Our own end of the session. */
      readonly localAddress: Ip | undefined;
    };

export interface Route {
  readonly prefix: Cidr;
  /** `prefixKey` of the prefix. */
  readonly key: string;
  readonly attributes: PathAttributes;
  readonly source: RouteSource;
}

/** Who we are, as far as it matters for judging routes. */
export interface Self {
  /** Undefined, like the identifier, before we are configured. */
  readonly asn: Asn | undefined;
  readonly routerId: RouterId | undefined;
  /** Addresses of ours: a route through one of them would loop. */
  readonly addresses: readonly Ip[];
}

/** LOCAL_PREF of a route that came without one, and of our own (RFC 4271 leaves it open; everybody uses 100). */
export const DEFAULT_LOCAL_PREFERENCE = 100;
