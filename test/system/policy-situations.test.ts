/**
 * Policy as users write it, by real packets: every situation of policy/situations, on each way to filter packets.
 *
 * One world a backend; the situations follow one another in it, so that each comes about by a change of the one before. The
 * legacy variant of iptables is told every third of them: what differs from the other variant is the program that is called.
 */
import { after, before, describe, it } from 'node:test';
import { DATAPLANES, PolicyWorld } from './policy/policy-world.ts';
import { checkSituation } from './policy/situation.ts';
import { CAST, NAMESPACES, STRANGER } from './policy/situations/cast.ts';
import { SUBJECTS } from './policy/situations/subjects.ts';

const LEGACY_SHARE = 3;

for (const dataplane of DATAPLANES) {
  describe(`policy situations on ${dataplane}`, () => {
    let world: PolicyWorld;
    before(async () => {
      world = await PolicyWorld.open('sit', dataplane, [...CAST, STRANGER]);
    });
    after(() => world?.close());
    let number = 0;
    for (const [subject, situations] of Object.entries(SUBJECTS)) {
      describe(subject, () => {
        for (const situation of situations) {
          if (dataplane === 'iptables-legacy' && number++ % LEGACY_SHARE !== 0) continue;
          it(situation.name, () =>
            checkSituation(world, CAST, { ...situation, resources: `${NAMESPACES}${situation.resources}` }),
          );
        }
      });
    }
  });
}
