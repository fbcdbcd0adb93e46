/**
 * Ways to tell the calculation one state: whichever is taken, what it says in the end must be the same.
 *
 * A state is a list of facts, each about another thing. Telling is a list of steps: a fact that is there, one that is taken
 * back, or a look at what has changed so far, as the agent takes it whenever it gets round to it.
 */

export type Step<Fact> = { readonly fact: Fact; readonly present: boolean } | 'look';

interface Way {
  readonly name: string;
  readonly steps: <Fact>(facts: readonly Fact[]) => Step<Fact>[];
}

const told = <Fact>(fact: Fact): Step<Fact> => ({ fact, present: true });
const takenBack = <Fact>(fact: Fact): Step<Fact> => ({ fact, present: false });
const lookedAt = <Fact>(steps: readonly Step<Fact>[]): Step<Fact>[] => steps.flatMap((step) => [step, 'look'] as const);

/** All end with the facts being there. */
export const WAYS: readonly Way[] = [
  { name: 'forwards', steps: (facts) => facts.map(told) },
  { name: 'backwards', steps: (facts) => facts.toReversed().map(told) },
  { name: 'one by one', steps: (facts) => lookedAt(facts.map(told)) },
  { name: 'backwards one by one', steps: (facts) => lookedAt(facts.toReversed().map(told)) },
  { name: 'twice', steps: (facts) => lookedAt([...facts, ...facts].map(told)) },
  {
    name: 'split in the middle',
    steps: (facts) => {
      const middle = Math.floor(facts.length / 2);
      return [...facts.slice(middle).map(told), 'look', ...facts.slice(0, middle).map(told)];
    },
  },
  {
    name: 'taken back and told again',
    steps: (facts) => lookedAt([...facts.map(told), ...facts.map(takenBack), ...facts.toReversed().map(told)]),
  },
  {
    name: 'each taken back in turn, with looks in between',
    steps: (facts) => [...facts.map(told), ...facts.flatMap((fact) => lookedAt([takenBack(fact), told(fact)]))],
  },
  {
    name: 'each taken back in turn, unseen',
    steps: (facts) => [...lookedAt(facts.map(told)), ...facts.flatMap((fact) => [takenBack(fact), told(fact)])],
  },
];

/** Told, and taken back again: nothing may be left. */
export function toldInVain<Fact>(facts: readonly Fact[]): Step<Fact>[] {
  return lookedAt([...facts.map(told), ...facts.map(takenBack)]);
}
