/**
 * Floating addresses: which outside address leads to which container.
 *
 * A container has those of its resource (`ipNATs`) and of its annotation, each in front of its own address of the same
 * family. An outside address leads to one container only: where several claim it, the one whose own address is the
 * lowest as text has it (as in Calico), wherever in the network they are, so that all hosts agree and only one of them
 * announces it. A container may have many.
 *
 * Told of endpoints of all hosts; those without floating addresses, nearly all, cost a look.
 */
import {
  FLOATING_IP_ANNOUNCE_ANNOTATION,
  FLOATING_IP_OUTGOING_ANNOTATION,
  FLOATING_IPS_ANNOTATION,
} from '../../../model/metadata.ts';
import type { WorkloadEndpoint } from '../../../model/workload-endpoint.ts';
import { cidr } from '../../../net/cidr.ts';
import { formatIp, ip, parseIp } from '../../../net/ip.ts';
import type { FloatingIp } from '../../desired/policy.ts';
import { textsOfJson } from './annotation-json.ts';
import { compareText } from './policy-source.ts';

/** A container's claim to outside addresses. */
interface Claim {
  readonly floatingIps: readonly FloatingIp[];
  readonly announce: boolean;
}

/** The outside addresses that lead to one container. */
export interface FloatingIps {
  readonly floatingIps: readonly FloatingIp[];
  /** Whether they are announced though no exported pool has them. */
  readonly announce: boolean;
}

export const NO_FLOATING_IPS: FloatingIps = { floatingIps: [], announce: false };

export class FloatingIpClaims {
  readonly #claims = new Map<string, Claim>();
  /** By outside address in text: who claims it. */
  readonly #claimants = new Map<string, Set<string>>();

  /** Takes an endpoint's claims in the place of those before; says whose floating addresses may differ now. */
  update(id: string, endpoint: WorkloadEndpoint | undefined): Set<string> {
    const before = this.#claims.get(id);
    const claim = endpoint === undefined ? undefined : claimOf(endpoint);
    const concerned = new Set<string>();
    if (before === undefined && claim === undefined) return concerned;
    for (const { external } of before?.floatingIps ?? []) {
      const claimants = this.#claimants.get(formatIp(external));
      for (const claimant of claimants ?? []) concerned.add(claimant);
      claimants?.delete(id);
      if (claimants?.size === 0) this.#claimants.delete(formatIp(external));
    }
    if (claim === undefined) this.#claims.delete(id);
    else this.#claims.set(id, claim);
    for (const { external } of claim?.floatingIps ?? []) {
      const claimants = this.#claimants.get(formatIp(external)) ?? new Set();
      this.#claimants.set(formatIp(external), claimants.add(id));
      for (const claimant of claimants) concerned.add(claimant);
    }
    return concerned;
  }

  /** Endpoints that claim anything. */
  claimants(): IterableIterator<string> {
    return this.#claims.keys();
  }

  /** What an endpoint has of what it claims. */
  of(id: string): FloatingIps {
    const claim = this.#claims.get(id);
    if (claim === undefined) return NO_FLOATING_IPS;
    const { floatingIps, announce } = claim;
    return { floatingIps: floatingIps.filter((floating) => this.#winner(floating) === id), announce };
  }

  /** The endpoint that an outside address leads to; between equal addresses of containers the lower name decides. */
  #winner({ external }: FloatingIp): string | undefined {
    const text = formatIp(external);
    const rivals = [...(this.#claimants.get(text) ?? [])].map((id) => {
      const internal = this.#claims.get(id)?.floatingIps.find((floating) => formatIp(floating.external) === text);
      return { id, internal: internal === undefined ? '' : formatIp(internal.internal) };
    });
    return rivals.toSorted((a, b) => compareText(a.internal, b.internal) || compareText(a.id, b.id))[0]?.id;
  }
}

/** What an endpoint claims; undefined where that is nothing. */
function claimOf({ metadata, spec }: WorkloadEndpoint): Claim | undefined {
  const { annotations = {} } = metadata;
  const annotated = textsOfJson(annotations[FLOATING_IPS_ANNOTATION]);
  if (annotated.length === 0 && (spec.ipNATs ?? []).length === 0) return undefined;
  const outgoing = annotations[FLOATING_IP_OUTGOING_ANNOTATION] === 'true';
  const own = spec.ipNetworks.map((network) => cidr(network).address);
  const stated = (spec.ipNATs ?? []).map(({ internalIP, externalIP }) => ({
    external: ip(externalIP),
    internal: ip(internalIP),
    outgoing,
  }));
  const found = annotated.flatMap((text) => {
    // Calico writes plain addresses here, and some of its tools the same with a length.
    const external = parseIp(text.replace(/\/(32|128)$/, ''));
    const internal = own.find(({ family }) => family === external?.family);
    return external === undefined || internal === undefined ? [] : [{ external, internal, outgoing }];
  });
  const floatingIps = onePerExternal([...stated, ...found]);
  if (floatingIps.length === 0) return undefined;
  return { floatingIps, announce: annotations[FLOATING_IP_ANNOUNCE_ANNOTATION] === 'true' };
}

/** Sorted by outside address; of several ways to one the lowest, by the same rule as between endpoints. */
function onePerExternal(floatingIps: readonly FloatingIp[]): FloatingIp[] {
  const sorted = floatingIps.toSorted(
    (a, b) =>
      compareText(formatIp(a.external), formatIp(b.external)) ||
      compareText(formatIp(a.internal), formatIp(b.internal)),
  );
  return sorted.filter(
    ({ external }, index) => index === 0 || formatIp(external) !== formatIp((sorted[index - 1] as FloatingIp).external), // there is one before
  );
}
