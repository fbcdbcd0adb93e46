/**
 * What earlier plugins of a chain made (`prevResult`): handed on by ADD, looked into by CHECK.
 *
 * Their interfaces, addresses and routes are theirs: they go back to the runtime as they came, unknown keys included, for
 * a plugin after us may want them. Only what the merging needs is looked at. Results before 0.3.0 have one slot for each family
 * (`ip4`, `ip6`) and no interfaces; they are read into the newer shape.
 */
import { isJsonObject } from '../lib/json.ts';
import type { Ip } from '../net/ip.ts';
import { CNI_ERROR } from './cni-error.ts';
import type { JsonObject, Report } from './fields.ts';
import { quote, readIps } from './fields.ts';

export interface PreviousResult {
  readonly interfaces: readonly JsonObject[];
  /** Each with the text of its `address`. */
  readonly ips: readonly (JsonObject & { readonly address: string })[];
  readonly routes: readonly JsonObject[];
  readonly dns: JsonObject;
}

/** The result under `prevResult`; undefined where there is none, or where it is none, which has then been reported. */
export function readPreviousResult(value: unknown, report: Report): PreviousResult | undefined {
  if (value === undefined || value === null) return undefined;
  const wrong = (place: string, found: unknown, what: string): undefined => {
    return report(CNI_ERROR.invalidConfiguration, `prevResult${place}: ${quote(found)} is not ${what}`);
  };
  if (!isJsonObject(value)) return wrong('', value, 'the result of a plugin');
  const result = isJsonObject(value.ip4) || isJsonObject(value.ip6) ? modernised(value) : value;
  const objects = (key: string): JsonObject[] => {
    const list = result[key] ?? [];
    if (Array.isArray(list) && list.every(isJsonObject)) return list;
    wrong(`.${key}`, list, 'a list of objects');
    return [];
  };
  const ips = objects('ips').flatMap((entry) => {
    const { address } = entry;
    if (typeof address === 'string') return { ...entry, address };
    wrong('.ips', entry, 'an address: {"address": "10.1.0.7/32"} would be one');
    return [];
  });
  const dns = result.dns ?? {};
  return {
    interfaces: objects('interfaces'),
    ips,
    routes: objects('routes'),
    dns: isJsonObject(dns) ? dns : (wrong('.dns', dns, 'an object') ?? {}),
  };
}

/** Whether an earlier plugin has made an interface of this name inside the container. */
export function hasContainerInterface({ interfaces }: PreviousResult, name: string): boolean {
  return interfaces.some((each) => each.name === name && isInContainer(each));
}

/**
 * The addresses that `interfaceName` was given. An address that names no interface counts: then there is only one that
 * it can be of.
 */
export function addressesOn(previous: PreviousResult, interfaceName: string, report: Report): readonly Ip[] {
  const texts = previous.ips.flatMap(({ interface: index, address }) => {
    const holder = typeof index === 'number' ? previous.interfaces[index] : undefined;
    const isOurs = holder === undefined || (holder.name === interfaceName && isInContainer(holder));
    return isOurs ? address : [];
  });
  return readIps(texts, 'prevResult.ips', CNI_ERROR.invalidConfiguration, report);
}

/** The host's ends have no sandbox. */
function isInContainer({ sandbox }: JsonObject): boolean {
  return typeof sandbox === 'string' && sandbox !== '';
}

function modernised(result: JsonObject): JsonObject {
  const slots = [result.ip4, result.ip6].filter(isJsonObject);
  return {
    ips: slots.map(({ ip, gateway }) => ({ address: ip, gateway })),
    routes: slots.flatMap(({ routes }) => (Array.isArray(routes) ? routes : [])),
    dns: result.dns,
  };
}
