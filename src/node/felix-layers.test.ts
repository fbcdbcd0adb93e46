import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FelixConfiguration } from '../model/felix-configuration.ts';
import type { Node } from '../model/node.ts';
import { felixOnNode } from './felix-layers.ts';

/** What the log's prefix is says which layer holds; `selector` undefined: none. */
function layer(name: string, logPrefix: string | undefined, selector?: string): [string, FelixConfiguration] {
  const annotations = logPrefix === undefined ? {} : { 'x/by': name };
  const spec = {
    ...(logPrefix !== undefined && { logPrefix }),
    ...(selector !== undefined && { nodeSelector: selector }),
  };
  return [
    name,
    { apiVersion: 'projectcalico.org/v3', kind: 'FelixConfiguration', metadata: { name, annotations }, spec },
  ];
}

const NODE: Node = {
  ...{ apiVersion: 'projectcalico.org/v3', kind: 'Node', spec: {} },
  metadata: { name: 'host-a', labels: { rack: 'r1' } },
};

const RACK = "rack == 'r1'";

const ROWS: readonly (readonly [string, Node | undefined, [string, FelixConfiguration][], string, string?])[] = [
  ['nothing', NODE, [], 'calico-packet'],
  ['the default', NODE, [layer('default', 'd')], 'd', 'default'],
  ['the default, which says nothing of it', NODE, [layer('default', undefined)], 'calico-packet'],
  ['a selector that chooses the node', NODE, [layer('r', 'r', RACK), layer('default', 'd')], 'r', 'r'],
  ['a selector that does not', NODE, [layer('default', 'd'), layer('r', 'r', "rack == 'r2'")], 'd', 'default'],
  [
    'a node without a resource has no labels',
    undefined,
    [layer('default', 'd'), layer('r', 'r', RACK)],
    'd',
    'default',
  ],
  ['of two that choose it, the later name', NODE, [layer('b', 'b', RACK), layer('a', 'a', RACK)], 'b', 'b'],
  [
    "the node's own",
    NODE,
    [layer('node.host-a', 'n'), layer('z', 'z', RACK), layer('default', 'd')],
    'n',
    'node.host-a',
  ],
  ["another node's own", NODE, [layer('node.host-b', 'n'), layer('default', 'd')], 'd', 'default'],
];

for (const [title, node, layers, expected, by] of ROWS) {
  test(`FelixConfiguration: ${title}`, () => {
    const { felix, annotations } = felixOnNode('host-a', node, new Map(layers));
    assert.equal(felix.logPrefix, expected);
    assert.equal(annotations['x/by'], by);
  });
}
