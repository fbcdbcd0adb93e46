/**
 * Groups: chains in which policies stand that always come together.
 *
 * Policies that follow one another in a tier and have the same selector choose the same endpoints. So each of these
 * endpoints jumps to one chain that calls the policies in turn, instead of calling them all by itself. The chain's name
 * is made of what is in it: another group is another chain, and a chain of a group never changes but for the marks.
 *
 * In a group a policy is called only where none before it has judged; to save rules this is a condition of the jump,
 * and a return stands only before every fifth one.
 */
import type { MarkBits } from '../../desired/filter-settings.ts';
import type { DesiredPolicy } from '../../desired/policy.ts';
import type { PolicyDirection } from './chain-names.ts';
import { groupChainName, policyChainName } from './chain-names.ts';
import type { Chain, Rule, TableName } from './program.ts';
import { innerChain, jump, marked, notMarked, rule } from './rules.ts';

/** How many jumps share one return. Calico's number. */
const RETURN_STRIDE = 5;

/** Runs of policies with the same selector, in order. */
export function groupsOf(policies: readonly DesiredPolicy[]): DesiredPolicy[][] {
  const groups: DesiredPolicy[][] = [];
  for (const policy of policies) {
    const current = groups.at(-1);
    if (current?.[0]?.selector === policy.selector) current.push(policy);
    else groups.push([policy]);
  }
  return groups;
}

interface Group {
  readonly contents: string;
  readonly direction: PolicyDirection;
  readonly members: readonly DesiredPolicy[];
}

/** The groups that endpoints have asked for. */
export class PolicyGroups {
  readonly #groups = new Map<string, Group>();
  /** By contents: the name, which is costly to compute. */
  readonly #names: Readonly<Record<PolicyDirection, Map<string, string>>> = { ingress: new Map(), egress: new Map() };

  /** The chain for these policies, to be made when something jumps to it. */
  chainFor(members: readonly DesiredPolicy[], direction: PolicyDirection): string {
    const contents = [members[0]?.selector, ...members.map(({ id }) => id)].join('\n');
    const known = this.#names[direction].get(contents);
    if (known !== undefined) return known;
    const name = groupChainName(contents, direction);
    this.#names[direction].set(contents, name);
    this.#groups.set(name, { contents, direction, members });
    return name;
  }

  names(): Iterable<string> {
    return this.#groups.keys();
  }

  /** Undefined for a chain that nobody has asked for. */
  chain(name: string, table: TableName, marks: MarkBits): Chain | undefined {
    const group = this.#groups.get(name);
    return group === undefined ? undefined : innerChain(table, name, groupRules(group, marks));
  }

  /** Nothing jumps to it any more. */
  forget(name: string): void {
    const group = this.#groups.get(name);
    if (group !== undefined) this.#names[group.direction].delete(group.contents);
    this.#groups.delete(name);
  }
}

function groupRules({ members, direction }: Group, { accept, pass }: MarkBits): Rule[] {
  return members.flatMap((policy, index) => {
    const call = jump(policyChainName(policy, direction));
    if (index % RETURN_STRIDE !== 0) return [rule([notMarked(accept), notMarked(pass)], call, policy.id)];
    const returns = [accept, pass].map((bit) => rule([marked(bit)], { kind: 'return' }, 'Judged'));
    return [...(index === 0 ? [] : returns), rule([], call, policy.id)];
  });
}
