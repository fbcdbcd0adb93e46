import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { isBgpError } from './errors.ts';
import { decodeRefresh, encodeRefresh } from './route-refresh.ts';
import { hex, MARKER } from './wire.suite.ts';

const BYTES: [family: 4 | 6, kind: 'request' | 'begin' | 'end', body: string][] = [
  [4, 'request', '00010001'],
  [6, 'request', '00020001'],
  [4, 'begin', '00010101'],
  [6, 'end', '00020201'],
];
for (const [family, kind, body] of BYTES) {
  test(`RFC 2918 section 3, RFC 7313 section 3.2: ${kind} of IPv${family}`, () => {
    assert.equal(toHex(encodeRefresh({ family, kind })), `${MARKER}001705${body}`);
    assert.deepEqual(decodeRefresh(hex(body), true), { family, kind });
  });
}

const READ: [title: string, body: string, enhanced: boolean, expected: object | undefined][] = [
  ['RFC 2918: the third byte is reserved', '00010201', false, { family: 4, kind: 'request' }],
  ['RFC 7313 section 5: an unknown subtype is ignored', '00010301', true, undefined],
  ['RFC 2918 section 4: a foreign family is ignored', '00190046', true, undefined],
  ['RFC 5291: a filter behind a request is skipped', '00010001 01 40 0000', true, { family: 4, kind: 'request' }],
];
for (const [title, body, enhanced, expected] of READ) {
  test(title, () => assert.deepEqual(decodeRefresh(hex(body), enhanced), expected));
}

const BAD: [title: string, body: string, enhanced: boolean][] = [
  ['begin with more', '0001010100', true],
  ['end with less', '000102', true],
  ['a request with less', '000100', false],
  ['nothing', '', true],
];
for (const [title, body, enhanced] of BAD) {
  test(`RFC 7313 section 5: ${title} is an error that carries the message`, () => {
    const error = decodeRefresh(hex(body), enhanced);
    assert.ok(isBgpError(error));
    assert.equal(`${error.code}/${error.subcode}`, '7/1');
    assert.ok(toHex(error.data).startsWith(MARKER) && toHex(error.data).endsWith(body));
  });
}
