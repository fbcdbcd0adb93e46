/**
 * Releasing single addresses on somebody's word, whoever has them.
 *
 * An address that an endpoint uses is kept unless it is forced: its container would go on using it while another one gets it.
 * A wish may say who is meant to have the address and since when, as a report of leaks does; one that has changed hands since is
 * kept. Each address is one transaction. Called by `muslin ipam release`.
 */
import { planReleaseAddress } from '../../ipam/release.ts';
import type { Survey } from '../../ipam/survey.ts';
import { allocationsOf, endpointsByAddress, sinceOf } from '../../ipam/survey.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { Store } from '../../store/store.ts';
import { carryOut, readSurvey } from './address-survey.ts';

/** Each lost attempt is another's success at the same block, within milliseconds. */
const ATTEMPTS_MAX = 20;

export interface ReleaseWish {
  readonly address: Ip;
  /** Who must have it; undefined for whoever does. `since` is RFC 3339, null where nobody wrote it down. */
  readonly holder: { readonly handle: string; readonly since: string | null } | undefined;
}

export type ReleaseOutcome =
  | { readonly kind: 'released'; readonly handle: string }
  | { readonly kind: 'free' }
  /** An endpoint uses it, and nothing was forced. */
  | { readonly kind: 'in-use'; readonly endpoint: string }
  | { readonly kind: 'other-holder'; readonly handle: string }
  /** Others changed the block again and again. */
  | { readonly kind: 'busy' };

/** Releases one address; a dry run only says what would come of it. */
export async function releaseAddress(
  store: Store,
  wish: ReleaseWish,
  options: { readonly force: boolean; readonly dryRun: boolean },
): Promise<ReleaseOutcome> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const survey = await readSurvey(store);
    const text = formatIp(wish.address);
    const allocation = allocationsOf(survey.all('IPAMBlock')).find((each) => each.text === text);
    if (allocation === undefined) return { kind: 'free' };
    const { block, holder } = allocation;
    const kept = reasonToKeep(survey, wish, holder, options.force);
    if (kept !== undefined) return kept;
    const released = { kind: 'released', handle: holder.handleId } as const;
    if (options.dryRun) return released;
    const { plan } = planReleaseAddress(block, survey.handle(holder.handleId), wish.address);
    if (await carryOut(store, survey, plan)) return released;
  }
  return { kind: 'busy' };
}

function reasonToKeep(
  survey: Survey,
  wish: ReleaseWish,
  holder: Parameters<typeof sinceOf>[0],
  force: boolean,
): ReleaseOutcome | undefined {
  const since = sinceOf(holder);
  const sinceText = since === undefined ? null : new Date(since).toISOString();
  const isOther = wish.holder?.handle !== holder.handleId || wish.holder.since !== sinceText;
  if (wish.holder !== undefined && isOther) return { kind: 'other-holder', handle: holder.handleId };
  const [endpoint] = endpointsByAddress(survey).get(formatIp(wish.address)) ?? [];
  if (endpoint === undefined || force) return undefined;
  return { kind: 'in-use', endpoint: `${endpoint.metadata.namespace}/${endpoint.metadata.name}` };
}
