/**
 * What a pod's annotations ask of the network: Calico's annotations, and labels in one of our own.
 *
 *   cni.projectcalico.org/ipAddrs                 '["10.1.0.7"]'
 *   cni.projectcalico.org/ipv4pools, ipv6pools    '["pool-a", "10.1.0.0/16"]'
 *   cni.projectcalico.org/hwAddr                  '02:00:00:00:00:07'
 *   cni.projectcalico.org/floatingIPs             '["203.0.113.7"]'
 *   cni.projectcalico.org/allowedSourcePrefixes   '["10.9.0.0/16"]'
 *   cni.muslin.io/labels                          '{"app": "web"}'
 *   muslin.io/service-addresses                   '["203.0.113.10"]'
 *
 * They come with the call (containerd's capability io.kubernetes.cri.pod-annotations), so no API server is asked. Whatever
 * else a pod is annotated with is none of our business, but for the few that go on to the WorkloadEndpoint unread.
 */
import { isJsonObject } from '../lib/json.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import { CNI_ERROR } from './cni-error.ts';
import type { JsonObject, Labels, Report } from './fields.ts';
import { quote, readAddresses, readIps, readLabels, readList, readMac, readPools, readPrefixes } from './fields.ts';
import { parseJson } from './parse-json.ts';

/** The key of runtimeConfig under which containerd hands them on. */
export const POD_ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

type Texts = Readonly<Record<string, string>>;

export interface PodAnnotations {
  readonly addresses: readonly Ip[];
  readonly pools: { readonly [family in Family]: readonly string[] };
  readonly mac: Mac | undefined;
  readonly floatingAddresses: readonly Ip[];
  /** What they answer together with others; goes on as it is, too. */
  readonly serviceAddresses: readonly Ip[];
  readonly allowedSources: readonly Cidr[];
  readonly labels: Labels;
  /** What goes on to the WorkloadEndpoint as it is. */
  readonly passedOn: Texts;
}

const CALICO = 'cni.projectcalico.org/';
const LABELS = 'cni.muslin.io/labels';
export const SERVICE_ADDRESSES = 'muslin.io/service-addresses';
/** How a floating address behaves; the calculation reads them from the WorkloadEndpoint. */
const PASSED_ON: readonly string[] = ['muslin.io/floating-ip-outgoing', 'muslin.io/floating-ip-announce'];
/** More would not be looked at (felix/calc/policy/services.ts). */
const SERVICE_ADDRESSES_MAX = 16;

/** Reads runtimeConfig's annotations, `value`; nothing at all asks for nothing. */
export function readPodAnnotations(value: unknown, report: Report): PodAnnotations {
  const annotations = readTexts(value, report);
  const code = CNI_ERROR.invalidConfiguration;
  const place = (name: string): string => `annotation ${CALICO}${name}`;
  const list = (name: string, what: string): readonly unknown[] => {
    return readList(readJson(annotations, `${CALICO}${name}`, report), place(name), what, report);
  };
  const serviceAddresses = readServices(annotations, report);
  const passedOn = PASSED_ON.flatMap((name) => pairOf(name, annotations[name]));
  return {
    addresses: readAddresses(list('ipAddrs', 'addresses'), place('ipAddrs'), code, report),
    pools: {
      4: readPools(list('ipv4pools', 'pools'), place('ipv4pools'), 4, report),
      6: readPools(list('ipv6pools', 'pools'), place('ipv6pools'), 6, report),
    },
    mac: readMac(annotations[`${CALICO}hwAddr`], place('hwAddr'), code, report),
    floatingAddresses: readIps(list('floatingIPs', 'addresses'), place('floatingIPs'), code, report),
    serviceAddresses,
    allowedSources: readPrefixes(list('allowedSourcePrefixes', 'prefixes'), place('allowedSourcePrefixes'), report),
    labels: readLabels(readJson(annotations, LABELS, report), `annotation ${LABELS}`, report),
    passedOn: Object.fromEntries([
      ...passedOn,
      ...(serviceAddresses.length === 0 ? [] : pairOf(SERVICE_ADDRESSES, jsonOf(serviceAddresses))),
    ]),
  };
}

function readServices(annotations: Texts, report: Report): readonly Ip[] {
  const place = `annotation ${SERVICE_ADDRESSES}`;
  const code = CNI_ERROR.invalidConfiguration;
  const list = readList(readJson(annotations, SERVICE_ADDRESSES, report), place, 'addresses', report);
  if (list.length > SERVICE_ADDRESSES_MAX) {
    report(code, `${place}: ${list.length} addresses are too many; at most ${SERVICE_ADDRESSES_MAX}`);
  }
  return readIps(list, place, code, report);
}

function jsonOf(addresses: readonly Ip[]): string {
  return JSON.stringify(addresses.map(formatIp));
}

function pairOf(name: string, text: string | undefined): [string, string][] {
  return text === undefined ? [] : [[name, text]];
}

function readTexts(value: unknown, report: Report): Texts {
  if (value === undefined || value === null) return {};
  const code = CNI_ERROR.invalidConfiguration;
  if (isJsonObject(value) && hasOnlyTexts(value)) return value;
  report(code, `runtimeConfig.${POD_ANNOTATIONS}: ${quote(value)} is not an object of strings`);
  return {};
}

function hasOnlyTexts(object: JsonObject): object is Texts {
  return Object.values(object).every((value) => typeof value === 'string');
}

/** The value that an annotation's text is JSON of; undefined where there is none. */
function readJson(annotations: Texts, name: string, report: Report): unknown {
  const text = annotations[name];
  if (text === undefined || text === '') return undefined;
  const parsed = parseJson(text);
  if (parsed.ok) return parsed.value;
  const reason = parsed.reason.slice(0, 200);
  return report(CNI_ERROR.invalidConfiguration, `annotation ${name}: ${quote(text)} is not JSON: ${reason}`);
}
