/**
 * A table of specs that are taken or refused, for the test of any kind.
 *
 * A good row says what the spec must have become; it is then validated again, as the store does when it reads, and must
 * stay what it is. A bad row has every problem in full, place and words: users see these sentences.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPath } from './problem.ts';
import { API_VERSION } from './resource.ts';
import { valueOfResource } from './resource-entry.ts';
import { validateResource } from './validate.ts';

/** Title, spec, and either the fields that it must have or all that is wrong with it; a name where it matters. */
export type KindRow = readonly [title: string, spec: unknown, expected: object | readonly string[], name?: string];

export function checkRows(
  kind: string,
  rows: readonly KindRow[],
  usualName: string,
  apiVersion: string = API_VERSION,
): void {
  for (const [title, spec, expected, name = usualName] of rows) {
    test(`${kind}: ${title}`, () => {
      const document = {
        apiVersion,
        kind,
        metadata: { name },
        ...(spec !== undefined && { spec }),
      };
      const result = validateResource(document);
      if (Array.isArray(expected)) {
        const problems = result.ok ? [] : result.problems;
        assert.deepEqual(
          problems.map(({ path, message }) => `${formatPath(path)}: ${message}`),
          expected,
        );
        return;
      }
      assert.ok(result.ok, JSON.stringify(result));
      assert.deepEqual(result.resource.spec, expected);
      const again = validateResource(valueOfResource(result.resource));
      assert.ok(again.ok, JSON.stringify(again));
      assert.deepEqual(again.resource, result.resource);
    });
  }
}
