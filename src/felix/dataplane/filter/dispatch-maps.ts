/**
 * The maps by which a packet finds the chains of its container's device, and what has changed in them.
 *
 * Both maps are always there; a device that no map has is dropped by the chain that looks into it.
 */
import type { DispatchMap, DispatchMapName } from './program.ts';

export class DispatchMaps {
  readonly #maps = new Map<DispatchMapName, Map<string, string>>([
    ['cali-from-wl', new Map()],
    ['cali-to-wl', new Map()],
  ]);
  /** By map and device: what was there when changes were last taken. */
  readonly #told = new Map<DispatchMapName, Map<string, string | undefined>>();

  get maps(): ReadonlyMap<DispatchMapName, DispatchMap> {
    return this.#maps;
  }

  /** `chain` undefined: the device is nobody's. */
  set(name: DispatchMapName, deviceName: string, chain: string | undefined): void {
    const map = this.#maps.get(name);
    const before = map?.get(deviceName);
    if (map === undefined || before === chain) return;
    const told = this.#told.get(name) ?? new Map<string, string | undefined>();
    if (!told.has(deviceName)) told.set(deviceName, before);
    this.#told.set(name, told);
    if (chain === undefined) map.delete(deviceName);
    else map.set(deviceName, chain);
  }

  /** What differs since it was last asked. Maps without a change are left out. */
  takeChanges(): Map<DispatchMapName, ReadonlyMap<string, string | undefined>> {
    const changes = new Map<DispatchMapName, ReadonlyMap<string, string | undefined>>();
    for (const [name, told] of this.#told) {
      const now = this.#maps.get(name);
      const differing = [...told].filter(([deviceName, chain]) => now?.get(deviceName) !== chain);
      if (differing.length > 0) changes.set(name, new Map(differing.map(([device]) => [device, now?.get(device)])));
    }
    this.#told.clear();
    return changes;
  }
}
