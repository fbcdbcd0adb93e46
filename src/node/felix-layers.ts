/**
 * Which FelixConfiguration holds on this node: all of them lie one over the other.
 *
 * The default one, then those whose selector chooses this node (by name, which makes the order certain), then the node's own,
 * as in Calico. Annotations lie over each other in the same way.
 */
import type { EffectiveFelix, FelixConfiguration } from '../model/felix-configuration.ts';
import { effectiveFelix } from '../model/felix-configuration.ts';
import type { Node } from '../model/node.ts';
import { matches } from '../model/selector.ts';
import { parseSelector } from '../model/selector-parser.ts';

export interface FelixOnNode {
  readonly felix: EffectiveFelix;
  readonly annotations: Readonly<Record<string, string>>;
}

/** `node` is undefined while the node has no resource; `configurations` are all there are, by name. */
export function felixOnNode(
  name: string,
  node: Node | undefined,
  configurations: ReadonlyMap<string, FelixConfiguration>,
): FelixOnNode {
  const chosen = [...configurations.values()].filter(({ spec }) => chooses(spec.nodeSelector, node));
  const layers = [
    configurations.get('default'),
    ...chosen.toSorted((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1)),
    configurations.get(`node.${name}`),
  ];
  const annotations = Object.assign({}, ...layers.map((layer) => layer?.metadata.annotations ?? {}));
  return { felix: effectiveFelix(layers), annotations };
}

function chooses(selector: string | undefined, node: Node | undefined): boolean {
  if (selector === undefined) return false;
  const parsed = parseSelector(selector);
  return parsed.ok && matches(parsed.selector, node?.metadata.labels ?? {});
}
