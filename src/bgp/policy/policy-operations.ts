/**
 * What a policy changes on the routes that it accepts.
 *
 * Operations apply in their order. A community is added once, behind those that are there, whose order is the sender's and
 * means nothing; numbers are put before a path as they are written, so that the first becomes the nearest AS. Where
 * nothing changes the same object comes back, so that routes which shared their attributes go on sharing them.
 */
import type { LargeCommunity, PathAttributes } from '../wire/attributes.ts';
import type { Community, PolicyOperation } from './policy-rules.ts';

/** The attributes after all operations. */
export function applyOperations(attributes: PathAttributes, operations: readonly PolicyOperation[]): PathAttributes {
  return operations.reduce(applyOperation, attributes);
}

export function hasCommunity(attributes: PathAttributes, community: Community): boolean {
  switch (community.kind) {
    case 'standard':
      return attributes.communities.includes(community.value);
    case 'extended':
      return attributes.extendedCommunities.some(([high, low]) => high === community.high && low === community.low);
    case 'large':
      return attributes.largeCommunities.some((value) => sameLarge(value, community.value));
  }
}

/** Equal for equal operations, as a value for JSON. */
export function operationKey(operation: PolicyOperation): unknown {
  switch (operation.kind) {
    case 'addCommunity':
    case 'removeCommunity':
      return [operation.kind, communityKey(operation.community)];
    case 'prependAsPath':
      return [operation.kind, operation.asns];
    case 'setLocalPreference':
    case 'setMed':
      return [operation.kind, operation.value];
  }
}

/** Equal for equal communities, as a value for JSON. */
export function communityKey(community: Community): unknown {
  return community.kind === 'extended'
    ? [community.kind, community.high, community.low]
    : [community.kind, community.value];
}

function applyOperation(attributes: PathAttributes, operation: PolicyOperation): PathAttributes {
  switch (operation.kind) {
    case 'addCommunity':
      return hasCommunity(attributes, operation.community)
        ? attributes
        : withCommunity(attributes, operation.community);
    case 'removeCommunity':
      return hasCommunity(attributes, operation.community)
        ? withoutCommunity(attributes, operation.community)
        : attributes;
    case 'prependAsPath':
      return operation.asns.length === 0
        ? attributes
        : { ...attributes, asPath: [...operation.asns, ...attributes.asPath] };
    case 'setLocalPreference':
      return attributes.localPreference === operation.value
        ? attributes
        : { ...attributes, localPreference: operation.value };
    case 'setMed':
      return attributes.med === operation.value ? attributes : { ...attributes, med: operation.value };
  }
}

function withCommunity(attributes: PathAttributes, community: Community): PathAttributes {
  switch (community.kind) {
    case 'standard':
      return { ...attributes, communities: [...attributes.communities, community.value] };
    case 'extended': {
      const added = [community.high, community.low] as const;
      return { ...attributes, extendedCommunities: [...attributes.extendedCommunities, added] };
    }
    case 'large':
      return { ...attributes, largeCommunities: [...attributes.largeCommunities, community.value] };
  }
}

function withoutCommunity(attributes: PathAttributes, community: Community): PathAttributes {
  switch (community.kind) {
    case 'standard':
      return { ...attributes, communities: attributes.communities.filter((value) => value !== community.value) };
    case 'extended': {
      const { high, low } = community;
      const kept = attributes.extendedCommunities.filter((value) => value[0] !== high || value[1] !== low);
      return { ...attributes, extendedCommunities: kept };
    }
    case 'large': {
      const kept = attributes.largeCommunities.filter((value) => !sameLarge(value, community.value));
      return { ...attributes, largeCommunities: kept };
    }
  }
}

function sameLarge(a: LargeCommunity, b: LargeCommunity): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}
