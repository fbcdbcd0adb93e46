/**
 * From the file of `muslin bgp run` to the speaker's configuration, or to all that is wrong with the file.
 *
 * Pure: passwords in files of their own are asked for through `readSecret`. Each error is a line that an editor can jump to,
 * `tor.yaml:7:9: neighbors[0].asNumber: …`. An external peer without a word on `import` and `filters` sends us nothing that
 * is used, and gets nothing (RFC 8212): the file has to say what is meant. Equal files give equal values, so that a
 * file read again touches only the sessions that differ.
 */
import type { Origination } from '../bgp/contract.ts';
import { peerName } from '../bgp/contract.ts';
import type { ListenRange, PeerConfig, SpeakerConfig } from '../bgp/peer-config.ts';
import { BGP_PORT, INTERNAL_PEER, SPEAKER_DEFAULTS } from '../bgp/peer-config.ts';
import type { Policy } from '../bgp/policy/policy-rules.ts';
import { effectiveBgp } from '../model/bgp-configuration.ts';
import type { BgpFilter } from '../model/bgp-filter.ts';
import { bgpFilterKind } from '../model/bgp-filter.ts';
import type { Path, Problem } from '../model/problem.ts';
import { formatPath, problemsOf, quote } from '../model/problem.ts';
import { API_VERSION } from '../model/resource.ts';
import { parseYaml } from '../model/yaml-text.ts';
import type { Asn } from '../net/asn.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { ip, isLinkLocal } from '../net/ip.ts';
import { exportPolicyFor, importPolicyFor } from './bgp/bgp-policy.ts';
import type { SecretReading, UnnumberedPeer } from './bgp/bgp-resources.ts';
import type { PeerSettings } from './bgp/peer-settings.ts';
import { fieldName, PEER_SETTINGS, parseDurationMs } from './bgp/peer-settings.ts';
import type { SessionDocument, StandaloneDocument } from './standalone-schema.ts';
import { standaloneSchema } from './standalone-schema.ts';

export interface StandaloneConfiguration {
  readonly speaker: SpeakerConfig;
  readonly listen: { readonly addresses: readonly Ip[]; readonly port: number };
  readonly unnumbered: readonly UnnumberedPeer[];
  readonly originations: readonly Origination[];
  readonly kernel: StandaloneDocument['kernel'];
  readonly metrics: Endpoint | undefined;
  readonly bmp: readonly Endpoint[];
  readonly logLevel: StandaloneDocument['logLevel'];
}

interface Endpoint {
  readonly address: Ip;
  readonly port: number;
}

export type StandaloneParse =
  | { readonly ok: true; readonly configuration: StandaloneConfiguration }
  /** One line each: FILE:LINE:COLUMN, the field, what is wrong. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** Reads the secret in a file: its text, or what is wrong with it. */
type ReadSecret = (path: string) => SecretReading;

/** Who sees more than a screenful mends the first ones and tries again. */
const PROBLEMS_MAX = 50;

/** `file` serves only for messages. */
export function parseStandalone(text: string, file: string, readSecret: ReadSecret): StandaloneParse {
  const yaml = parseYaml(text);
  if (!yaml.ok) {
    const problems = yaml.problems.map(
      ({ position, message }) => `${file}:${position.line}:${position.column}: ${message}`,
    );
    return { ok: false, problems: problems.slice(0, PROBLEMS_MAX) };
  }
  const [document, second] = yaml.documents;
  if (document === undefined)
    return { ok: false, problems: [`${file}:1:1: is empty; asNumber and routerId are needed`] };
  const lines = (problems: readonly Problem[]): StandaloneParse => {
    const placed = problems.map(({ path, message, onName }) => {
      const { line, column } = document.positionOf(path, onName ? 'name' : 'value');
      const field = formatPath(path);
      return { line, column, text: `${file}:${line}:${column}: ${field === '' ? '' : `${field}: `}${message}` };
    });
    placed.sort((a, b) => a.line - b.line || a.column - b.column);
    const texts = new Set(placed.map(({ text }) => text)); // a filter that is not there is missed in both directions
    return { ok: false, problems: [...texts].slice(0, PROBLEMS_MAX) };
  };
  if (second !== undefined) return lines([{ path: [], message: 'holds several documents; one speaker has one' }]);
  const parsed = standaloneSchema.safeParse(document.value, { reportInput: true });
  if (!parsed.success) return lines(problemsOf(parsed.error, []));
  const reading = new Reading(parsed.data, readSecret);
  const configuration = reading.configuration();
  return reading.problems.length > 0 ? lines(reading.problems) : { ok: true, configuration };
}

/** One document on its way to a configuration; problems are gathered, so that all of them are told at once. */
class Reading {
  readonly problems: Problem[] = [];
  readonly #document: StandaloneDocument;
  readonly #readSecret: ReadSecret;
  readonly #filters: ReadonlyMap<string, BgpFilter>;

  constructor(document: StandaloneDocument, readSecret: ReadSecret) {
    this.#document = document;
    this.#readSecret = readSecret;
    this.#filters = new Map(
      Object.entries(document.filters).map(([name, spec]) => {
        // Its kind's own schema has parsed the spec, so the two belong together.
        const filter = { apiVersion: API_VERSION, kind: 'BGPFilter', metadata: { name }, spec } as unknown as BgpFilter;
        for (const { path, message } of bgpFilterKind.check(filter)) {
          this.#wrong(['filters', name, ...path.slice(1)], message);
        }
        return [name, filter] as const;
      }),
    );
  }

  configuration(): StandaloneConfiguration {
    const document = this.#document;
    const listen = this.#listen();
    const peers = this.#peers();
    const speaker: SpeakerConfig = {
      ...SPEAKER_DEFAULTS,
      asn: asn(document.asNumber),
      routerId: routerIdFromIp(ip(document.routerId)),
      clusterId: document.clusterId === undefined ? undefined : Number(routerIdFromIp(ip(document.clusterId))),
      nextHops: this.#nextHops(listen.addresses),
      peers,
      listenRanges: document.ranges.map((each, index) => this.#range(each, ['ranges', index])),
      aggregates: document.aggregates.map(({ prefix, summaryOnly }) => ({ prefix: cidr(prefix), summaryOnly })),
      holdTimeSeconds: this.#seconds('holdTime', SPEAKER_DEFAULTS.holdTimeSeconds, 0xffff),
      restartTimeSeconds: this.#seconds('restartTime', SPEAKER_DEFAULTS.restartTimeSeconds, 0xfff),
      multipathMax: document.multipathMax ?? SPEAKER_DEFAULTS.multipathMax,
      installs: document.kernel.install,
      monitors: document.bmp.length > 0,
    };
    return {
      speaker,
      listen,
      unnumbered: this.#unnumbered(),
      originations: this.#originations(speaker),
      kernel: document.kernel,
      metrics: document.metrics === undefined ? undefined : endpoint(document.metrics.listen),
      bmp: document.bmp.map(endpoint),
      logLevel: document.logLevel,
    };
  }

  #wrong(path: Path, message: string): void {
    this.problems.push({ path, message });
  }

  #listen(): StandaloneConfiguration['listen'] {
    const { listen } = this.#document;
    const port = listen[0]?.port ?? BGP_PORT;
    for (const [index, each] of listen.entries()) {
      if ((each.port ?? BGP_PORT) !== port)
        this.#wrong(['listen', index, 'port'], `all must be the first one's, ${port}`);
    }
    const everywhere = listen.some(({ address }) => address === undefined);
    return {
      addresses: everywhere ? [] : listen.flatMap(({ address }) => (address === undefined ? [] : [ip(address)])),
      port,
    };
  }

  #nextHops(listening: readonly Ip[]): SpeakerConfig['nextHops'] {
    const { nextHops } = this.#document;
    const own = (family: Family): Ip | undefined => {
      const said = family === 4 ? nextHops.ipv4 : nextHops.ipv6;
      const usable = listening.find((address) => address.family === family && isReachable(address));
      return said === undefined ? usable : ip(said);
    };
    const [ipv4, ipv6] = [own(4), own(6)];
    return { ...(ipv4 && { 4: ipv4 }), ...(ipv6 && { 6: ipv6 }) };
  }

  #seconds(field: 'holdTime' | 'restartTime', standard: number, max: number): number {
    const text = this.#document[field];
    if (text === undefined) return standard;
    const seconds = (parseDurationMs(text) ?? Number.NaN) / 1000;
    const tooShort = field === 'holdTime' && (seconds === 1 || seconds === 2);
    if (!Number.isInteger(seconds) || seconds > max || tooShort) {
      const bounds = field === 'holdTime' ? `0s, or 3s to ${max}s` : `0s to ${max}s`;
      this.#wrong([field], `${quote(text)} is not a time in whole seconds: ${bounds}`);
    }
    return seconds;
  }

  #peers(): PeerConfig[] {
    const names = new Map<string, number>();
    return this.#document.neighbors.flatMap((neighbor, index) => {
      const path = ['neighbors', index];
      if (neighbor.address === undefined) {
        if (neighbor.interface === undefined)
          this.#wrong(path, 'names no peer; set address, or interface for one on that link');
        return [];
      }
      const address = ip(neighbor.address);
      const device = neighbor.interface;
      if (isLinkLocal(address) !== (device !== undefined)) {
        const remedy =
          device === undefined
            ? 'is link-local: say on which interface'
            : 'is only for link-local addresses; remove it';
        this.#wrong([...path, device === undefined ? 'address' : 'interface'], remedy);
      }
      if (neighbor.asNumber === undefined) this.#wrong([...path, 'asNumber'], 'is required with address');
      const peerAsn = asn(neighbor.asNumber ?? this.#document.asNumber);
      const name = peerName({ address, device });
      const earlier = names.get(name);
      if (earlier !== undefined) this.#wrong([...path, 'address'], `${name} is already neighbors[${earlier}]`);
      names.set(name, index);
      return [{ ...this.#settings(neighbor, peerAsn, path), address, device, asn: peerAsn }];
    });
  }

  #unnumbered(): UnnumberedPeer[] {
    return this.#document.neighbors.flatMap((neighbor, index) => {
      if (neighbor.address !== undefined || neighbor.interface === undefined) return [];
      const peerAsn = neighbor.asNumber === undefined ? undefined : asn(neighbor.asNumber);
      const settings = this.#settings(neighbor, peerAsn, ['neighbors', index]);
      return [{ device: neighbor.interface, asn: peerAsn, peer: { ...settings, device: neighbor.interface } }];
    });
  }

  #range(range: StandaloneDocument['ranges'][number], path: Path): ListenRange {
    const peerAsn = range.asNumber === undefined ? undefined : asn(range.asNumber);
    return {
      range: cidr(range.prefix),
      device: range.interface,
      asn: peerAsn,
      peersMax: range.peersMax,
      peer: { ...this.#settings(range, peerAsn, path), passive: true, device: range.interface },
    };
  }

  /** What neighbours and ranges have in common. A peer of an AS not known before is external: ours would be said. */
  #settings(session: SessionDocument, peerAsn: Asn | undefined, path: Path): PeerSettings {
    const external = peerAsn === undefined || Number(peerAsn) !== (session.localAsNumber ?? this.#document.asNumber);
    let settings: PeerSettings = {
      ...INTERNAL_PEER,
      port: session.port ?? BGP_PORT,
      localAsn: session.localAsNumber === undefined ? undefined : asn(session.localAsNumber),
      description: session.description ?? '',
      sourceAddress: session.sourceAddress === undefined ? undefined : ip(session.sourceAddress),
      password: this.#password(session, path),
      importPolicy: this.#policy('import', session, external, path),
      exportPolicy: this.#policy('export', session, external, path),
    };
    for (const [name, setting] of Object.entries(PEER_SETTINGS)) {
      // The schema has these fields for each row, with types that it does not tell.
      const value = (session as Readonly<Record<string, unknown>>)[fieldName(name)];
      const result = value === undefined ? settings : setting(String(value), settings);
      if (!('problem' in result)) settings = result; // else the schema has refused it
    }
    if (external && settings.reflectorClient) {
      this.#wrong(
        [...path, 'reflectorClient'],
        'is for peers of our own AS (RFC 4456); for others there is routeServerClient',
      );
    }
    if (!external && settings.routeServerClient) {
      this.#wrong(
        [...path, 'routeServerClient'],
        'is for peers of other ASes (RFC 7947); for our own there is reflectorClient',
      );
    }
    return settings;
  }

  #password({ password, passwordFile }: SessionDocument, path: Path): string | undefined {
    if (passwordFile === undefined) return password;
    if (password !== undefined) this.#wrong([...path, 'passwordFile'], 'excludes password; remove one of the two');
    const reading = this.#readSecret(passwordFile);
    if ('secret' in reading) return reading.secret;
    this.#wrong([...path, 'passwordFile'], reading.problem);
    return undefined;
  }

  /** The filters decide first; what they leave open, `import` and `export` do. */
  #policy(direction: 'import' | 'export', session: SessionDocument, external: boolean, path: Path): Policy | undefined {
    const names = session.filters ?? [];
    const filters = names.flatMap((name, index) => {
      const filter = this.#filters.get(name);
      if (filter !== undefined) return [filter];
      const known = [...this.#filters.keys()].join(', ') || 'none';
      this.#wrong([...path, 'filters', index], `there is no filter ${quote(name)}; filters has ${known}`);
      return [];
    });
    const said = session[direction];
    if (filters.length === 0 && said === undefined) return undefined;
    const chain = { filters, missing: [], external };
    // Without pools and service ranges nothing but the filters makes rules.
    const resources = { pools: [], configuration: effectiveBgp(undefined, undefined) };
    const { rules } = direction === 'import' ? importPolicyFor(chain) : exportPolicyFor({ ...chain, ...resources });
    return { rules, otherwise: said === 'all' || (said === undefined && !external) ? 'accept' : 'reject' };
  }

  #originations({ nextHops }: SpeakerConfig): Origination[] {
    return this.#document.announce.map(({ prefix: text, communities, localPreference }, index) => {
      const prefix = cidr(text);
      const { family } = prefix.address;
      if (nextHops[family] === undefined) {
        this.#wrong(['announce', index], `${text} has no next hop; set nextHops.ipv${family} to our address`);
      }
      const parts = communities.map((community) => community.split(':').map(Number));
      return {
        prefix,
        device: undefined,
        communities: parts.flatMap(([high = 0, low = 0, third]) => (third === undefined ? [high * 0x10000 + low] : [])),
        largeCommunities: parts.flatMap(([administrator = 0, first = 0, second]) =>
          second === undefined ? [] : [[administrator, first, second] as const],
        ),
        localPreference,
      };
    });
  }
}

/** Not "every address", nor one that only this host can use. */
function isReachable({ family, bytes }: Ip): boolean {
  if (bytes.every((byte) => byte === 0) || (family === 4 && bytes[0] === 127)) return false;
  return family === 4 || bytes.slice(0, 15).some((byte) => byte !== 0) || bytes[15] !== 1;
}

function endpoint({ address, port }: { readonly address: string; readonly port: number }): Endpoint {
  return { address: ip(address), port };
}
