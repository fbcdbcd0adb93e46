/**
 * The kinds of value that a runtime's call is made of: addresses, MACs, pools, labels, lists of them.
 *
 * Each reader is handed the value, its place in the call for the message, and the code that the error has there (the
 * environment's or the configuration's). What is wrong is reported, and left out of what is given back, so that one pass
 * finds the first error whatever comes after it. All lists are bounded: they are written by people or small programs.
 */
import { isJsonObject } from '../lib/json.ts';
import { isLabelName, isLabelValue, LABEL_NAME_RULE, LABEL_VALUE_RULE } from '../lib/label-syntax.ts';
import type { Cidr } from '../net/cidr.ts';
import { parseCidr, parseInterfaceAddress } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import { parseMac } from '../net/mac.ts';
import type { CniErrorCode } from './cni-error.ts';
import { CNI_ERROR } from './cni-error.ts';

/** Notes an error; the answer lets a reader end with `return report(…)`. */
export type Report = (code: CniErrorCode, message: string) => undefined;

export type JsonObject = Readonly<Record<string, unknown>>;

export type Labels = Readonly<Record<string, string>>;

/** Enough to recognise a value by; more would hide the sentence around it. */
const QUOTE_LENGTH_MAX = 200;
/** A list of pools, prefixes or addresses is written by hand; more is a mistake. */
const LIST_LENGTH_MAX = 64;
/** Policy looks at each of them; Kubernetes' pods have about ten. */
const LABELS_MAX = 128;
const POOL_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** A value as messages show it. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > QUOTE_LENGTH_MAX ? `${text.slice(0, QUOTE_LENGTH_MAX)}…` : text;
}

/** Reports a value of the configuration. */
export function invalid(report: Report, place: string, value: unknown, problem: string): undefined {
  return report(CNI_ERROR.invalidConfiguration, `${place}: ${quote(value)} is ${problem}`);
}

/** The object under `key`; an empty one where there is none. */
export function readObject(parent: JsonObject, key: string, report: Report, place = key): JsonObject {
  const value = parent[key] ?? {};
  if (isJsonObject(value)) return value;
  invalid(report, place, value, 'not an object');
  return {};
}

/** The list at `place`, `what` being its items in words; nothing at all is an empty list. */
export function readList(value: unknown, place: string, what: string, report: Report): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.length <= LIST_LENGTH_MAX) return value;
  invalid(report, place, value, `not a list of at most ${LIST_LENGTH_MAX} ${what}`);
  return [];
}

/**
 * The addresses of `texts`, each "10.1.0.7" or "10.1.0.7/16": CNI's convention wants the length, which says nothing here,
 * for a container's address always stands alone in its prefix.
 */
export function readIps(texts: readonly unknown[], place: string, code: CniErrorCode, report: Report): Ip[] {
  return texts.flatMap((text) => {
    const address = typeof text === 'string' ? (parseIp(text) ?? parseInterfaceAddress(text)?.address) : undefined;
    if (address !== undefined) return address;
    report(code, `${place}: ${quote(text)} is not an IP address; "10.1.0.7" or "fd00::7" would be one`);
    return [];
  });
}

/** Addresses for a container: at most one of a family. */
export function readAddresses(texts: readonly unknown[], place: string, code: CniErrorCode, report: Report): Ip[] {
  const addresses: Ip[] = [];
  for (const address of readIps(texts, place, code, report)) {
    const other = addresses.find((known) => known.family === address.family);
    if (other === undefined) addresses.push(address);
    else {
      const both = `${formatIp(other)} and ${formatIp(address)}`;
      report(code, `${place}: ${both} are both IPv${address.family}; a container has one address of a family`);
    }
  }
  return addresses;
}

/** The MAC that `text` denotes, if one interface can have it. */
export function readMac(text: unknown, place: string, code: CniErrorCode, report: Report): Mac | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  const mac = typeof text === 'string' ? parseMac(text) : undefined;
  // The lowest bit of the first byte marks a group address, which no interface can have as its own; nor all zeros.
  const unicast = mac !== undefined && Number.parseInt(mac.slice(0, 2), 16) % 2 === 0 && /[1-9a-f]/.test(mac);
  if (unicast) return mac;
  return report(code, `${place}: ${quote(text)} is not a unicast MAC; "02:00:00:00:00:07" would be one`);
}

/** Pools, each by its name or its CIDR. */
export function readPools(value: unknown, place: string, family: Family, report: Report): string[] {
  const pools: string[] = [];
  for (const [index, pool] of readList(value, place, 'pools', report).entries()) {
    const text = typeof pool === 'string' ? pool : '';
    const prefix = parseCidr(text);
    if (prefix?.address.family === family || (prefix === undefined && POOL_NAME.test(text))) pools.push(text);
    else invalid(report, `${place}[${index}]`, pool, `neither an IPv${family} CIDR nor the name of an IPPool`);
  }
  return pools;
}

export function readPrefixes(value: unknown, place: string, report: Report): Cidr[] {
  return readList(value, place, 'prefixes', report).flatMap((text, index) => {
    const prefix = typeof text === 'string' ? parseCidr(text) : undefined;
    if (prefix !== undefined) return prefix;
    invalid(report, `${place}[${index}]`, text, 'not a prefix without host bits; "10.9.0.0/16" would be one');
    return [];
  });
}

/** Labels as an object of strings. */
export function readLabels(value: unknown, place: string, report: Report): Labels {
  if (value === undefined || value === null) return {};
  if (isJsonObject(value)) return readLabelPairs(Object.entries(value), place, report);
  invalid(report, place, value, 'not an object of strings');
  return {};
}

/** Labels as names with their values, of which none may be what the agent sets itself. */
export function readLabelPairs(pairs: readonly (readonly [unknown, unknown])[], place: string, report: Report): Labels {
  const code = CNI_ERROR.invalidConfiguration;
  if (pairs.length > LABELS_MAX) report(code, `${place}: ${pairs.length} labels; at most ${LABELS_MAX} are accepted`);
  const labels: Record<string, string> = {};
  for (const [name, text] of pairs.slice(0, LABELS_MAX)) {
    if (typeof name !== 'string' || !isLabelName(name)) {
      report(code, `${place}: ${quote(name)} is not a label: ${LABEL_NAME_RULE}`);
    } else if (typeof text !== 'string' || !isLabelValue(text)) {
      report(code, `${place}: ${name}: ${quote(text)} is not a label value: ${LABEL_VALUE_RULE}`);
    } else if (AGENTS_LABELS.includes(name)) {
      report(code, `${place}: ${name} is set by the agent, as the runtime names the pod; leave it out`);
    } else labels[name] = text;
  }
  return labels;
}

/** What policy relies on: a container must not choose its own namespace. */
const AGENTS_LABELS: readonly string[] = ['projectcalico.org/namespace', 'projectcalico.org/orchestrator'];
