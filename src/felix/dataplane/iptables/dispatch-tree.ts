/**
 * A dispatch by device for a backend that has no maps: a tree of chains one level deep, as Calico builds it.
 *
 * All device names have a prefix in common; the character after it chooses a child chain, in which each device has its
 * rule. A packet so meets some dozens of rules instead of one for each device. Where only one name goes on with a
 * character, its rule stands in the root. Every chain of the tree ends with the rules that follow the dispatch, since a goto
 * is not come back from: a device that nobody knows is dropped wherever its name leads it.
 */
import { assert } from '../../../lib/assert.ts';
import type { Chain, Direction, DispatchMap, Rule } from '../filter/program.ts';

/** The chains that a chain which begins with `dispatch` becomes, the root first, under the chain's own name. */
export function dispatchTree(chain: Chain, map: DispatchMap): Chain[] {
  const [dispatch, ...following] = chain.rules;
  assert(
    dispatch?.action.kind === 'dispatch' && dispatch.matches.length === 0,
    `${chain.name} begins with no dispatch`,
  );
  const { direction } = dispatch.action;
  const leaf = (name: string): Rule => gotoByDevice(dispatch, direction, name, false, map.get(name) ?? '');
  const names = [...map.keys()].sort();
  const common = commonPrefix(names);
  const children: Chain[] = [];
  const rules = [...groupBy(names, (name) => name.slice(common.length, common.length + 1))].map(
    ([character, group]) => {
      const [first = ''] = group;
      if (group.length === 1) return leaf(first);
      const name = `${chain.name}-${character}`;
      children.push({ table: chain.table, name, hook: undefined, rules: [...group.map(leaf), ...following] });
      return gotoByDevice(dispatch, direction, common + character, true, name);
    },
  );
  return [{ ...chain, rules: [...rules, ...following] }, ...children];
}

function gotoByDevice(dispatch: Rule, direction: Direction, name: string, prefix: boolean, chain: string): Rule {
  return {
    ...dispatch,
    matches: [{ kind: 'device', direction, name, prefix, is: true }],
    action: { kind: 'goto', chain },
  };
}

function commonPrefix(names: readonly string[]): string {
  // Of sorted names, the first and the last differ the most.
  const [first = ''] = names;
  const last = names.at(-1) ?? '';
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}

function groupBy(names: readonly string[], key: (name: string) => string): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const group = groups.get(key(name));
    if (group === undefined) groups.set(key(name), [name]);
    else group.push(name);
  }
  return groups;
}
