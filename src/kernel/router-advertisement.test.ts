import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeRouterAdvertisement, encodeRouterSolicitation, routerMessageKind } from './router-advertisement.ts';

const zeros = (count: number): number[] => new Array<number>(count).fill(0);
const MAC_OPTION = [1, 1, 2, 0, 0, 0, 0, 1];

const MESSAGES: readonly (readonly [title: string, bytes: readonly number[], kind: string | undefined])[] = [
  ['our advertisement', [...encodeRouterAdvertisement()], 'advertisement'],
  ['our solicitation', [...encodeRouterSolicitation()], 'solicitation'],
  ['an advertisement with options', [134, ...zeros(15), ...MAC_OPTION, ...MAC_OPTION], 'advertisement'],
  ['a solicitation with the address of its sender', [133, ...zeros(7), ...MAC_OPTION], 'solicitation'],
  ['nothing', [], undefined],
  ['an advertisement cut off', [134, ...zeros(14)], undefined],
  ['a solicitation cut off', [133, ...zeros(6)], undefined],
  ['an unknown code', [134, 1, ...zeros(14)], undefined],
  ['an option of length 0, which would never end', [134, ...zeros(15), 1, 0, ...zeros(6)], undefined],
  ['an option longer than the message', [134, ...zeros(15), 1, 2, ...zeros(6)], undefined],
  ['half an option', [134, ...zeros(15), 1], undefined],
  ['a neighbour solicitation', [135, ...zeros(23)], undefined],
];

test('RFC 4861 section 6.1: what is an advertisement or a solicitation', () => {
  for (const [title, bytes, kind] of MESSAGES) assert.equal(routerMessageKind(Uint8Array.from(bytes)), kind, title);
});
