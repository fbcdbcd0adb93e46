/**
 * The packet filter in force: the program that endpoints and policies ask for, kept equal to what the kernel has.
 *
 *   changes ─► FilterBuilder ─► program, its changes ─► backend (nftables | iptables) ─► kernel
 *
 * The kernel is read only when there is reason to distrust it (at start, when somebody else has changed the rules, now and then
 * since not every backend tells of that, after a failure, in a backend that is new); between, what was last applied is
 * taken to be there. While the last try has failed the filter is not in force, and Felix brings no device up.
 * Another backend is put in force beside the old one before that is taken away, so that there is no moment without rules: a
 * packet that both let through is let through.
 */
import type { ChangedDevices } from '../../felix/dataplane/connections.ts';
import { FilterBuilder } from '../../felix/dataplane/filter/builder.ts';
import { deviceOfChain } from '../../felix/dataplane/filter/chain-names.ts';
import type { HostDevice } from '../../felix/dataplane/filter/host-devices.ts';
import type { Chain, ChainKey, FilterProgram, ProgramChanges, Refusal } from '../../felix/dataplane/filter/program.ts';
import { IPTABLES_DIALECT, NFTABLES_DIALECT } from '../../felix/dataplane/filter/program.ts';
import type { DesiredChanges } from '../../felix/desired/desired.ts';
import type { FilterSettings } from '../../felix/desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../felix/desired/filter-settings.ts';
import type { DesiredPolicy, PolicyId } from '../../felix/desired/policy.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { after, earlier, type Instant, instant, monotonicNow, wallClockNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { setOrDelete } from '../../lib/set-or-delete.ts';
import type { BackendChoice, BackendKind } from './backend-choice.ts';
import type { FilterBackend, RuleCount } from './filter-backend.ts';
import { RepairPace } from './repair-pace.ts';

const DIALECTS = { nftables: NFTABLES_DIALECT, iptables: IPTABLES_DIALECT } as const;

/** Of a table that the kernel tells all about, only each so manieth reading takes place: once an hour by default. */
const WATCHED_REFRESHES = 20;

export interface PacketFilterOptions {
  /** Opens a backend in this host's namespace. Throws KernelError where it cannot work, with what is missing. */
  readonly openBackend: (choice: BackendChoice) => FilterBackend;
  /** Backends in which an earlier process may have left rules. */
  readonly openLeftovers: () => FilterBackend[];
  /** Called with the identities of all backends that may have rules of ours, before they can. */
  readonly onBackends: (identities: readonly string[]) => void;
  /** Called after the kernel's rules have changed, with the containers' devices whose verdicts may be others than before. */
  readonly onApplied: (devices: ChangedDevices) => void;
  readonly log: Log;
}

export class PacketFilter {
  readonly #options: PacketFilterOptions;
  readonly #log: Log;
  readonly #builder = new FilterBuilder(NFTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
  #choice: BackendChoice | undefined;
  #backend: FilterBackend | undefined;
  /** Backends that still have rules in force, until another one has. */
  #retiring: FilterBackend[] = [];
  /** How often the kernel's rules were changed, could not be, and were read. */
  readonly work = { changes: 0, failures: 0, readings: 0 };
  #isKnown = false;
  /** When the kernel's rules were last read. */
  #readAt = instant(0);
  /** When the rules were read, or a reading was found not to be needed. */
  #checkedAt = instant(0);
  readonly #pace = new RepairPace();
  /** Somebody else has changed the rules; from then on they may be repaired. */
  #repairAt: Instant | undefined;
  #foreigner = '';
  #onForeignChange = (): void => undefined;
  #dirty = true;
  #error: string | undefined;
  readonly #policies = new Map<PolicyId, DesiredPolicy>();
  /** When chains last changed, by the wall clock; what is older than this process has its start. */
  readonly #since = new Map<ChainKey, number>();
  /** Chains that have changed since rules were last applied. */
  readonly #unapplied = new Map<ChainKey, Chain | undefined>();
  #firstApplied: number | undefined;
  #settings = FILTER_SETTINGS_DEFAULTS;
  #refused: ReadonlyMap<string, string> = new Map();

  constructor(options: PacketFilterOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Whether the kernel has exactly the rules that were asked for last. */
  get inForce(): boolean {
    return !this.#dirty;
  }

  /** Why it is not in force, after a try has failed. */
  get error(): string | undefined {
    return this.#error;
  }

  get program(): FilterProgram {
    return this.#builder.program;
  }

  get settings(): FilterSettings {
    return this.#settings;
  }

  /** The policies that endpoints of this host need. */
  get policies(): ReadonlyMap<PolicyId, DesiredPolicy> {
    return this.#policies;
  }

  /** Since when a chain is as it is, in milliseconds since 1970; undefined when it is not in force. */
  since(chain: ChainKey): number | undefined {
    return this.inForce && this.program.chains.has(chain) ? (this.#since.get(chain) ?? this.#firstApplied) : undefined;
  }

  get backendKind(): BackendKind | undefined {
    return this.#choice?.kind;
  }

  /** Which backend is in force or about to be, and why that one. */
  get backend(): { readonly title: string; readonly why: string } {
    return { title: this.#backend?.title ?? this.#choice?.kind ?? 'none yet', why: this.#choice?.why ?? '' };
  }

  /** Chooses the backend, and what the program is built with. Must be called before the first `apply`. */
  configure(choice: BackendChoice, settings: FilterSettings): void {
    const before = this.#choice;
    this.#choice = choice;
    if (before?.kind !== choice.kind) this.#builder.setDialect(DIALECTS[choice.kind]);
    this.#builder.setSettings(settings);
    this.#settings = settings;
    this.#dirty = true;
    if (before?.kind === choice.kind && before.variant === choice.variant && before.insertMode === choice.insertMode)
      return;
    if (this.#backend !== undefined) this.#retiring.push(this.#backend);
    this.#backend = undefined;
    this.distrust();
  }

  update(changes: DesiredChanges): void {
    const { endpoints, policy, services } = changes;
    const { sets, policies, profiles, hostEndpoints } = policy;
    if ([endpoints, services, sets, policies, profiles, hostEndpoints].every(({ size }) => size === 0)) return;
    this.#builder.updatePolicy(policy);
    this.#builder.updateServices(services);
    for (const [id, each] of policies) setOrDelete(this.#policies, id, each);
    if (endpoints.size > 0) this.#builder.updateEndpoints(endpoints);
    this.#dirty = true;
    if (endpoints.size > 0) this.#noteRefusals();
  }

  /** The devices that are no container's, with their addresses: host endpoints are for these. */
  setHostDevices(devices: readonly HostDevice[]): void {
    this.#builder.setHostDevices(devices);
    this.#dirty = true;
  }

  /** Endpoints that get no rules. */
  refusals(): readonly Refusal[] {
    return this.#builder.refusals();
  }

  /** Why an endpoint gets no rules; undefined when it does. */
  refusal(endpointId: string): string | undefined {
    return this.#refused.get(endpointId);
  }

  /** Somebody may have changed the rules: read them before the next plan. */
  distrust(): void {
    this.#isKnown = false;
    this.#dirty = true;
  }

  /** Calls back when somebody else has changed the rules: then `nextReading` is to be asked again. */
  watch(onForeignChange: () => void): void {
    this.#onForeignChange = onForeignChange;
  }

  /** What somebody else has done to the rules, as long as it is not repaired; undefined when nothing. */
  get foreignChange(): string | undefined {
    return this.#repairAt === undefined ? undefined : `somebody else keeps changing the rules: ${this.#foreigner}`;
  }

  /** When `apply` will read the kernel's rules although nothing else is to be changed; undefined where none is due ever. */
  nextReading(): Instant | undefined {
    if (!this.#isKnown) return undefined;
    const refreshMs = this.#choice?.refreshMs;
    return earlier(this.#repairAt, refreshMs === undefined ? undefined : after(this.#checkedAt, refreshMs));
  }

  /** Brings the kernel's rules up to date; a refusal is kept in `error` and tried again by the next call. */
  apply(): void {
    const due = this.nextReading();
    if (due !== undefined && due <= monotonicNow() && !this.#mayWait()) this.distrust();
    if (!this.#dirty || this.#choice === undefined) return;
    try {
      this.#backend ??= this.#openBackend(this.#choice);
      const taken = this.#builder.takeChanges();
      for (const [key, chain] of taken.chains) this.#unapplied.set(key, chain);
      const changes = this.#isKnown ? taken : undefined;
      const changed =
        changes === undefined ? this.#readAndApply(this.#backend) : this.#backend.apply(this.#builder.program, changes);
      if (changed > 0) this.#log.debug('packet filter changed', { changes: changed });
      if (changed > 0) this.work.changes += 1;
      if (changes === undefined) this.work.readings += 1;
      this.#isKnown = true;
      this.#dirty = false;
      this.#error = undefined;
      this.#retire();
      this.#noteApplied(changed, changes);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.work.failures += 1;
      this.#isKnown = false;
      if (this.#error !== error.message) this.#log.error('packet filter not applied', { error: error.message });
      this.#error = error.message;
    }
  }

  /** Reading a big table takes seconds; where the kernel tells of all changes, it is but a check of ourselves. */
  #mayWait(): boolean {
    const refreshMs = this.#choice?.refreshMs ?? 0;
    const now = monotonicNow();
    const isDueForRepair = this.#repairAt !== undefined && this.#repairAt <= now;
    const isOld = now - this.#readAt >= refreshMs * WATCHED_REFRESHES;
    if (isDueForRepair || isOld || this.#backend?.isWatched() !== true) return false;
    this.#checkedAt = now;
    return true;
  }

  /** What rules have matched. Throws KernelError. */
  counts(chains?: ReadonlySet<ChainKey>): ReadonlyMap<ChainKey, readonly RuleCount[]> {
    return this.#backend?.counts(this.#builder.program, chains) ?? new Map();
  }

  /** What others do that containers will feel, in sentences; none when that cannot be read. */
  warnings(): readonly string[] {
    try {
      return this.#backend?.warnings() ?? [];
    } catch (error) {
      if (error instanceof KernelError) return [];
      throw error;
    }
  }

  close(): void {
    this.#backend?.close();
    for (const backend of this.#retiring) backend.close();
  }

  #readAndApply(backend: FilterBackend): number {
    const began = monotonicNow();
    const repairs = this.#repairAt !== undefined;
    this.#repairAt = undefined; // what is changed from now on is told again
    const changed = backend.apply(this.#builder.program, undefined);
    this.#readAt = monotonicNow();
    this.#checkedAt = this.#readAt;
    if (repairs) this.#pace.repaired(began, this.#readAt);
    return changed;
  }

  #noteForeignChange(by: string): void {
    if (this.#repairAt !== undefined) return; // will be repaired with the one before
    const now = monotonicNow();
    this.#repairAt = this.#pace.mayBegin(now);
    this.#foreigner = by;
    const waitMs = Math.round(this.#repairAt - now);
    this.#log.warn('somebody else has changed the packet filter, repairing it', { by, ...(waitMs > 0 && { waitMs }) });
    this.#onForeignChange();
  }

  #openBackend(choice: BackendChoice): FilterBackend {
    if (this.#firstApplied === undefined && this.#retiring.length === 0) this.#retiring = this.#options.openLeftovers();
    const backend = this.#options.openBackend(choice);
    backend.watch((by) => {
      if (backend === this.#backend) this.#noteForeignChange(by);
    });
    this.#options.onBackends([...new Set([backend, ...this.#retiring].map(({ identity }) => identity))]);
    return backend;
  }

  /** An earlier process may have left all as it is to be, so that nothing was changed. */
  #noteApplied(changed: number, changes: ProgramChanges | undefined): void {
    const now = wallClockNow();
    const devices = changes === undefined ? 'all' : this.#changedDevices(changes);
    const isFirst = this.#firstApplied === undefined;
    this.#firstApplied ??= now;
    const chains = isFirst ? this.program.chains : this.#unapplied;
    for (const [key, chain] of chains) setOrDelete(this.#since, key, chain && now);
    this.#unapplied.clear();
    if (changed > 0 && (devices === 'all' || devices.size > 0)) this.#options.onApplied(devices);
  }

  /** A container that is new has no connections yet; what is not a container's own chain may be anybody's. */
  #changedDevices({ chains, sets }: ProgramChanges): ChangedDevices {
    const devices = new Set<string>();
    if ([...sets.values()].some(({ added, removed }) => added.length + removed.length > 0)) return 'all';
    for (const [key, chain] of chains) {
      if (chain === undefined || !this.#since.has(key)) continue;
      const device = deviceOfChain(chain.name);
      if (device === undefined) return 'all';
      devices.add(device);
    }
    return devices;
  }

  /** Only called while another backend is in force. One that cannot be removed now is tried again at the next change. */
  #retire(): void {
    const inForce = this.#backend;
    if (this.#retiring.length === 0 || inForce === undefined) return;
    this.#retiring = this.#retiring.filter((backend) => {
      try {
        if (backend.identity !== inForce.identity) backend.remove(inForce.identity);
        backend.close();
        if (backend.identity !== inForce.identity)
          this.#log.info('packet filter switched', { to: inForce.title, removed: backend.title });
        return false;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.#log.error('rules of the former packet filter are left', { error: error.message });
        return true;
      }
    });
    this.#options.onBackends([inForce, ...this.#retiring].map(({ identity }) => identity));
  }

  #noteRefusals(): void {
    const refusals = this.refusals();
    for (const { endpointId, reason } of refusals) {
      if (this.#refused.get(endpointId) === reason) continue;
      this.#log.warn('endpoint gets no rules, so its packets are dropped', { endpoint: endpointId, reason });
    }
    this.#refused = new Map(refusals.map(({ endpointId, reason }) => [endpointId, reason]));
  }
}
