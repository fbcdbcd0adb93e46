/**
 * From what should be in force to the packet filter's program, kept up to date change by change.
 *
 *   device's endpoint ─► cali-fw-, cali-tw- ──jump─► groups ─► policies, profiles ──name─► parts of sets
 *   host endpoints, host devices ─► cali-fh-, … ──┘
 *   settings ─► hooks, failsafe, NAT ──name──► sets that are always there
 *
 * The program is a function of the inputs' state; what an input changes is noted and made anew when somebody asks. What
 * depends on what is written down in the `#users…`: an endpoint's chains on the shape of its policies (who has a say,
 * where) and on which profiles exist, not on their rules; a policy's chains on its rules and on which parts its sets
 * have, not on members. So a change costs what it changes: a member is a member, a rule is one policy's chains, a new
 * policy is the chains of its endpoints.
 *
 * Endpoints and policies may be told in any order. `node/filter/packet-filter.ts` tells, takes the changes, and gives
 * them to a backend.
 */
import { assert } from '../../../lib/assert.ts';
import { setOrDelete } from '../../../lib/set-or-delete.ts';
import type { DesiredEndpoint, DesiredService } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import type {
  DesiredHostEndpoint,
  DesiredPolicy,
  DesiredProfile,
  DesiredRule,
  EndpointPolicy,
  PolicyChanges,
  PolicyId,
  SetId,
} from '../../desired/policy.ts';
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, VXLAN_HOSTS } from '../../desired/policy.ts';
import type { PolicyDirection } from './chain-names.ts';
import { fromWorkloadChainName, policyChainName, profileChainName, toWorkloadChainName } from './chain-names.ts';
import { DeviceClaims } from './device-claims.ts';
import { DispatchMaps } from './dispatch-maps.ts';
import type { EndpointContext } from './endpoint-chains.ts';
import { endpointChain } from './endpoint-chains.ts';
import type { HostDevice, HostDeviceHolders } from './host-devices.ts';
import { holdersOfDevices } from './host-devices.ts';
import { hostEndpointChains } from './host-endpoint-chains.ts';
import { natChains } from './nat-chains.ts';
import type { PolicyChainContext } from './policy-chains.ts';
import { policyChain, profileChain } from './policy-chains.ts';
import { PolicyGroups } from './policy-groups.ts';
import type { Chain, ChainKey, Dialect, FilterProgram, ProgramChanges, Refusal, TableName } from './program.ts';
import { ProgramChains } from './program-chains.ts';
import { sameValue } from './same-value.ts';
import { SetParts } from './set-parts.ts';
import { allowedSourcesChain, staticChains } from './static-chains.ts';
import { Users } from './users.ts';

const DIRECTIONS: readonly PolicyDirection[] = ['ingress', 'egress'];
/** Tables in which policies are. */
const POLICY_TABLES: readonly TableName[] = ['raw', 'mangle', 'filter'];
/** Sets that chains name which are nobody's policy. */
const FIXED_SETS: ReadonlySet<SetId> = new Set([MASQUERADED_POOLS, ALL_POOLS, ALL_HOSTS, VXLAN_HOSTS]);

/** What a chain is made of that others jump to. */
type Source =
  | { readonly kind: 'policy'; readonly policy: DesiredPolicy }
  | { readonly kind: 'profile'; readonly profile: DesiredProfile };

interface Recipe {
  readonly source: Source;
  readonly direction: PolicyDirection;
}

/** What is made anew at once. */
type Unit = 'static' | 'nat' | 'allowed sources' | 'host endpoints' | `device ${string}`;

export class FilterBuilder {
  #settings: FilterSettings;
  #dialect: Dialect;
  #hostDevices: readonly HostDevice[] = [];
  readonly #claims = new DeviceClaims();
  readonly #hostEndpoints = new Map<string, DesiredHostEndpoint>();
  #holders: HostDeviceHolders = holdersOfDevices([], []);
  readonly #policies = new Map<PolicyId, DesiredPolicy>();
  readonly #profiles = new Map<string, DesiredProfile>();
  /** By name of a chain, how to make it where something jumps to it. */
  readonly #recipes = new Map<string, Recipe>();
  readonly #groups = new PolicyGroups();
  readonly #sets: SetParts;
  readonly #chains = new ProgramChains();
  readonly #maps = new DispatchMaps();
  readonly #usersOfPolicies = new Users<PolicyId, Unit>();
  readonly #usersOfProfiles = new Users<string, Unit>();
  /** Names of policies' and profiles' chains. */
  readonly #usersOfSets = new Users<SetId, string>();
  readonly #dirty = new Set<Unit>(['static', 'nat', 'allowed sources', 'host endpoints']);
  /** Names of chains that others jump to, to be made anew where they are there. */
  readonly #dirtyNames = new Set<string>();
  /** By device, the few containers that have floating addresses, and those that have prefixes to send from. */
  readonly #floating = new Map<string, DesiredEndpoint>();
  readonly #allowing = new Map<string, DesiredEndpoint>();
  /** By address in text. */
  readonly #services = new Map<string, DesiredService>();

  constructor(dialect: Dialect, settings: FilterSettings) {
    this.#dialect = dialect;
    this.#settings = settings;
    this.#sets = new SetParts(dialect);
  }

  /** As it is now; brought up to date by each asking. */
  get program(): FilterProgram {
    this.#settle();
    return { chains: this.#chains.chains, maps: this.#maps.maps, sets: this.#sets.sets };
  }

  takeChanges(): ProgramChanges {
    this.#settle();
    return {
      chains: this.#chains.takeChanges(),
      maps: this.#maps.takeChanges(),
      sets: this.#sets.takeChanges(),
    };
  }

  /** Endpoints of containers by device, then those of the host. */
  refusals(): readonly Refusal[] {
    this.#settle();
    return [...this.#claims.refusals(), ...this.#holders.refusals];
  }

  setDialect(dialect: Dialect): void {
    if (sameValue(dialect, this.#dialect)) return;
    this.#dialect = dialect;
    this.#sets.setDialect(dialect);
    this.#dirtyAll();
  }

  setSettings(settings: FilterSettings): void {
    if (sameValue(settings, this.#settings)) return;
    this.#settings = settings;
    this.#dirtyAll();
  }

  setHostDevices(devices: readonly HostDevice[]): void {
    if (sameValue(devices, this.#hostDevices)) return;
    this.#hostDevices = devices;
    this.#dirty.add('host endpoints');
  }

  updateEndpoints(changes: ReadonlyMap<string, DesiredEndpoint | undefined>): void {
    for (const [id, endpoint] of changes) {
      for (const deviceName of this.#claims.update(id, endpoint)) this.#dirty.add(`device ${deviceName}`);
    }
  }

  updateServices(changes: ReadonlyMap<string, DesiredService | undefined>): void {
    for (const [address, service] of changes) setOrDelete(this.#services, address, service);
    if (changes.size > 0) this.#dirty.add('nat');
  }

  updatePolicy({ sets, policies, profiles, hostEndpoints }: PolicyChanges): void {
    for (const [id, change] of sets) {
      if (!this.#sets.update(id, change)) continue;
      for (const name of this.#usersOfSets.of(id)) this.#dirtyNames.add(name);
      if (FIXED_SETS.has(id)) for (const unit of ['static', 'nat'] as const) this.#dirty.add(unit);
    }
    for (const [id, policy] of policies) this.#setPolicy(id, policy);
    for (const [name, profile] of profiles) this.#setProfile(name, profile);
    for (const [name, endpoint] of hostEndpoints) {
      if (endpoint === undefined) this.#hostEndpoints.delete(name);
      else this.#hostEndpoints.set(name, endpoint);
      this.#dirty.add('host endpoints');
    }
  }

  #setPolicy(id: PolicyId, policy: DesiredPolicy | undefined): void {
    const before = this.#policies.get(id);
    const shapeChanges = !sameValue(before && shapeOf(before), policy && shapeOf(policy));
    if (shapeChanges) for (const unit of this.#usersOfPolicies.of(id)) this.#dirty.add(unit);
    if (policy === undefined) this.#policies.delete(id);
    else this.#policies.set(id, policy);
    this.#setSource(before && { kind: 'policy', policy: before }, policy && { kind: 'policy', policy });
  }

  #setProfile(name: string, profile: DesiredProfile | undefined): void {
    const before = this.#profiles.get(name);
    const comesOrGoes = (before === undefined) !== (profile === undefined);
    if (comesOrGoes) for (const unit of this.#usersOfProfiles.of(name)) this.#dirty.add(unit);
    if (profile === undefined) this.#profiles.delete(name);
    else this.#profiles.set(name, profile);
    this.#setSource(before && { kind: 'profile', profile: before }, profile && { kind: 'profile', profile });
  }

  #setSource(before: Source | undefined, source: Source | undefined): void {
    for (const { name } of chainsOf(before)) {
      this.#recipes.delete(name);
      this.#usersOfSets.setUsed(name, []);
    }
    if (source === undefined) return;
    for (const { name, direction } of chainsOf(source)) {
      this.#recipes.set(name, { source, direction });
      this.#usersOfSets.setUsed(name, setsOf(source, direction));
      this.#dirtyNames.add(name);
    }
  }

  #dirtyAll(): void {
    for (const unit of ['static', 'nat', 'allowed sources', 'host endpoints'] as const) this.#dirty.add(unit);
    for (const deviceName of this.#claims.devices()) this.#dirty.add(`device ${deviceName}`);
    for (const name of [...this.#recipes.keys(), ...this.#groups.names()]) this.#dirtyNames.add(name);
  }

  #settle(): void {
    // Devices come first: what they hold decides whether these others have changed.
    for (const unit of this.#dirty) if (unit.startsWith('device ')) this.#makeDevice(unit.slice('device '.length));
    for (const unit of this.#dirty) this.#make(unit);
    this.#dirty.clear();
    for (const name of this.#dirtyNames) this.#remake(name);
    this.#dirtyNames.clear();
    for (const name of this.#chains.settle((key) => this.#derive(key))) this.#forgetGroup(name);
  }

  #make(unit: Unit): void {
    if (unit === 'static') this.#chains.replaceOwned(unit, staticChains(this.#settings, this.#sets));
    else if (unit === 'nat') {
      this.#chains.replaceOwned(
        unit,
        natChains(this.#settings, inOrder(this.#floating), this.#services.values(), this.#sets),
      );
    } else if (unit === 'allowed sources') {
      this.#chains.replaceOwned(unit, [allowedSourcesChain(this.#settings, inOrder(this.#allowing))]);
    } else if (unit === 'host endpoints') this.#makeHostEndpoints(unit);
  }

  #makeDevice(deviceName: string): void {
    const unit: Unit = `device ${deviceName}`;
    const endpoint = this.#claims.holder(deviceName);
    this.#keepWith(this.#floating, 'nat', deviceName, endpoint?.floatingIps.length === 0 ? undefined : endpoint);
    const allowing = endpoint?.allowedSources.length === 0 ? undefined : endpoint;
    this.#keepWith(this.#allowing, 'allowed sources', deviceName, allowing);
    const [fromName, toName] = [fromWorkloadChainName(deviceName), toWorkloadChainName(deviceName)];
    this.#maps.set('cali-from-wl', deviceName, endpoint === undefined ? undefined : fromName);
    this.#maps.set('cali-to-wl', deviceName, endpoint === undefined ? undefined : toName);
    if (endpoint === undefined) {
      this.#setUsed(unit, []);
      this.#chains.replaceOwned(unit, []);
      return;
    }
    const { policy, provenance } = endpoint;
    this.#setUsed(unit, [policy]);
    const common = { table: 'filter', policy, provenance, context: this.#endpointContext() } as const;
    this.#chains.replaceOwned(unit, [
      endpointChain({ ...common, name: fromName, kind: 'from-workload' }),
      endpointChain({ ...common, name: toName, kind: 'to-workload' }),
    ]);
  }

  /** Keeps the endpoint among those that `unit` is made of; undefined: it is none of them. */
  #keepWith(
    kept: Map<string, DesiredEndpoint>,
    unit: Unit,
    deviceName: string,
    endpoint: DesiredEndpoint | undefined,
  ): void {
    if (!kept.has(deviceName) && endpoint === undefined) return;
    if (endpoint === undefined) kept.delete(deviceName);
    else kept.set(deviceName, endpoint);
    this.#dirty.add(unit);
  }

  #makeHostEndpoints(unit: Unit): void {
    this.#holders = holdersOfDevices(this.#hostEndpoints.values(), this.#hostDevices);
    const policies = [...this.#hostEndpoints.values()].map(({ policy }) => policy);
    this.#setUsed(unit, policies);
    const context = this.#endpointContext();
    const chains = hostEndpointChains(this.#holders, context.policyOf, ({ table, name, kind, endpoint }) =>
      endpointChain({ table, name, kind, policy: endpoint.policy, context, provenance: endpoint.provenance }),
    );
    this.#chains.replaceOwned(unit, chains);
  }

  #endpointContext(): EndpointContext {
    return {
      settings: this.#settings,
      policyOf: (id) => this.#policies.get(id),
      hasProfile: (name) => this.#profiles.has(name),
      groupChain: (members, direction) => this.#groups.chainFor(members, direction),
    };
  }

  /** Of which endpoints' policy the unit's chains are made. */
  #setUsed(unit: Unit, policies: readonly EndpointPolicy[]): void {
    const tiers = policies.flatMap((policy) => policy.tiers);
    this.#usersOfPolicies.setUsed(
      unit,
      tiers.flatMap(({ ingress, egress }) => [...ingress, ...egress]),
    );
    this.#usersOfProfiles.setUsed(
      unit,
      policies.flatMap(({ profiles }) => profiles),
    );
  }

  /** Where it is there. */
  #remake(name: string): void {
    for (const table of POLICY_TABLES) {
      const chain = this.#chains.chains.has(`${table} ${name}`) ? this.#derived(table, name) : undefined;
      if (chain !== undefined) this.#chains.replaceDerived(chain);
    }
  }

  /** A chain that something jumps to. */
  #derive(key: ChainKey): Chain {
    const table = POLICY_TABLES.find((each) => key.startsWith(`${each} `));
    const chain = table === undefined ? undefined : this.#derived(table, key.slice(table.length + 1));
    assert(chain !== undefined, `nothing is known of chain ${key}, to which another jumps`);
    return chain;
  }

  /** Undefined where its policy or profile is gone, and the chain about to be. */
  #derived(table: TableName, name: string): Chain | undefined {
    const recipe = this.#recipes.get(name);
    return recipe === undefined ? this.#groups.chain(name, table, this.#settings.marks) : this.#chainOf(recipe, table);
  }

  #chainOf({ source, direction }: Recipe, table: TableName): Chain {
    const context: PolicyChainContext = {
      settings: this.#settings,
      dialect: this.#dialect,
      sets: this.#sets,
    };
    return source.kind === 'policy'
      ? policyChain(source.policy, direction, table, context)
      : profileChain(source.profile, direction, table, context);
  }

  /** Of a chain that is gone from one table, and may be in others. */
  #forgetGroup(name: string): void {
    if (POLICY_TABLES.every((table) => !this.#chains.chains.has(`${table} ${name}`))) this.#groups.forget(name);
  }
}

/** By device, whatever order they came in. */
function inOrder(endpoints: ReadonlyMap<string, DesiredEndpoint>): DesiredEndpoint[] {
  return [...endpoints].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

/** What an endpoint's chains depend on. */
function shapeOf({ selector, staged, stage, applyOnForward }: DesiredPolicy): unknown {
  return { selector, staged, stage, applyOnForward };
}

/** The chains that it may be made into. */
function chainsOf(source: Source | undefined): { readonly name: string; readonly direction: PolicyDirection }[] {
  if (source === undefined) return [];
  if (source.kind === 'profile') {
    const { name } = source.profile;
    return DIRECTIONS.map((direction) => ({ name: profileChainName(name, direction), direction }));
  }
  const { policy } = source;
  if (policy.staged) return [];
  return DIRECTIONS.map((direction) => ({ name: policyChainName(policy, direction), direction }));
}

function setsOf(source: Source, direction: PolicyDirection): SetId[] {
  const rules = source.kind === 'policy' ? source.policy[direction] : source.profile[direction];
  return rules.flatMap(setsOfRule);
}

function setsOfRule({ source, destination }: DesiredRule): SetId[] {
  return [source, destination].flatMap(({ sets, notSets, portSets, notPortSets }) => [
    ...sets,
    ...notSets,
    ...portSets,
    ...notPortSets,
  ]);
}
