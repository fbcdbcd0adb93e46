import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPlaces, NAME_LENGTH_MAX, NAME_PATTERN, namespacesOfLab } from './names.ts';

/** sun_path of unix(7), without its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;

test("a lab's namespaces are told from those of a lab whose name begins alike", () => {
  const namespaces = ['muslin-two-a', 'muslin-two-dual-a', 'muslin-twofold-a', 'muslin-test-1', 'cni-1', 'muslin-two'];
  const rows: readonly [lab: string, others: readonly string[], namespaces: readonly string[]][] = [
    ['two', ['two-dual', 'twofold'], ['muslin-two-a']],
    ['two-dual', ['two', 'twofold'], ['muslin-two-dual-a']],
    ['twofold', ['two'], ['muslin-twofold-a']],
    ['two', [], ['muslin-two-a', 'muslin-two-dual-a']],
    ['dual', ['two'], []],
  ];
  for (const [lab, others, expected] of rows) assert.deepEqual(namespacesOfLab(lab, namespaces, others), expected);
});

test('the longest names still make socket paths that fit', () => {
  const longest = 'x'.repeat(NAME_LENGTH_MAX);
  assert(hostPlaces(longest, longest).controlSocket.length <= SOCKET_PATH_BYTES_MAX);
});

test('names are DNS labels that begin with a letter', () => {
  for (const name of ['a', 'host-a', 'r1']) assert.match(name, NAME_PATTERN);
  for (const name of ['', '-a', 'a-', '1a', 'A', 'a_b', 'a.b', '../a', 'a/b']) assert.doesNotMatch(name, NAME_PATTERN);
});
