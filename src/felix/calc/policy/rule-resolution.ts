/**
 * Rules as users write them to rules as a packet filter can have them: labels become sets, names numbers.
 *
 * A port with a name is a set of (address, protocol, port): that of whoever the end may be and who calls a port so. A rule
 * that can match no packet is left out; so is one that we could only put in force for more than it says, which
 * for "Allow" would open what nobody asked to open. Each of the latter is said with its reason, never silently.
 *
 * Resolving decides nothing about other resources: sets are named by what they are for (`setIdOf`), and whoever puts
 * the rules in force asks for them.
 */
import type { EntityRule } from '../../../model/entity-rule.ts';
import type { PolicyRule } from '../../../model/policy-rule.ts';
import { portRange, protocolNumber } from '../../../model/protocol.ts';
import type { Selector } from '../../../model/selector.ts';
import { cidr, familyOf } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import type { DesiredRule, IcmpMatch, PortRange, RuleAction, RuleEnd, SetId } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';
import type { SetWish } from '../labels/set-index.ts';
import { setIdOf } from '../labels/set-index.ts';
import { endNotSelector, endSelector } from './rule-selectors.ts';

/** Where a list of rules stands. */
export interface RuleContext {
  /** Of the policy; undefined where it is in none. */
  readonly namespace: string | undefined;
  readonly direction: 'ingress' | 'egress';
  /** Of the rule at an index. */
  readonly provenance: (index: number) => Provenance;
}

/** What resolving gives besides the rules; filled by each call. */
export interface Needs {
  /** The sets that the rules are about. */
  readonly sets: Map<SetId, SetWish>;
  /** "ingress[1] is left out: …", as messages about files name a rule. */
  readonly leftOut: string[];
}

const ACTIONS = { Allow: 'allow', Deny: 'deny', Pass: 'pass', Log: 'log' } as const satisfies Readonly<
  Record<PolicyRule['action'], RuleAction>
>;

const TCP = 6;
const PORT_PROTOCOLS: ReadonlyMap<number, 'tcp' | 'udp' | 'sctp'> = new Map([
  [TCP, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
]);

export function resolveRules(rules: readonly PolicyRule[], context: RuleContext, needs: Needs): DesiredRule[] {
  return rules.flatMap((rule, index) => {
    const reason = refusal(rule);
    if (reason !== undefined) {
      needs.leftOut.push(`${context.direction}[${index}] is left out: ${reason}`);
      return [];
    }
    return resolveRule(rule, context, index, needs) ?? [];
  });
}

/** Why a rule cannot be put in force as it is meant. */
function refusal(rule: PolicyRule): string | undefined {
  if (rule.http !== undefined) {
    return 'it asks for HTTP methods or paths, which a packet filter cannot see, and allowing every request would allow more than it says; remove http to allow the whole connection';
  }
  for (const end of ['source', 'destination'] as const) {
    const service = rule[end].services;
    if (service !== undefined) {
      const title = service.namespace === undefined ? service.name : `${service.namespace}/${service.name}`;
      return `its ${end} is the service ${title}, and no services are known here, so it matches nothing; choose by selector or nets`;
    }
  }
  return undefined;
}

function resolveRule(rule: PolicyRule, context: RuleContext, index: number, needs: Needs): DesiredRule | undefined {
  const family = familyOfRule(rule);
  if (family === 'none') return undefined;
  const stated = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol);
  // A port by name alone is one of TCP, as in Calico; said outright it is the same for every backend.
  const protocol = stated ?? (hasNamedPort(rule.source) || hasNamedPort(rule.destination) ? TCP : undefined);
  const ends = { namespace: context.namespace, protocol, needs };
  return {
    index,
    action: ACTIONS[rule.action],
    family,
    protocol,
    notProtocol: rule.notProtocol === undefined ? undefined : protocolNumber(rule.notProtocol),
    icmp: icmpMatch(rule.icmp),
    notIcmp: icmpMatch(rule.notICMP),
    source: resolveEnd(rule.source, ends),
    destination: resolveEnd(rule.destination, ends),
    provenance: context.provenance(index),
  };
}

/** The family of the packets that a rule can match; its prefixes are of one, which validation has seen to. */
function familyOfRule({ ipVersion, source, destination }: PolicyRule): Family | undefined | 'none' {
  let family: Family | undefined = ipVersion;
  for (const nets of [source.nets, source.notNets, destination.nets, destination.notNets]) {
    for (const net of nets ?? []) {
      if (family !== undefined && familyOf(cidr(net)) !== family) return 'none';
      family = familyOf(cidr(net));
    }
  }
  return family;
}

function hasNamedPort({ ports = [] }: EntityRule): boolean {
  return ports.some((port) => portRange(port) === undefined);
}

interface EndContext {
  readonly namespace: string | undefined;
  readonly protocol: number | undefined;
  readonly needs: Needs;
}

function resolveEnd(end: EntityRule, { namespace, protocol, needs }: EndContext): RuleEnd {
  const need = (wish: SetWish): SetId => {
    const id = setIdOf(wish);
    needs.sets.set(id, wish);
    return id;
  };
  const setOf = (selector: Selector | undefined): SetId[] =>
    selector === undefined ? [] : [need({ kind: 'selector', selector })];
  const selector = endSelector(end, namespace);
  const portSet = (name: string): SetId => {
    // A rule of a protocol without ports has none by name either; one without any protocol means TCP.
    const transport = PORT_PROTOCOLS.get(protocol ?? TCP) ?? 'tcp';
    return need({ kind: 'namedPort', selector: selector ?? { kind: 'all' }, name, protocol: transport });
  };
  const ports = splitPorts(end.ports);
  const notPorts = splitPorts(end.notPorts);
  return {
    nets: (end.nets ?? []).map(cidr),
    notNets: (end.notNets ?? []).map(cidr),
    sets: setOf(selector),
    notSets: setOf(endNotSelector(end)),
    ports: ports.ranges,
    portSets: ports.names.map(portSet),
    notPorts: notPorts.ranges,
    notPortSets: notPorts.names.map(portSet),
  };
}

function splitPorts(ports: EntityRule['ports'] = []): { ranges: PortRange[]; names: string[] } {
  const ranges: PortRange[] = [];
  const names: string[] = [];
  for (const port of ports) {
    const range = portRange(port);
    if (range === undefined) names.push(String(port));
    else ranges.push(range);
  }
  return { ranges, names };
}

function icmpMatch(icmp: PolicyRule['icmp']): IcmpMatch | undefined {
  return icmp?.type === undefined ? undefined : { type: icmp.type, code: icmp.code };
}
