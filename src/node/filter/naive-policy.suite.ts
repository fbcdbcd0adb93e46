/**
 * What policy means, read from the resources alone, as slowly and plainly as it can be said.
 *
 * Nothing here is shared with the calculation but the meaning of a selector (model/selector.ts): no sets, no indexes, no
 * chains. Each sentence of the reference is a function. Whoever changes one of the two, this or the real thing, is shown by
 * policy-differential.test.ts where they disagree.
 *
 * A container is asked once for each direction, a device of a host at each hook that a packet passes there.
 */
import type { FilterSettings } from '../../felix/desired/filter-settings.ts';
import type { EntityRule } from '../../model/entity-rule.ts';
import type { HostEndpoint } from '../../model/host-endpoint.ts';
import type { AnyResource, KindName } from '../../model/kinds.ts';
import type { KubernetesNetworkPolicy } from '../../model/kubernetes-network-policy.ts';
import type { LabelSelector } from '../../model/label-selector.ts';
import type { PolicyRule } from '../../model/policy-rule.ts';
import type { Labels, Selector } from '../../model/selector.ts';
import { matches } from '../../model/selector.ts';
import { parseSelector } from '../../model/selector-parser.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, containsIp, familyOf, hostPrefix } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { ip } from '../../net/ip.ts';

/** The first packet of a connection. Ports are for TCP, UDP and SCTP. */
export interface Flow {
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

export interface Judgement {
  readonly allowed: boolean;
  /** Who decided, for people. */
  readonly why: string;
}

type Direction = 'ingress' | 'egress';
type Of<Kind extends KindName> = Extract<AnyResource, { readonly kind: Kind }>;
type CalicoPolicy = Of<'NetworkPolicy' | 'GlobalNetworkPolicy'>;

/** A device of a host that is no container's. */
export interface HostPort {
  readonly node: string;
  readonly name: string;
  readonly addresses: readonly string[];
}

/** The ports that stay open, of FelixConfiguration. */
type Failsafe = Pick<FilterSettings, 'failsafeInbound' | 'failsafeOutbound'>;

/** At which point of its way a packet is: containers know "normal" alone. */
type Stage = 'untracked' | 'preDNAT' | 'normal' | 'forward';

/** Whose policies are asked for, by the labels of whom it is. */
interface Asked {
  readonly labels: Labels;
  readonly direction: Direction;
  readonly stage: Stage;
}

/** What a selector can choose: a container, a device of a host, a set of networks. */
interface Thing {
  readonly isPod: boolean;
  readonly labels: Labels;
  readonly nets: readonly Cidr[];
  readonly ports: readonly { readonly name?: string; readonly protocol: number | string; readonly port: number }[];
}

const NAMESPACE = 'projectcalico.org/namespace';
const NUMBERS: Readonly<Record<string, number>> = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132, UDPLite: 136 };
const TIERS = { 'kube-admin': [1e3, 'Pass'], default: [1e6, 'Deny'], 'kube-baseline': [1e7, 'Pass'] } as const;
const EVERYTHING: PolicyRule = { action: 'Allow', source: {}, destination: {} };

export class NaivePolicy {
  readonly #resources: readonly AnyResource[];
  readonly #things: readonly Thing[];
  readonly #failsafe: Failsafe;

  constructor(resources: readonly AnyResource[], failsafe: Failsafe = { failsafeInbound: [], failsafeOutbound: [] }) {
    this.#resources = resources;
    this.#failsafe = failsafe;
    this.#things = resources.flatMap((resource) => this.#thing(resource) ?? []);
  }

  /** Whether the container may send this (egress), or may be sent it (ingress). */
  judge(endpoint: WorkloadEndpoint, direction: Direction, flow: Flow): Judgement {
    const asked = { labels: this.#labelsOf(endpoint), direction, stage: 'normal' } as const;
    return this.#judgeByTiers(asked, flow) ?? this.#judgeByProfiles(profilesOf(endpoint), direction, flow);
  }

  /** Whether a packet that comes in by the device (ingress) or goes out by it (egress) may pass. */
  judgeAtDevice(
    { node, name, addresses }: HostPort,
    direction: Direction,
    isForwarded: boolean,
    flow: Flow,
  ): Judgement {
    const endpoint = this.#hostEndpointAt(node, name, addresses);
    if (endpoint === undefined) return { allowed: true, why: `${node} has no host endpoint for ${name}` };
    const { labels = {} } = endpoint.metadata;
    const asked = { labels: this.#withInherited(labels, endpoint.spec.profiles), direction };
    // "Failsafe ports on every HEP": for what is the host's own, whatever policy says. Of what is sent on they are let
    // through where nobody knows yet that it will be.
    const failsafe = this.#isFailsafe(direction, flow);
    if (failsafe && !isForwarded) return { allowed: true, why: 'a failsafe port' };
    // "Untracked (raw), preDNAT (mangle PREROUTING), normal (filter), forward (applyOnForward)." What is sent on has been in
    // raw and mangle PREROUTING when it came; what goes out by another device is not asked there again.
    if ((direction === 'ingress' || !isForwarded) && !failsafe) {
      const early =
        this.#judgeByTiers({ ...asked, stage: 'untracked' }, flow) ??
        this.#judgeByTiers({ ...asked, stage: 'preDNAT' }, flow);
      if (early !== undefined) return early;
    }
    if (isForwarded) {
      // "Forwarded traffic is allowed unless an applyOnForward policy applies."
      const forwarded = this.#judgeByTiers({ ...asked, stage: 'forward' }, flow);
      return forwarded ?? { allowed: true, why: 'no policy on what is forwarded' };
    }
    // "No applicable policy and no profile: default drop for local traffic."
    return (
      this.#judgeByTiers({ ...asked, stage: 'normal' }, flow) ??
      this.#judgeByProfiles(endpoint.spec.profiles, direction, flow)
    );
  }

  #isFailsafe(direction: Direction, flow: Flow): boolean {
    const ports = direction === 'ingress' ? this.#failsafe.failsafeInbound : this.#failsafe.failsafeOutbound;
    const other = direction === 'ingress' ? flow.source : flow.destination;
    return ports.some(
      ({ protocol, port, net }) =>
        numberOf(protocol.toUpperCase()) === flow.protocol &&
        port === flow.destinationPort &&
        (net === undefined || containsIp(net, other)),
    );
  }

  /** By name, else by address, else "*"; among equals the first by name. */
  #hostEndpointAt(node: string, device: string, addresses: readonly string[]): HostEndpoint | undefined {
    const here = this.#all('HostEndpoint')
      .filter(({ spec }) => spec.node === node)
      .sort((a, b) => compare(a.metadata.name, b.metadata.name));
    return (
      here.find(({ spec }) => spec.interfaceName === device) ??
      here.find(
        ({ spec }) => spec.interfaceName === undefined && spec.expectedIPs.some((each) => addresses.includes(each)),
      ) ??
      here.find(({ spec }) => spec.interfaceName === '*')
    );
  }

  /** Undefined where no tier has decided. */
  #judgeByTiers(asked: Asked, flow: Flow): Judgement | undefined {
    for (const tier of this.#tiers()) {
      const policies = this.#policiesFor(asked, tier.name);
      // "If no tier applies in that direction: profiles only."
      if (policies.length === 0) continue;
      const decision = this.#firstDecision(policies, asked.direction, flow);
      if (decision?.action === 'Allow') return { allowed: true, why: decision.why };
      if (decision?.action === 'Deny') return { allowed: false, why: decision.why };
      if (decision?.action === 'Pass') continue;
      // "Untracked, preDNAT: no end-of-tier deny, no profiles."
      if (asked.stage === 'untracked' || asked.stage === 'preDNAT') continue;
      // "If at least one policy in the tier applies and nothing matched: the tier's defaultAction."
      if (tier.defaultAction === 'Deny') return { allowed: false, why: `the end of tier ${tier.name}` };
    }
    return undefined;
  }

  /** "After the last tier: profiles; then drop." A profile that does not exist drops. */
  #judgeByProfiles(profiles: readonly string[], direction: Direction, flow: Flow): Judgement {
    for (const name of profiles) {
      const rules = this.#profile(name)?.[direction];
      if (rules === undefined) return { allowed: false, why: `profile ${name}, which is not there` };
      for (const rule of rules) {
        if (rule.action === 'Log' || !this.#ruleMatches(rule, undefined, flow)) continue;
        if (rule.action === 'Pass') break;
        return { allowed: rule.action === 'Allow', why: `profile ${name}` };
      }
    }
    return { allowed: false, why: 'no profile matched' };
  }

  /** "Tiers by (order, name)"; no order is after all orders. */
  #tiers(): { name: string; order: number; defaultAction: 'Deny' | 'Pass' }[] {
    const stored = this.#all('Tier').map(({ metadata, spec }) => ({
      name: metadata.name,
      order: spec.order ?? Number.POSITIVE_INFINITY,
      defaultAction: spec.defaultAction,
    }));
    const builtIn = Object.entries(TIERS).map(([name, [order, defaultAction]]) => ({ name, order, defaultAction }));
    const tiers = [...stored, ...builtIn.filter(({ name }) => stored.every((tier) => tier.name !== name))];
    return tiers.sort((a, b) => compare(a.order, b.order) || compare(a.name, b.name));
  }

  /** Those in force that choose the endpoint and have a say in the direction, "by (order, name)". Staged ones are not in force. */
  #policiesFor({ labels, direction, stage }: Asked, tier: string): (CalicoPolicy | KubernetesNetworkPolicy)[] {
    const type = direction === 'ingress' ? 'Ingress' : 'Egress';
    const calico = [...this.#all('NetworkPolicy'), ...this.#all('GlobalNetworkPolicy')]
      .filter((policy) => policy.spec.tier === tier && policy.spec.types.includes(type) && isAskedAt(stage, policy))
      .filter((policy) => this.#chooses(policy, labels));
    // "NetworkPolicy → order 1000, tier default".
    const kubernetes = this.#all('KubernetesNetworkPolicy')
      .filter(({ spec }) => tier === 'default' && stage === 'normal' && spec.policyTypes.includes(type))
      .filter(({ metadata }) => metadata.namespace === labels[NAMESPACE])
      .filter(({ spec }) => labelsMatch(spec.podSelector, labels));
    const orderOf = (policy: CalicoPolicy | KubernetesNetworkPolicy): number =>
      policy.kind === 'KubernetesNetworkPolicy' ? 1000 : (policy.spec.order ?? Number.POSITIVE_INFINITY);
    return [...calico, ...kubernetes].sort(
      (a, b) =>
        compare(orderOf(a), orderOf(b)) ||
        compare(a.metadata.name, b.metadata.name) ||
        compare(a.metadata.namespace ?? '', b.metadata.namespace ?? '') ||
        compare(a.kind, b.kind),
    );
  }

  #chooses(policy: CalicoPolicy, labels: Labels): boolean {
    const { metadata, spec } = policy;
    if (policy.kind === 'NetworkPolicy' && metadata.namespace !== labels[NAMESPACE]) return false;
    if (policy.kind === 'GlobalNetworkPolicy' && !namespaceMatches(policy.spec.namespaceSelector ?? '', labels))
      return false;
    const accounts = spec.serviceAccountSelector ?? '';
    if (accounts !== '' && !parentMatches(accounts, labels, 'pcsa.', 'projectcalico.org/serviceaccount')) return false;
    return selects(spec.selector, labels);
  }

  /** "First Allow/Deny wins; Pass jumps to the next tier; Log continues." */
  #firstDecision(
    policies: readonly (CalicoPolicy | KubernetesNetworkPolicy)[],
    direction: Direction,
    flow: Flow,
  ): { action: 'Allow' | 'Deny' | 'Pass'; why: string } | undefined {
    for (const policy of policies) {
      const { kind, metadata } = policy;
      const why = `${kind} ${metadata.namespace ?? ''}/${metadata.name} ${direction}`;
      if (policy.kind === 'KubernetesNetworkPolicy') {
        if (this.#kubernetesAllows(policy, direction, flow)) return { action: 'Allow', why };
        continue;
      }
      for (const [index, rule] of policy.spec[direction].entries()) {
        if (rule.action === 'Log' || !this.#ruleMatches(rule, metadata.namespace, flow)) continue;
        return { action: rule.action, why: `${why} rule ${index}` };
      }
    }
    return undefined;
  }

  #ruleMatches(rule: PolicyRule, namespace: string | undefined, flow: Flow): boolean {
    const { family } = flow.source;
    if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
    if (rule.protocol !== undefined && numberOf(rule.protocol) !== flow.protocol) return false;
    if (rule.notProtocol !== undefined && numberOf(rule.notProtocol) === flow.protocol) return false;
    if (rule.icmp?.type !== undefined && !icmpIs(rule.icmp, flow)) return false;
    if (rule.notICMP?.type !== undefined && icmpIs(rule.notICMP, flow)) return false;
    // A rule with prefixes is for packets of their family.
    const { source, destination } = rule;
    const nets = [source, destination].flatMap((end) => [...(end.nets ?? []), ...(end.notNets ?? [])]);
    if (nets.some((net) => familyOf(cidr(net)) !== family)) return false;
    const namedPort = [source, destination].some(({ ports = [] }) => ports.some(isName));
    // "numeric ports need a protocol"; a name without one means TCP.
    if (namedPort && rule.protocol === undefined && flow.protocol !== 6) return false;
    const protocol = rule.protocol === undefined ? 6 : numberOf(rule.protocol);
    return (
      this.#endMatches(source, namespace, flow.source, { protocol, port: flow.sourcePort }, flow) &&
      this.#endMatches(destination, namespace, flow.destination, { protocol, port: flow.destinationPort }, flow)
    );
  }

  #endMatches(
    end: EntityRule,
    namespace: string | undefined,
    address: Ip,
    { protocol, port }: { readonly protocol: number; readonly port: number | undefined },
    flow: Flow,
  ): boolean {
    const isIn = (net: string): boolean => containsIp(cidr(net), address);
    if (end.nets !== undefined && end.nets.length > 0 && !end.nets.some(isIn)) return false;
    if (end.notNets?.some(isIn)) return false;
    const here = this.#thingsAt(address);
    if (!here.some((thing) => chosenByEnd(end, namespace, thing)) && asksForLabels(end, namespace)) return false;
    const notSelector = end.notSelector ?? '';
    if (notSelector !== '' && here.some((thing) => selects(notSelector, thing.labels))) return false;
    const isPort = (wanted: number | string): boolean => {
      if (port === undefined) return false;
      if (!isName(wanted)) {
        const [first, last = first] = String(wanted).split(':').map(Number);
        return first! <= port && port <= last!;
      }
      // A named port is the port that the endpoint with this address calls so.
      return here.some(
        (thing) =>
          chosenByEnd(end, namespace, thing) &&
          thing.ports.some(
            (named) =>
              named.name === wanted &&
              numberOf(named.protocol) === protocol &&
              flow.protocol === protocol &&
              named.port === port,
          ),
      );
    };
    if (end.ports !== undefined && end.ports.length > 0 && !end.ports.some(isPort)) return false;
    return !end.notPorts?.some(isPort);
  }

  /** Kubernetes' words: a rule allows what comes from one of its peers to one of its ports; an absent list is "any". */
  #kubernetesAllows({ metadata, spec }: KubernetesNetworkPolicy, direction: Direction, flow: Flow): boolean {
    const rules =
      direction === 'ingress'
        ? spec.ingress.map(({ from, ports }) => ({ peers: from, ports }))
        : spec.egress.map(({ to, ports }) => ({ peers: to, ports }));
    const peer = direction === 'ingress' ? flow.source : flow.destination;
    return rules.some(({ peers, ports }) => {
      const peerMatches = peers.some(({ podSelector, namespaceSelector, ipBlock }) => {
        if (ipBlock !== undefined) {
          return containsIp(cidr(ipBlock.cidr), peer) && !ipBlock.except.some((hole) => containsIp(cidr(hole), peer));
        }
        return this.#thingsAt(peer).some(({ isPod, labels }) => {
          if (!isPod || !labelsMatch(podSelector ?? {}, labels)) return false;
          if (namespaceSelector === undefined) return labels[NAMESPACE] === metadata.namespace;
          return labelsMatch(namespaceSelector, unprefixed(labels, 'pcns.'));
        });
      });
      const portMatches = ports.some(({ protocol, port, endPort }) => {
        if (NUMBERS[protocol] !== flow.protocol) return false;
        if (port === undefined) return true;
        if (typeof port === 'number') {
          return port <= flow.destinationPort! && flow.destinationPort! <= (endPort ?? port);
        }
        return this.#thingsAt(flow.destination).some((thing) =>
          thing.ports.some(
            (named) =>
              named.name === port && numberOf(named.protocol) === flow.protocol && named.port === flow.destinationPort,
          ),
        );
      });
      return (peers.length === 0 || peerMatches) && (ports.length === 0 || portMatches);
    });
  }

  #thingsAt(address: Ip): Thing[] {
    return this.#things.filter(({ nets }) => nets.some((net) => containsIp(net, address)));
  }

  #thing(resource: AnyResource): Thing | undefined {
    switch (resource.kind) {
      case 'WorkloadEndpoint': {
        const { ipNetworks, ports = [] } = resource.spec;
        return { isPod: true, labels: this.#labelsOf(resource), nets: ipNetworks.map(cidr), ports };
      }
      case 'HostEndpoint': {
        const { expectedIPs, ports, profiles } = resource.spec;
        const labels = this.#withInherited(resource.metadata.labels ?? {}, profiles);
        return { isPod: false, labels, nets: expectedIPs.map((text) => hostPrefix(ip(text))), ports };
      }
      case 'NetworkSet': {
        const { namespace = 'default' } = resource.metadata;
        const own = { ...resource.metadata.labels, [NAMESPACE]: namespace };
        const labels = this.#withInherited(own, [`kns.${namespace}`]);
        return { isPod: false, labels, nets: resource.spec.nets.map(cidr), ports: [] };
      }
      case 'GlobalNetworkSet':
        return {
          isPod: false,
          labels: resource.metadata.labels ?? {},
          nets: resource.spec.nets.map(cidr),
          ports: [],
        };
      default:
        return undefined;
    }
  }

  #labelsOf(endpoint: WorkloadEndpoint): Labels {
    const { metadata, spec } = endpoint;
    const own: Record<string, string> = { ...metadata.labels, [NAMESPACE]: metadata.namespace ?? 'default' };
    if (spec.serviceAccountName) own['projectcalico.org/serviceaccount'] = spec.serviceAccountName;
    own['projectcalico.org/orchestrator'] = spec.orchestrator || 'cni';
    return this.#withInherited(own, profilesOf(endpoint));
  }

  /** Labels of profiles are inherited; own ones win, then those of the first profile. */
  #withInherited(own: Labels, profiles: readonly string[]): Labels {
    const inherited = [...profiles].reverse().map((name) => this.#profile(name)?.labels ?? {});
    return Object.assign({}, ...inherited, own) as Labels;
  }

  /** "Namespace → profile kns.NAMESPACE (allow, allow; labels pcns.KEY and projectcalico.org/name)"; a stored one holds instead. */
  #profile(
    name: string,
  ): { ingress: readonly PolicyRule[]; egress: readonly PolicyRule[]; labels: Labels } | undefined {
    const stored = this.#all('Profile').find(({ metadata }) => metadata.name === name);
    if (stored !== undefined) return { ...stored.spec, labels: stored.spec.labelsToApply };
    const open = { ingress: [EVERYTHING], egress: [EVERYTHING] };
    if (name === 'projectcalico-default-allow') return { ...open, labels: {} };
    if (!name.startsWith('kns.')) return undefined;
    const namespace = name.slice('kns.'.length);
    const resource = this.#all('Namespace').find(({ metadata }) => metadata.name === namespace);
    const named = { 'projectcalico.org/name': namespace, 'kubernetes.io/metadata.name': namespace };
    const labels = Object.entries({ ...resource?.metadata.labels, ...named });
    return { ...open, labels: Object.fromEntries(labels.map(([label, value]) => [`pcns.${label}`, value])) };
  }

  #all<Kind extends KindName>(kind: Kind): Of<Kind>[] {
    return this.#resources.filter((resource): resource is Of<Kind> => resource.kind === kind);
  }
}

function isAskedAt(stage: Stage, policy: CalicoPolicy): boolean {
  if (policy.kind === 'NetworkPolicy') return stage === 'normal';
  const { doNotTrack, preDNAT, applyOnForward } = policy.spec;
  if (doNotTrack || preDNAT) return stage === (doNotTrack ? 'untracked' : 'preDNAT');
  return stage === 'normal' || (stage === 'forward' && applyOnForward);
}

/** A container that names no profiles has that of its namespace. */
function profilesOf({ metadata, spec }: WorkloadEndpoint): readonly string[] {
  return spec.profiles ?? [`kns.${metadata.namespace ?? 'default'}`];
}

/** Whether a rule's end chooses by labels at all. */
function asksForLabels(
  { selector, notSelector, namespaceSelector, serviceAccounts }: EntityRule,
  namespace: string | undefined,
): boolean {
  const { names = [], selector: accounts } = serviceAccounts ?? {};
  const positive = [selector, namespaceSelector, accounts].some((text) => (text ?? '') !== '') || names.length > 0;
  // In a namespace, what is not chosen by notSelector is still of that namespace.
  return positive || ((notSelector ?? '') !== '' && namespace !== undefined);
}

/** Whether the end's labels choose the thing; an end that asks for no labels chooses everything. */
function chosenByEnd(end: EntityRule, namespace: string | undefined, { labels }: Thing): boolean {
  if (!asksForLabels(end, namespace)) return true;
  const { names = [], selector: accounts = '' } = end.serviceAccounts ?? {};
  const namespaces = end.namespaceSelector ?? '';
  // "A selector in a rule that has no namespaceSelector beside it chooses among its own namespace only."
  if (namespaces === '' && namespace !== undefined && labels[NAMESPACE] !== namespace) return false;
  if (!namespaceMatches(namespaces, labels)) return false;
  const account = labels['projectcalico.org/serviceaccount'];
  if (names.length > 0 && (account === undefined || !names.includes(account))) return false;
  if (accounts !== '' && !parentMatches(accounts, labels, 'pcsa.', 'projectcalico.org/serviceaccount')) return false;
  return selects(end.selector ?? '', labels);
}

function namespaceMatches(text: string, labels: Labels): boolean {
  return text === '' || parentMatches(text, labels, 'pcns.', NAMESPACE);
}

/** A selector of namespaces or service accounts: `all()` is "in one", `global()` "in none". */
function parentMatches(text: string, labels: Labels, prefix: string, present: string): boolean {
  const isThere = Object.hasOwn(labels, present);
  const replaced = (selector: Selector): Selector => {
    const yes: Selector = { kind: 'all' };
    if (selector.kind === 'all') return isThere ? yes : { kind: 'not', operand: yes };
    if (selector.kind === 'global') return isThere ? { kind: 'not', operand: yes } : yes;
    if (selector.kind === 'not') return { kind: 'not', operand: replaced(selector.operand) };
    if (selector.kind === '&&' || selector.kind === '||') {
      return { kind: selector.kind, operands: selector.operands.map(replaced) };
    }
    return selector;
  };
  return matches(replaced(parsed(text)), unprefixed(labels, prefix));
}

function unprefixed(labels: Labels, prefix: string): Labels {
  const own = Object.entries(labels).filter(([label]) => label.startsWith(prefix));
  return Object.fromEntries(own.map(([label, value]) => [label.slice(prefix.length), value]));
}

function selects(text: string, labels: Labels): boolean {
  return matches(parsed(text), labels);
}

const selectors = new Map<string, Selector>();

function parsed(text: string): Selector {
  let selector = selectors.get(text);
  if (selector === undefined) {
    const parse = parseSelector(text);
    if (!parse.ok) throw new Error(`not a selector: ${text}`);
    selector = parse.selector;
    selectors.set(text, selector);
  }
  return selector;
}

function labelsMatch({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  const equal = Object.entries(matchLabels).every(([label, value]) => labels[label] === value);
  return (
    equal &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const isOneOf = value !== undefined && values.includes(value);
      return operator === 'In' ? isOneOf : !isOneOf;
    })
  );
}

function icmpIs({ type, code }: { readonly type?: number; readonly code?: number }, flow: Flow): boolean {
  return flow.icmpType === type && (code === undefined || flow.icmpCode === code);
}

function isName(port: number | string): boolean {
  return typeof port === 'string' && !/^\d/.test(port);
}

function numberOf(protocol: number | string): number {
  return typeof protocol === 'number' ? protocol : NUMBERS[protocol]!;
}

function compare<Value extends number | string>(a: Value, b: Value): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
