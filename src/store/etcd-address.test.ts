import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseEtcdAddress } from './etcd-address.ts';
import { StoreError } from './store.ts';

describe('an etcd address is read', () => {
  const ROWS: readonly (readonly [url: string, description: string, hosts: readonly string[], prefix: string])[] = [
    ['etcd://a', 'etcd://a:2379/muslin', ['a'], '/muslin'],
    ['etcd://a:1/', 'etcd://a:1', ['a'], ''],
    ['etcd://a:1/one/two/', 'etcd://a:1/one/two', ['a'], '/one/two'],
    [
      'etcd://10.0.0.1:1,b.example,[fd00::1]:3/x',
      'etcd://10.0.0.1:1,b.example:2379,[fd00::1]:3/x',
      ['10.0.0.1', 'b.example', 'fd00::1'],
      '/x',
    ],
    ['etcds://a/x?compact=no', 'etcds://a:2379/x', ['a'], '/x'],
  ];
  for (const [url, description, hosts, prefix] of ROWS) {
    test(url, () => {
      const address = parseEtcdAddress(url);
      assert.equal(address.description, description);
      assert.deepEqual(
        address.endpoints.map(({ host }) => host),
        hosts,
      );
      assert.equal(address.prefix, prefix);
      assert.equal(address.tls !== undefined, url.startsWith('etcds'));
      assert.equal(address.compacts, !url.includes('compact=no'));
    });
  }
});

describe('an etcd address that is wrong is refused, and the message says what is right', () => {
  const ROWS: readonly (readonly [url: string, message: RegExp, code?: StoreError['code']])[] = [
    ['etcd://', /not the address of an etcd; right is: write etcd:\/\/HOST:PORT/],
    ['etcd:a', /not the address of an etcd/],
    ['etcd://a#b', /not the address of an etcd/],
    ['etcd://me:word@a/x', /holds no user or password; right is: \?user=NAME and set MUSLIN_STORE_PASSWORD/],
    ['etcd://a:0/x', /"a:0" is not an endpoint/],
    ['etcd://a:65536/x', /"a:65536" is not an endpoint/],
    ['etcd://a,,b/x', /"" is not an endpoint/],
    ['etcd://fd00::1/x', /"fd00::1" is not an endpoint; right is: HOST:PORT, \[IPV6\]:PORT/],
    [`etcd://${Array.from({ length: 17 }, (_, n) => `a${n}`).join(',')}/x`, /too many endpoints; right is: at most 16/],
    ['etcd://a/x y', /"\/x y" cannot be the prefix/],
    ['etcd://a/x//y', /cannot be the prefix/],
    ['etcd://a/ä', /cannot be the prefix/],
    [`etcd://a/${'x'.repeat(128)}`, /cannot be the prefix/],
    ['etcd://a/x?colour=red', /"colour" is no option of an etcd address; right is: ca, cert, key/],
    ['etcd://a/x?password=secret', /a password does not belong in an address; right is: passwordFile=FILE/],
    ['etcds://a/x?ca=', /"ca" is empty or given twice/],
    ['etcds://a/x?ca=1&ca=2', /"ca" is empty or given twice/],
    ['etcd://a/x?ca=/ca.crt', /"ca" is for TLS, which etcd:\/\/ is without; right is: etcds:\/\//],
    ['etcds://a/x?cert=/client.crt', /both cert=FILE and key=FILE/],
    ['etcds://a/x?ca=/nowhere/ca.crt', /ca= cannot be read: ENOENT/, 'unavailable'],
    ['etcd://a/x?passwordFile=/p', /user=NAME with passwordFile=FILE/],
    ['etcd://a/x?user=me&passwordFile=/nowhere/p', /passwordFile= cannot be read: ENOENT/, 'unavailable'],
    ['etcd://a/x?compact=maybe', /compact=yes or compact=no/],
  ];
  for (const [url, message, code = 'invalid'] of ROWS) {
    test(url, () => {
      assert.throws(
        () => parseEtcdAddress(url),
        (error) => {
          assert.ok(error instanceof StoreError);
          assert.equal(error.code, code);
          assert.match(error.message, message);
          assert.ok(!error.message.includes('word@') && !error.message.includes('secret'), 'shows the password');
          return true;
        },
      );
    });
  }
});

describe('a password', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muslin-test-'));
  after(() => rmSync(folder, { recursive: true }));

  test('is read again from its file each time, without the end of its line', () => {
    const file = join(folder, 'password');
    writeFileSync(file, 'old \n');
    const { login } = parseEtcdAddress(`etcd://a/x?user=me&passwordFile=${file}`);
    assert.equal(login?.user, 'me');
    assert.equal(login.password(), 'old ');
    writeFileSync(file, 'new');
    assert.equal(login.password(), 'new');
  });
});
