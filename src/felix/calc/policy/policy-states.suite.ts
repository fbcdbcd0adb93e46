/**
 * Policy states in a short language: facts to tell, and what is told of them as lines of text.
 *
 * A set is written as its selector in brackets, `[app == "db"]`, a named port's as `[app == "db" | tcp http]`; texts of expected
 * lines teach the printer which set is which, so that no test knows a hash. Collecting checks each telling, too: nothing is
 * told again that has not changed, no member is added twice, and whatever a rule or endpoint refers to has been told.
 */
import assert from 'node:assert/strict';
import { sameJson } from '../../../lib/json.ts';
import type { AnyResource } from '../../../model/kinds.ts';
import { resourceTitle } from '../../../model/resource.ts';
import { parseSelector } from '../../../model/selector-parser.ts';
import { validateResource } from '../../../model/validate.ts';
import { formatCidr } from '../../../net/cidr.ts';
import { formatIp } from '../../../net/ip.ts';
import type { DesiredEndpoint, DesiredService } from '../../desired/desired.ts';
import type {
  DesiredHostEndpoint,
  DesiredPolicy,
  DesiredProfile,
  DesiredRule,
  EndpointPolicy,
  PortRange,
  RuleEnd,
  SetChange,
} from '../../desired/policy.ts';
import type { Calculation } from '../calculation.ts';
import type { CalculationSettings } from '../calculation-settings.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from '../calculation-settings.ts';
import { setIdOf } from '../labels/set-index.ts';
import { endpointId } from '../local-endpoints.ts';

export type Fact = { readonly resource: AnyResource } | { readonly settings: CalculationSettings };

interface Meta {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}

/** A validated resource; `name` is "NAME" or "NAMESPACE/NAME". */
export function fact(kind: string, name: string, spec: object, meta: Meta = {}, apiVersion?: string): Fact {
  const [last = '', namespace] = name.split('/').toReversed();
  const metadata = { name: last, ...(namespace !== undefined && { namespace }), ...meta };
  const raw = { apiVersion: apiVersion ?? 'projectcalico.org/v3', kind, metadata, spec };
  const validated = validateResource(raw);
  assert.ok(validated.ok, JSON.stringify(validated));
  return { resource: validated.resource };
}

export function tell(calculation: Calculation, told: Fact, present: boolean): void {
  if ('settings' in told) {
    calculation.setSettings(present ? told.settings : CALCULATION_SETTINGS_DEFAULTS);
    return;
  }
  const { resource } = told;
  const { name, namespace = '' } = resource.metadata;
  if (resource.kind === 'WorkloadEndpoint') {
    calculation.updateEndpoint(endpointId(namespace, name), present ? resource : undefined);
  } else if (resource.kind === 'IPPool') calculation.updatePool(name, present ? resource : undefined);
  else if (resource.kind === 'Node') calculation.updateNode(name, present ? resource : undefined);
  else calculation.updatePolicyResource(resourceTitle(resource), present ? resource : undefined);
}

export class Collected {
  readonly #sets = new Map<string, Set<string>>();
  readonly #policies = new Map<string, DesiredPolicy>();
  readonly #profiles = new Map<string, DesiredProfile>();
  readonly #hosts = new Map<string, DesiredHostEndpoint>();
  readonly #endpoints = new Map<string, DesiredEndpoint>();
  readonly #services = new Map<string, DesiredService>();
  readonly #routes = new Map<string, string>();
  #announced: string[] = [];

  take(calculation: Calculation): void {
    const { policy, endpoints, services, routes, announcements } = calculation.takeChanges();
    for (const [id, change] of policy.sets) this.#takeSet(id, change);
    takeAll(this.#policies, policy.policies);
    takeAll(this.#profiles, policy.profiles);
    takeAll(this.#hosts, policy.hostEndpoints);
    takeAll(this.#endpoints, endpoints);
    takeAll(this.#services, services);
    for (const [key, route] of routes) {
      if (route?.target.kind === 'device') this.#routes.set(key, route.target.deviceName);
      else this.#routes.delete(key);
    }
    this.#announced = announcements?.map(({ prefix }) => formatCidr(prefix)) ?? this.#announced;
    this.#checkReferences();
  }

  /** Sorted; `taught` are texts that mention the sets. */
  lines(taught: readonly string[]): string[] {
    const names = setNames(taught);
    const nameOf = (id: string) => names.get(id) ?? id;
    return [
      ...[...this.#sets].map(([id, members]) => `set ${nameOf(id)}: ${[...members].sort().join(' ')}`),
      ...[...this.#policies.values()].flatMap((policy) => policyLines(policy, nameOf)),
      ...[...this.#profiles.values()].flatMap((profile) => rulesLines(`profile ${profile.name}`, profile, nameOf)),
      ...[...this.#hosts.values()].flatMap((host) => [
        hostLine(host),
        ...appliedLines(`host ${host.name}`, host.policy),
      ]),
      ...[...this.#endpoints.values()].flatMap(endpointLines),
      ...[...this.#services.values()].map(serviceLine),
      ...[...this.#routes].filter(([, device]) => device !== 'lo').map(([key, device]) => `route ${key} ${device}`),
      ...this.#announced.map((prefix) => `announce ${prefix}`),
    ].sort();
  }

  #takeSet(id: string, change: SetChange | undefined): void {
    const known = this.#sets.get(id);
    if (change === undefined) {
      assert.ok(known !== undefined, `set ${id} goes and was never told`);
      this.#sets.delete(id);
      return;
    }
    const members = known ?? new Set();
    for (const member of change.removed) assert.ok(members.delete(member), `${member} was not in ${id}`);
    for (const member of change.added) {
      assert.ok(!members.has(member), `${member} is in ${id} already`);
      members.add(member);
    }
    this.#sets.set(id, members);
  }

  #checkReferences(): void {
    const ofRules = [...this.#policies.values(), ...this.#profiles.values()].flatMap((each) => [
      ...each.ingress,
      ...each.egress,
    ]);
    const needed = new Set(ofRules.flatMap(({ source, destination }) => [...setsOf(source), ...setsOf(destination)]));
    for (const id of needed) assert.ok(this.#sets.has(id), `a rule needs set ${id}, which was not told`);
    for (const id of this.#sets.keys()) assert.ok(!id.includes(':') || needed.has(id), `nobody needs set ${id}`);
    const chosen = new Set<string>();
    for (const { policy } of [...this.#endpoints.values(), ...this.#hosts.values()]) {
      for (const id of policy.tiers.flatMap(({ ingress, egress }) => [...ingress, ...egress])) chosen.add(id);
    }
    assert.deepEqual(
      [...chosen].sort(),
      [...this.#policies.keys()].sort(),
      'policies told are those that endpoints have',
    );
  }
}

function takeAll<Value>(known: Map<string, Value>, changes: ReadonlyMap<string, Value | undefined>): void {
  for (const [key, value] of changes) {
    assert.ok(!sameJson(known.get(key), value), `${key} is told again, and has not changed`);
    if (value === undefined) known.delete(key);
    else known.set(key, value);
  }
}

function setsOf({ sets, notSets, portSets, notPortSets }: RuleEnd): string[] {
  return [...sets, ...notSets, ...portSets, ...notPortSets];
}

/** By id: the brackets that the texts have. */
function setNames(texts: readonly string[]): Map<string, string> {
  const brackets = texts.flatMap((text) => text.match(/\[[^\]]*\]/g) ?? []);
  return new Map(
    brackets.map((bracket) => {
      const [text = '', port] = bracket.slice(1, -1).split(' | ');
      const parsed = parseSelector(text);
      assert.ok(parsed.ok, bracket);
      const [protocol, name = ''] = port?.split(' ') ?? [];
      const { selector } = parsed;
      if (protocol === undefined) return [setIdOf({ kind: 'selector', selector }), bracket];
      return [setIdOf({ kind: 'namedPort', selector, name, protocol: protocol as 'tcp' | 'udp' | 'sctp' }), bracket];
    }),
  );
}

type NameOf = (id: string) => string;

function policyLines(policy: DesiredPolicy, nameOf: NameOf): string[] {
  const words = [
    policy.staged && 'staged',
    policy.stage !== 'normal' && policy.stage,
    policy.applyOnForward && 'forward',
  ];
  const title = `policy ${policy.id}`;
  const flags = words.filter((word) => word !== false).map((word) => ` ${word}`);
  return [`${title} for ${policy.selector}${flags.join('')}`, ...rulesLines(title, policy, nameOf)];
}

type Rules = Pick<DesiredProfile, 'ingress' | 'egress'>;

function rulesLines(title: string, { ingress, egress }: Rules, nameOf: NameOf): string[] {
  return [
    ...ingress.map((rule, index) => `${title} in ${index}: ${ruleText(rule, nameOf)}`),
    ...egress.map((rule, index) => `${title} out ${index}: ${ruleText(rule, nameOf)}`),
  ];
}

function ruleText(rule: DesiredRule, nameOf: NameOf): string {
  const { action, family, protocol, notProtocol, icmp, notIcmp, source, destination } = rule;
  const words = [
    action,
    family && `v${family}`,
    protocol && `proto ${protocol}`,
    notProtocol && `not proto ${notProtocol}`,
    icmp && `icmp ${icmp.type}/${icmp.code ?? 'any'}`,
    notIcmp && `not icmp ${notIcmp.type}/${notIcmp.code ?? 'any'}`,
    `from ${endText(source, nameOf)}`,
    `to ${endText(destination, nameOf)}`,
  ];
  return words.filter((word) => word !== undefined).join(' ');
}

function endText(end: RuleEnd, nameOf: NameOf): string {
  const range = ({ first, last }: PortRange) => (first === last ? `:${first}` : `:${first}-${last}`);
  const words = [
    ...end.nets.map(formatCidr),
    ...end.notNets.map((net) => `!${formatCidr(net)}`),
    ...end.sets.map(nameOf),
    ...end.notSets.map((id) => `!${nameOf(id)}`),
    ...end.ports.map(range),
    ...end.portSets.map((id) => `:${nameOf(id)}`),
    ...end.notPorts.map((ports) => `!${range(ports)}`),
    ...end.notPortSets.map((id) => `!:${nameOf(id)}`),
  ];
  return words.join(' ') || 'any';
}

function appliedLines(title: string, { tiers, profiles }: EndpointPolicy): string[] {
  return [
    ...tiers.map(({ name, defaultAction, ingress, egress }, index) => {
      const directions = [ingress.length > 0 && ` in ${ingress.join()}`, egress.length > 0 && ` out ${egress.join()}`];
      return `${title} tier ${index}: ${name} ${defaultAction}${directions.filter((text) => text !== false).join('')}`;
    }),
    `${title} profiles: ${profiles.join()}`,
  ];
}

function hostLine({ name, deviceName, expectedAddresses }: DesiredHostEndpoint): string {
  return `host ${name}: ${[deviceName ?? '-', ...expectedAddresses.map(formatIp)].join(' ')}`;
}

function serviceLine({ address, backends, isHere }: DesiredService): string {
  const to = backends.map((backend) => formatIp(backend.address)).join(' ');
  return `service ${formatIp(address)} ${isHere ? 'here' : 'elsewhere'}: ${to}`;
}

function endpointLines({ id, policy, floatingIps, allowedSources }: DesiredEndpoint): string[] {
  const title = `endpoint ${id}`;
  return [
    ...appliedLines(title, policy),
    ...floatingIps.map(
      ({ external, internal, outgoing }) =>
        `${title} floating: ${formatIp(external)} ${formatIp(internal)}${outgoing ? ' outgoing' : ''}`,
    ),
    ...allowedSources.map((prefix) => `${title} also from: ${formatCidr(prefix)}`),
  ];
}
