import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentOf } from '../model/kinds.ts';
import { resourceTitle } from '../model/resource.ts';
import { validateResource } from '../model/validate.ts';
import type { ClusterShape } from './sample-clusters.ts';
import { sampleCluster } from './sample-clusters.ts';

const SHAPES: readonly ClusterShape[] = [
  { kind: 'mesh' },
  { kind: 'reflectors', pairs: 2 },
  { kind: 'racks', hostsPerRack: 3 },
];

for (const shape of SHAPES) {
  test(`sample resources are as documents would give them: ${shape.kind}`, () => {
    for (const resource of sampleCluster({ hosts: 7, shape, containers: 2 })) {
      const validated = validateResource(documentOf(resource));
      const problems = validated.ok ? [] : validated.problems;
      assert.deepEqual(problems, [], resourceTitle(resource));
      assert.deepEqual(validated.ok && validated.resource, resource);
    }
  });
}
