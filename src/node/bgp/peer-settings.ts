/**
 * Settings of a session that Calico's resources have no field for: one table, a row each.
 *
 * A BGPPeer carries them as annotations (`muslin.io/hold-time: 30s`), the file of `muslin bgp run` as fields (`holdTime: 30s`).
 * Both hand their text to the same row, which gives the session's settings with this one changed, or says what would be
 * right. Pure; called by speaker-configuration.ts and standalone-configuration.ts.
 */
import type { PeerConfig, Role } from '../../bgp/peer-config.ts';
import { SOURCE_ANNOTATION } from '../../model/metadata.ts';
import { suggestion } from '../../model/near-miss.ts';
import { quote } from '../../model/problem.ts';
import type { Family } from '../../net/ip.ts';

/** All that a session is configured with, but who the peer is. */
export type PeerSettings = Omit<PeerConfig, 'address' | 'asn'>;

type SettingResult = PeerSettings | { readonly problem: string };

type Setting = (text: string, settings: PeerSettings) => SettingResult;

const ANNOTATION_PREFIX = 'muslin.io/';

const HOLD_TIME_SECONDS_MAX = 0xffff; // two octets in OPEN
const RESTART_TIME_SECONDS_MAX = 0xfff; // twelve bits in the capability (RFC 4724)
const LONG_LIVED_SECONDS_MAX = 0xffffff; // three octets in the capability (RFC 9494)
const CONNECT_RETRY_SECONDS_MAX = 3600;
/** Faster than this a loaded machine would miss its own timers; slower is what the hold timer is for. */
const BFD_INTERVAL_MS = { min: 10, max: 60_000 } as const;
const BFD_MULTIPLIER_MAX = 255;
const PATHS_MAX = 64;
const OWN_ASNS_MAX = 255;
const PREFIXES_MAX = 0xffffffff;
const HOPS_MAX = 255;

const ROLES: readonly string[] = [
  'provider',
  'customer',
  'peer',
  'route-server',
  'route-server-client',
] satisfies readonly Role[];
const FAMILIES: ReadonlyMap<string, Family> = new Map([
  ['ipv4', 4],
  ['ipv6', 6],
]);
/** Linux: IFNAMSIZ is 16 with its end mark. */
const DEVICE_NAME = /^[A-Za-z0-9_.-]{1,15}$/;
const GRACEFUL_RESTART: readonly string[] = ['full', 'helper', 'off'];

/** By the name in an annotation; the field of the file is the same in camel case. */
export const PEER_SETTINGS: Readonly<Record<string, Setting>> = {
  families: (text, settings) => {
    const families = text.split(',').map((word) => FAMILIES.get(word.trim()));
    const known = families.filter((family) => family !== undefined);
    if (known.length === families.length && new Set(known).size === known.length)
      return { ...settings, families: known };
    return { problem: `${quote(text)} is not a list of address families; write ipv4, ipv6 or ipv4,ipv6` };
  },
  interface: (text, settings) =>
    DEVICE_NAME.test(text)
      ? { ...settings, device: text }
      : { problem: `${quote(text)} is not a device name; 1 to 15 letters, digits, "_", "." and "-"` },
  passive: flag((settings, passive) => ({ ...settings, passive })),
  'hold-time': seconds([0, HOLD_TIME_SECONDS_MAX], (settings, holdTimeSeconds) =>
    holdTimeSeconds === 1 || holdTimeSeconds === 2
      ? { problem: 'must be 0 (never) or at least 3s (RFC 4271 section 4.2)' }
      : { ...settings, holdTimeSeconds },
  ),
  'keepalive-time': seconds([1, HOLD_TIME_SECONDS_MAX], (settings, keepaliveSeconds) => ({
    ...settings,
    keepaliveSeconds,
  })),
  'connect-retry': seconds([1, CONNECT_RETRY_SECONDS_MAX], (settings, connectRetrySeconds) => ({
    ...settings,
    connectRetrySeconds,
  })),
  'delay-open': seconds([0, CONNECT_RETRY_SECONDS_MAX], (settings, delayOpenSeconds) => ({
    ...settings,
    delayOpenSeconds,
  })),
  shutdown: (text, settings) => ({ ...settings, shutdown: text }),
  bfd: (text, settings) => {
    const bfd = parseBfd(text);
    return bfd !== undefined && 'problem' in bfd ? bfd : { ...settings, bfd };
  },
  'graceful-restart': oneOf(GRACEFUL_RESTART, (settings, gracefulRestart) => ({
    ...settings,
    gracefulRestart: gracefulRestart as PeerSettings['gracefulRestart'], // its row lets nothing else through
  })),
  'restart-time': seconds([0, RESTART_TIME_SECONDS_MAX], (settings, restartTimeSeconds) => ({
    ...settings,
    restartTimeSeconds,
  })),
  'long-lived-stale-time': seconds([0, LONG_LIVED_SECONDS_MAX], (settings, longLivedStaleSeconds) => ({
    ...settings,
    longLivedStaleSeconds,
  })),
  'add-path-send': whole([1, PATHS_MAX], (settings, sendMax) => ({
    ...settings,
    addPath: { ...settings.addPath, sendMax },
  })),
  'add-path-receive': flag((settings, receive) => ({ ...settings, addPath: { ...settings.addPath, receive } })),
  'extended-messages': flag((settings, extendedMessages) => ({ ...settings, extendedMessages })),
  role: oneOf(ROLES, (settings, role) => ({ ...settings, role: role as Role })), // its row lets nothing else through
  'strict-role': flag((settings, strictRole) => ({ ...settings, strictRole })),
  'reflector-client': flag((settings, reflectorClient) => ({ ...settings, reflectorClient })),
  'route-server-client': flag((settings, routeServerClient) => ({ ...settings, routeServerClient })),
  'next-hop': oneOf(['auto', 'self', 'keep'], (settings, nextHop) => ({
    ...settings,
    nextHop: nextHop as PeerSettings['nextHop'], // its row lets nothing else through
  })),
  'allowed-own-as-numbers': whole([0, OWN_ASNS_MAX], (settings, allowedOwnAsns) => ({ ...settings, allowedOwnAsns })),
  'as-override': flag((settings, asOverride) => ({ ...settings, asOverride })),
  'enforce-first-as': flag((settings, enforceFirstAs) => ({ ...settings, enforceFirstAs })),
  'ttl-security-hops': whole([0, HOPS_MAX], (settings, hops) => ({
    ...settings,
    ttlSecurityHops: hops === 0 ? undefined : hops,
  })),
  'prefixes-max': whole([1, PREFIXES_MAX], (settings, prefixesMax) => ({ ...settings, prefixesMax })),
};

/** `settings` as the annotations of `annotations` change them, and what is wrong with those that do not. */
export function withAnnotations(
  settings: PeerSettings,
  annotations: Readonly<Record<string, string>>,
): { readonly settings: PeerSettings; readonly problems: readonly string[] } {
  const problems: string[] = [];
  let changed = settings;
  for (const [annotation, text] of Object.entries(annotations)) {
    // Where the object was applied from is no setting.
    if (!annotation.startsWith(ANNOTATION_PREFIX) || annotation === SOURCE_ANNOTATION) continue;
    const name = annotation.slice(ANNOTATION_PREFIX.length);
    const setting = PEER_SETTINGS[name];
    const result =
      setting === undefined
        ? { problem: `is not a setting${suggestion(name, Object.keys(PEER_SETTINGS))}` }
        : setting(text.trim(), changed);
    if ('problem' in result) problems.push(`annotation ${annotation}: ${result.problem}`);
    else changed = result;
  }
  return { settings: changed, problems };
}

/** "hold-time" as a field of a file: "holdTime". */
export function fieldName(setting: string): string {
  return setting.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Milliseconds of "90s", "1m30s", "500ms" and, as seconds, "90"; undefined for other text. */
export function parseDurationMs(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let milliseconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    milliseconds += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  return milliseconds;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** "300ms*3" is a packet each 300 ms of which three may be missing, "300ms*3 multihop" through routers; "off" is no BFD. */
function parseBfd(text: string): PeerSettings['bfd'] | { readonly problem: string } {
  if (text === 'off') return undefined;
  const parts = /^([^*]+)\*(\d{1,3})( multihop)?$/.exec(text);
  const intervalMs = parseDurationMs(parts?.[1]?.trim() ?? '');
  const multiplier = Number(parts?.[2]);
  const inBounds =
    intervalMs !== undefined &&
    intervalMs >= BFD_INTERVAL_MS.min &&
    intervalMs <= BFD_INTERVAL_MS.max &&
    multiplier >= 1 &&
    multiplier <= BFD_MULTIPLIER_MAX;
  if (inBounds) return { intervalMs: Math.round(intervalMs), multiplier, multihop: parts?.[3] !== undefined };
  const bounds = `${BFD_INTERVAL_MS.min}ms to ${BFD_INTERVAL_MS.max / 1000}s, times 1 to ${BFD_MULTIPLIER_MAX}`;
  return { problem: `${quote(text)} is not a rate of BFD; write 300ms*3 or 300ms*3 multihop (${bounds}), or off` };
}

function flag(apply: (settings: PeerSettings, value: boolean) => PeerSettings): Setting {
  return (text, settings) => {
    if (text === 'true' || text === 'false') return apply(settings, text === 'true');
    return { problem: `${quote(text)} is not true or false` };
  };
}

function oneOf(words: readonly string[], apply: (settings: PeerSettings, word: string) => PeerSettings): Setting {
  return (text, settings) => {
    if (words.includes(text)) return apply(settings, text);
    return { problem: `${quote(text)} is not one of ${words.join(', ')}${suggestion(text, words)}` };
  };
}

type Bounds = readonly [min: number, max: number];

function whole([min, max]: Bounds, apply: (settings: PeerSettings, value: number) => PeerSettings): Setting {
  return (text, settings) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return apply(settings, value);
    return { problem: `${quote(text)} is not a whole number from ${min} to ${max}` };
  };
}

function seconds([min, max]: Bounds, apply: (settings: PeerSettings, value: number) => SettingResult): Setting {
  return (text, settings) => {
    const value = (parseDurationMs(text) ?? Number.NaN) / 1000;
    if (Number.isInteger(value) && value >= min && value <= max) return apply(settings, value);
    return { problem: `${quote(text)} is not a time in whole seconds from ${min}s to ${max}s; write it like 90s` };
  };
}
