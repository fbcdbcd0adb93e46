/**
 * Translation of addresses that stand for several containers.
 *
 *   cali-fip-dnat ── destination is a service's ──► cali-svc-ADDRESS ── in turn ──► its containers
 *
 * Of n containers the first takes every n-th connection, the second every (n-1)-th of what is left, and so on, which is as
 * many for each. Only a connection's first packet comes here; the others go where connection tracking has sent that one. A host
 * that has none of the containers translates only what its own containers send: all else must go on as it is, for the
 * answer would not come back this way.
 */
import { hostPrefix } from '../../../net/cidr.ts';
import { formatIp, type Ip } from '../../../net/ip.ts';
import type { DesiredService, ServiceBackend } from '../../desired/desired.ts';
import { serviceChainName } from './chain-names.ts';
import type { Chain, End, Match, Rule } from './program.ts';
import { goto, innerChain, rule, workloadDevice } from './rules.ts';

/** For cali-fip-dnat: what leads to the chains below. */
export function serviceJumps(services: readonly DesiredService[]): Rule[] {
  return services.map(({ address, isHere }) =>
    rule([...(isHere ? [] : [workloadDevice('in')]), hostMatch('destination', address)], jumpTo(address), 'A service'),
  );
}

/** A chain for each service. */
export function serviceChains(services: readonly DesiredService[]): Chain[] {
  return services.map(({ address, backends }) =>
    innerChain(
      'nat',
      serviceChainName(formatIp(address)),
      backends.map((backend, index) => backendRule(backend, backends.length - index)),
    ),
  );
}

/** For cali-fip-snat: a container that is sent to itself must see an answer come back from where it asked. */
export function serviceHairpins(services: readonly DesiredService[]): Rule[] {
  return services
    .filter(({ isHere }) => isHere)
    .flatMap(({ address, backends }) =>
      backends.map((backend): Rule => {
        const matches = [hostMatch('source', backend.address), hostMatch('destination', backend.address)];
        const action = { kind: 'snat', to: address, ports: undefined } as const;
        return { ...rule(matches, action, 'To itself, as from outside'), provenance: backend.provenance };
      }),
    );
}

/** `left` counts the container itself, and those after it. */
function backendRule({ address, provenance }: ServiceBackend, left: number): Rule {
  const turn: readonly Match[] = left === 1 ? [] : [{ kind: 'turn', oneIn: left }];
  return { ...rule(turn, { kind: 'dnat', to: address }, 'To one of its containers'), provenance };
}

function jumpTo(address: Ip) {
  return goto(serviceChainName(formatIp(address)));
}

function hostMatch(end: End, host: Ip): Match {
  return { kind: 'nets', end, family: host.family, prefixes: [hostPrefix(host)], is: true };
}
