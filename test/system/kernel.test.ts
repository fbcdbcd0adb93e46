/**
 * The real kernel passes the suite of the Kernel interface, in namespaces that the test makes and removes; and what only
 * the real one can show: namespaces, lost events, the end of the process. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { kernelSuite } from '../../src/kernel/kernel.suite.ts';
import { recordEvents } from '../../src/kernel/kernel-suite-world.ts';
import { openKernel } from '../../src/kernel/netlink-kernel.ts';
import {
  addNamespace,
  inNamespace,
  namespaceNames,
  namespacePath,
  removeNamespace,
  sameNamespace,
} from '../../src/kernel/network-namespace.ts';
import { hostPrefix } from '../../src/net/cidr.ts';
import { ipFromBytes } from '../../src/net/ip.ts';
import { ifIndex, ROUTE_SCOPE, ROUTE_TABLE, type Route, routeKey, sameRoute } from '../../src/net/kernel-objects.ts';

let worlds = 0;

function makeNames(): [string, string] {
  worlds += 1;
  return [`muslin-test-kernel-${process.pid}-${worlds}a`, `muslin-test-kernel-${process.pid}-${worlds}b`];
}

kernelSuite('real kernel', () => {
  const names = makeNames();
  const [path, peerPath] = names.map(addNamespace);
  assert.ok(path !== undefined && peerPath !== undefined);
  const kernel = openKernel(path);
  const peer = openKernel(peerPath);
  return {
    kernel,
    peer,
    peerPath,
    close: () => {
      kernel.close();
      peer.close();
      for (const name of names) removeNamespace(name);
    },
  };
});

describe('network namespaces', () => {
  const [name, other] = makeNames();
  const own = (): number => statSync('/proc/thread-self/ns/net').ino;
  const home = own();
  after(() => {
    for (const each of [name, other]) removeNamespace(each);
  });

  it('are made, named, entered and left; the main thread is at home again, whatever the work did', () => {
    const path = addNamespace(name);
    assert.equal(path, namespacePath(name));
    assert.equal(own(), home);
    const inside = inNamespace(path, own);
    assert.equal(inside, statSync(path).ino);
    assert.notEqual(inside, home);
    assert.equal(own(), home);
    assert.throws(
      () =>
        inNamespace(path, () => {
          throw new RangeError('work failed');
        }),
      /work failed/,
    );
    assert.equal(own(), home);
    assert.throws(() => inNamespace(path, async () => undefined), /must be synchronous/);
    assert.equal(own(), home);
    const nested = inNamespace(path, () => [own(), inNamespace(addNamespace(other), own), own()]);
    assert.deepEqual(nested, [inside, statSync(namespacePath(other)).ino, inside]);
    assert.equal(own(), home);
    assert.equal(sameNamespace(path, path), true);
    assert.equal(sameNamespace(path, namespacePath(other)), false);
  });

  it('are those of iproute2', () => {
    assert.ok(namespaceNames().includes(name));
    assert.match(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }), new RegExp(`^${name}\\b`, 'm'));
    const inode = execFileSync('ip', ['netns', 'exec', name, 'stat', '-Lc', '%i', '/proc/self/ns/net'], {
      encoding: 'utf8',
    });
    assert.equal(Number(inode), statSync(namespacePath(name)).ino);
    removeNamespace(other);
    execFileSync('ip', ['netns', 'add', other]);
    assert.throws(() => addNamespace(other), { code: 'EEXIST' });
    removeNamespace(other);
    assert.ok(!namespaceNames().includes(other));
    removeNamespace(other);
  });

  it('a path that leads to none is named in the error', () => {
    const kernel = openKernel(namespacePath(name));
    const rows: [string, string, RegExp][] = [
      ['/no/such/path', 'ENOENT', /network namespace \/no\/such\/path/],
      ['/etc/hostname', 'EINVAL', /\/etc\/hostname is not a network namespace/],
      ['/proc/self/ns/mnt', 'EINVAL', /\/proc\/self\/ns\/mnt is not a network namespace/],
      ['/run', 'EINVAL', /\/run is not a network namespace/],
    ];
    for (const [path, code, message] of rows) {
      const expected = { name: 'KernelError', code, message };
      assert.throws(() => inNamespace(path, own), expected);
      assert.throws(() => openKernel(path), expected);
      assert.throws(() => kernel.addVeth({ name: 'a', peer: { name: 'b', namespacePath: path } }), expected);
    }
    kernel.close();
    assert.throws(() => sameNamespace('/no/such/path', '/run'), { code: 'ENOENT' });
    for (const bad of ['', '..', 'a/b', 'x'.repeat(256)]) assert.throws(() => namespacePath(bad), { code: 'EINVAL' });
    assert.equal(own(), home);
  });

  it('the thread pool stays at home, even when the first asynchronous call is made elsewhere', () => {
    const script = `
      import { promises, readlinkSync } from 'node:fs';
      import { inNamespace } from './src/kernel/network-namespace.ts';
      const own = '/proc/thread-self/ns/net';
      const home = readlinkSync(own);
      let first;
      inNamespace(process.argv[1], () => { first = promises.readlink(own); });
      process.stdout.write(String((await first) === home));
    `;
    assert.equal(runScript(script, namespacePath(name)), 'true');
  });
});

describe('the real kernel', { timeout: 30_000 }, () => {
  const [name] = makeNames();
  before(() => addNamespace(name));
  after(() => removeNamespace(name));

  const routeTo = (number: number): Route => ({
    destination: hostPrefix(ipFromBytes(Uint8Array.of(10, 200, number >> 8, number & 0xff))),
    type: 'unicast',
    nextHops: [{ gateway: undefined, index: ifIndex(1), onlink: false }],
    protocol: 80,
    scope: ROUTE_SCOPE.link,
    table: ROUTE_TABLE.main,
    metric: 0,
    source: undefined,
  });

  it('takes 1,000 routes and gives them back, and a kernel opened anew sees them', () => {
    const kernel = openKernel(namespacePath(name));
    kernel.setLinkUp(ifIndex(1), true);
    const routes = Array.from({ length: 1000 }, (_, number) => routeTo(number));
    for (const route of routes) kernel.putRoute(route);
    kernel.close();
    const again = openKernel(namespacePath(name));
    const byKey = new Map(again.routes(ROUTE_TABLE.main).map((route) => [routeKey(route), route]));
    assert.equal(byKey.size, routes.length);
    for (const route of routes) {
      const found = byKey.get(routeKey(route));
      assert.ok(found !== undefined && sameRoute(found, route));
      again.removeRoute(route);
    }
    assert.deepEqual(again.routes(ROUTE_TABLE.main), []);
    again.close();
  });

  it('loses events when nobody reads them, says so, and goes on telling', async () => {
    const kernel = openKernel(namespacePath(name));
    const events = recordEvents(kernel);
    const lo = ifIndex(1);
    // The event loop does not turn meanwhile: link events of some kilobytes each fill the buffer.
    for (let number = 0; number < 10_000; number++) kernel.setLinkMtu(lo, 60_000 + (number % 2));
    await events.until(({ kind }) => kind === 'overrun');
    kernel.putRoute(routeTo(1));
    await events.until((event) => event.kind === 'route' && sameRoute(event.route, routeTo(1)));
    events.stop();
    kernel.close();
  });

  it('tells of a route too long for the first receive buffer', async () => {
    const kernel = openKernel(namespacePath(name));
    kernel.setLinkUp(ifIndex(1), true);
    const events = recordEvents(kernel);
    // 16 bytes a next hop, hence 40 kB.
    const nextHops = Array.from({ length: 2500 }, (_, number) => ({
      gateway: ipFromBytes(Uint8Array.of(10, 201, number >> 8, number & 0xff)),
      index: ifIndex(1),
      onlink: true,
    }));
    const wide: Route = { ...routeTo(2), nextHops, scope: ROUTE_SCOPE.universe };
    kernel.putRoute(wide);
    await events.until((event) => {
      assert.notEqual(event.kind, 'overrun');
      return event.kind === 'route' && event.route.nextHops.length === nextHops.length;
    });
    events.stop();
    kernel.removeRoute(wide);
    kernel.close();
  });

  it('stays with its namespace when the name goes', () => {
    const [gone] = makeNames();
    const kernel = openKernel(addNamespace(gone));
    kernel.addBridge('br0');
    removeNamespace(gone);
    assert.notEqual(kernel.link('br0'), undefined);
    kernel.writeSysctl('ipv4/conf/br0/proxy_arp', '1');
    assert.equal(kernel.readSysctl('ipv4/conf/br0/proxy_arp'), '1');
    kernel.close();
    kernel.close();
    assert.throws(() => kernel.links(), /closed/);
    assert.throws(() => kernel.readSysctl('ipv4/ip_forward'), /closed/);
  });

  it('closed, it lets the process end; a stopped watch, too', () => {
    const script = `
      import { openKernel } from './src/kernel/netlink-kernel.ts';
      const [watching, stopped] = [1, 2].map(() => openKernel(process.argv[1]));
      const stop = stopped.watch(() => undefined);
      watching.watch(() => { stop(); watching.close(); process.stdout.write('closed'); });
      watching.addBridge('br9');
    `;
    assert.equal(runScript(script, namespacePath(name)), 'closed');
  });
});

/** What a script prints before it ends by itself. */
function runScript(script: string, argument: string): string {
  return execFileSync(process.execPath, ['--input-type=module', '--eval', script, argument], {
    encoding: 'utf8',
    timeout: 10_000,
    cwd: new URL('../..', import.meta.url).pathname,
  });
}
