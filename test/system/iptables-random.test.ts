/**
 * The iptables backend with random policies, and with random damage, on a real kernel in both variants.
 *
 *   random world ─► calculation ─► builder ─► program, its changes ─► plan ─► kernel
 *                                                └──── compared as a whole: nothing left to do
 *
 * Worlds follow one another by changes alone. Damage is one line of what is ours, deleted, replaced, doubled or pushed aside,
 * or a member of a set; what others have stands beside it and must be left as it was.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Calculation } from '../../src/felix/calc/calculation.ts';
import { FilterBuilder } from '../../src/felix/dataplane/filter/builder.ts';
import { IPTABLES_DIALECT } from '../../src/felix/dataplane/filter/program.ts';
import type { IptablesListing } from '../../src/felix/dataplane/iptables/plan.ts';
import { IptablesPlanner } from '../../src/felix/dataplane/iptables/plan.ts';
import { countForeignRules } from '../../src/felix/dataplane/iptables/save.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../src/felix/desired/filter-settings.ts';
import type { Iptables, IptablesInput } from '../../src/kernel/iptables.ts';
import { openIptables } from '../../src/kernel/iptables.ts';
import { addNamespace, namespacePath, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { seededRandom } from '../../src/lib/prng.ts';
import type { AnyResource } from '../../src/model/kinds.ts';
import { resourceTitle } from '../../src/model/resource.ts';
import { NODES, randomWorld } from '../../src/node/filter/random-policies.suite.ts';

const PREFIX = `muslin-test-iptables-random-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const FIRST_SEED = Number(process.env['POLICY_SEED'] ?? 0);
const WORLDS = 30;
const DAMAGES = 100;

const FOREIGN = `*filter
:theirs - [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -j theirs
-A FORWARD -p udp -j DROP
-A theirs -p tcp -j RETURN
COMMIT
`;

/** One host that lives through worlds. */
class Host {
  readonly builder = new FilterBuilder(IPTABLES_DIALECT, {
    ...FILTER_SETTINGS_DEFAULTS,
    ipip: true,
    vxlan: { port: 4789 },
    logRate: { count: 5, per: 'minute', burst: 5 },
  });
  readonly #calculation = new Calculation(NODES[0]);
  #known: readonly string[] = [];

  become(resources: readonly AnyResource[]): void {
    const wanted = new Map(resources.map((resource) => [resourceTitle(resource), resource]));
    for (const title of new Set([...this.#known, ...wanted.keys()])) this.#update(title, wanted.get(title));
    this.#known = [...wanted.keys()];
    const { endpoints, policy } = this.#calculation.takeChanges();
    this.builder.updateEndpoints(endpoints);
    this.builder.updatePolicy(policy);
  }

  #update(title: string, resource: AnyResource | undefined): void {
    const [kind, name = ''] = title.split(' ');
    if (kind !== 'WorkloadEndpoint') this.#calculation.updatePolicyResource(title, resource);
    else this.#calculation.updateEndpoint(name, resource?.kind === kind ? resource : undefined);
  }
}

for (const variant of ['legacy', 'nft'] as const) {
  describe(`iptables-${variant}`, { skip }, () => {
    const name = PREFIX + variant;
    const host = new Host();
    const planner = newPlanner();
    let tables: Iptables;
    before(() => {
      addNamespace(name);
      tables = openIptables({ namespacePath: namespacePath(name), variant, countForeignRules });
      tables.run(
        ['iptables-restore', 'ip6tables-restore'].map((program) => ({ program, input: FOREIGN }) as IptablesInput),
      );
    });
    after(() => {
      tables?.close();
      removeNamespace(name);
    });

    test(`${WORLDS} worlds, each by changes from the one before, are each what a fresh look would make`, () => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + WORLDS; seed++) {
        host.become(randomWorld(seed));
        const changes = seed === FIRST_SEED ? undefined : host.builder.takeChanges();
        if (changes === undefined) host.builder.takeChanges();
        const plan = planner.plan(host.builder.program, changes, changes === undefined ? listing(tables) : undefined);
        tables.run(plan.steps);
        planner.applied();
        const left = newPlanner().plan(host.builder.program, undefined, listing(tables));
        assert.deepEqual(left, { steps: [], changes: 0 }, `world ${seed}`);
      }
    });

    test(`${DAMAGES} kinds of damage are all repaired, and nothing foreign is touched`, () => {
      const sound = contents(tables);
      const { program } = host.builder;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + DAMAGES; seed++) {
        const there = listing(tables);
        const damage = randomDamage(there, seededRandom(seed));
        tables.run([damage]);
        const damaged = contents(tables);
        const plan = planner.plan(program, undefined, listing(tables));
        tables.run(plan.steps);
        const about = `damage ${seed}: ${damage.input}`;
        assert.deepEqual(contents(tables), sound, about);
        assert.equal(plan.changes > 0, damaged.join('\n') !== sound.join('\n'), about);
      }
    });
  });
}

function newPlanner(): IptablesPlanner {
  return new IptablesPlanner({ families: [4, 6], insertMode: 'insert' });
}

function listing(tables: Iptables): IptablesListing {
  return { rules: { 4: tables.save(4), 6: tables.save(6) }, sets: tables.saveSets() };
}

/** Rules in their order; chains and members, which have none, sorted. */
function contents(tables: Iptables): string[] {
  const { rules, sets } = listing(tables);
  const lines = ([4, 6] as const).flatMap((family) => {
    const numbers = new Map<string, number>();
    let table = '';
    return (rules[family] ?? '').split('\n').flatMap((line) => {
      if (line.startsWith('*')) table = line;
      if (!line.startsWith(':') && !line.startsWith('-A')) return [];
      const key = `${family} ${table} ${line.split(' ')[1]}`;
      const number = (numbers.get(key) ?? 0) + 1;
      numbers.set(key, number);
      return [`${key} ${String(number).padStart(4)} ${line.replace(/ \[.*/, '')}`];
    });
  });
  return [...lines, ...sets.split('\n').map((line) => line.replace(/ hashsize.*/, ''))].sort();
}

/** One line of input that damages something of ours. */
function randomDamage({ rules, sets }: IptablesListing, random: () => number): IptablesInput {
  const of = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const ofOurs = sets.split('\n').filter((line) => line.startsWith('add cali'));
  if (ofOurs.length > 0 && random() < 0.25) {
    const [, set = '', member = ''] = of(ofOurs).split(' ');
    const other = member.replace(/^[^,/]+/, set.startsWith('cali6') ? 'fd99::99' : '9.9.9.9');
    return { program: 'ipset', input: `${of([`del ${set} ${member}`, `add ${set} ${other}`, `flush ${set}`])}\n` };
  }
  const family = of([4, 6] as const);
  const [table = '', body = ''] = of((rules[family] ?? '').matchAll(/^\*(\w+)\n([^*]*)^COMMIT$/gm).toArray()).slice(1);
  const lines = body.split('\n').filter((line) => line.startsWith('-A '));
  const ours = lines.filter((line) => line.includes('--comment "cali:'));
  const line = of(ours);
  const [, chain = ''] = line.split(' ');
  const number = lines.filter((each) => each.startsWith(`-A ${chain} `)).indexOf(line) + 1;
  const damages = [
    `-D ${chain} ${number}`,
    `-R ${chain} ${number} -p tcp -j RETURN`,
    `-I ${chain} ${number} ${line.slice(`-A ${chain} `.length)}`,
    line,
    // In others' chains these would not be ours.
    ...(chain.startsWith('cali-') ? [`-F ${chain}`, `-I ${chain} ${number} -j RETURN`, `-A ${chain} -j RETURN`] : []),
  ];
  const isOurs = chain.startsWith('cali-');
  const chosen = of(isOurs ? damages : damages.filter((each) => !each.startsWith('-R')));
  return {
    program: family === 4 ? 'iptables-restore' : 'ip6tables-restore',
    input: `*${table}\n${chosen}\nCOMMIT\n`,
  };
}
