import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterState, NodeState } from './cluster-state.ts';
import { reachOf } from './cluster-state.ts';

const PREFIX = '172.16.0.0/26';

/** Routes in text, "PREFIX GATEWAY…" each; node "c" has the prefix. */
type Routes = Readonly<Record<string, readonly string[]>>;

function state(routes: Routes): ClusterState {
  const nodes = ['a', 'b', 'c'].map((name, index): [string, NodeState] => [
    name,
    {
      addresses: [`10.0.0.${index + 1}`],
      sessions: new Map(),
      routes: new Map(
        (routes[name] ?? []).map((text) => {
          const [prefix = '', ...gateways] = text.split(' ');
          return [
            prefix,
            { gateways: gateways.length === 0 ? undefined : gateways, text: `via ${gateways.join(' ')}` },
          ];
        }),
      ),
      announced: name === 'c' ? [PREFIX] : [],
    },
  ]);
  return { nodes: new Map(nodes) };
}

const [A, B, C, OUTSIDE] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '192.0.2.1'];

const ROWS: readonly (readonly [name: string, routes: Routes, reaching: string])[] = [
  ['nobody without routes but the one who has it', {}, 'c'],
  ['by a gateway that has it', { a: [`${PREFIX} ${C}`] }, 'a c'],
  ['over another node', { a: [`${PREFIX} ${B}`], b: [`${PREFIX} ${C}`] }, 'a b c'],
  ['not over a node that does not know on', { a: [`${PREFIX} ${B}`] }, 'c'],
  ['not in a circle', { a: [`${PREFIX} ${B}`], b: [`${PREFIX} ${A}`] }, 'c'],
  ['by several gateways', { a: [`${PREFIX} ${B} ${C}`], b: [`${PREFIX} ${C}`] }, 'a b c'],
  ['not where one of several gateways leads nowhere', { a: [`${PREFIX} ${B} ${C}`] }, 'c'],
  ['by a route to more', { a: [`172.16.0.0/16 ${C}`] }, 'a c'],
  [
    'by the most specific route, though another one would lead there',
    { a: [`0.0.0.0/0 ${C}`, `172.16.0.0/20 ${B}`] },
    'c',
  ],
  ['not by a route that discards', { a: [PREFIX] }, 'c'],
  ['out of the cluster, where the best is assumed', { a: [`${PREFIX} ${OUTSIDE}`] }, 'a c'],
];

describe('packets to a prefix get there', () => {
  for (const [name, routes, reaching] of ROWS) {
    it(name, () => {
      assert.deepEqual([...(reachOf(state(routes)).get(PREFIX) ?? [])], reaching.split(' '));
    });
  }
});
