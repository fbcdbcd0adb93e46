/**
 * Every topology that ships comes up, is as its own checks say, and goes without a trace.
 *
 * `lab up` waits until all checks hold and fails with what is missing. Topologies that another test file names, or is named
 * after, are left to it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { TestLab } from './two-hosts-fixture.ts';

const LABS = new URL('../../labs/', import.meta.url);
const names = readdirSync(LABS).flatMap((file) => /^(.+)\.yaml$/.exec(file)?.[1] ?? []);
const others = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.test.ts') && file !== basename(import.meta.filename))
  .map((file) => ({ file, text: readFileSync(join(import.meta.dirname, file), 'utf8') }));

/** Established sessions of those whose number is told in their pages. */
const SESSIONS: Readonly<Record<string, number>> = {
  'dual-stack': 15,
  'ipv6-only': 3,
  'route-reflector-ipv6': 9,
  shop: 1,
};

/** What no check of a topology can say. */
const MORE: Readonly<Record<string, (lab: TestLab) => void>> = {
  'ipv6-only': (lab) => {
    hasNoIpv4(lab, ['w1', 'host-1', 'w3', 'host-3']);
    routerIdentifiersDiffer(lab, 'host-1', 2);
    const gateway = 'default via fe80::ecee:eeff:feee:eeee dev eth0';
    assert.ok(lab.routes('w1', '-6', 'route').some((line) => line.startsWith(gateway)));
  },
  'public-cloud-ipv6': (lab) => {
    hasNoIpv4(lab, ['a1', 'host-a', 'fabric']);
    for (const host of ['host-a', 'host-a2', 'host-b'])
      assert.equal(lab.inside(host, 'ss', '-Htan', 'sport = :179 or dport = :179'), '', host);
    // 1500 less 70 of VXLAN over IPv6, of which 40 are the inner header's and 8 the echo's.
    lab.inside('a1', 'ping', '-c', '1', '-W', '5', '-M', 'do', '-s', '1382', 'fd00:17:9::2');
  },
  'racks-l3-core-ipv6': (lab) => hasNoIpv4(lab, ['c11', 'host-11', 'tor-1a', 'core-1']),
  'route-reflector-ipv6': (lab) => {
    hasNoIpv4(lab, ['w1', 'host-1', 'rr-1']);
    routerIdentifiersDiffer(lab, 'rr-1', 5);
  },
  'unnumbered-ipv6': (lab) => {
    const machines = ['host-11', 'tor-1a', 'spine-1'];
    hasNoIpv4(lab, machines);
    for (const machine of machines)
      assert.deepEqual(lab.routes(machine, '-6', '-o', 'addr', 'show', 'scope', 'global'), []);
    routerIdentifiersDiffer(lab, 'tor-1a', 4);
  },
};

function hasNoIpv4(lab: TestLab, entities: readonly string[]): void {
  for (const entity of entities) {
    const addresses = lab.routes(entity, '-4', '-o', 'addr').filter((line) => !line.includes('127.0.0.1'));
    assert.deepEqual(addresses, []);
  }
}

function routerIdentifiersDiffer(lab: TestLab, host: string, peers: number): void {
  const socket = `/run/muslin/lab/${lab.name}/${host}/agent.sock`;
  const outcome = lab.muslin('bgp', 'peers', '-o', 'json', '--socket', socket);
  const identifiers = JSON.parse(outcome.stdout).map(({ routerId }: { routerId: string }) => routerId);
  assert.equal(new Set(identifiers).size, peers, `each peer has a router identifier of its own: ${identifiers}`);
}

describe('the shipped topology', () => {
  for (const name of names) {
    if (others.some(({ file, text }) => file === `${name}.test.ts` || text.includes(`'${name}'`))) continue;

    it(`${name} comes up, holds what it promises, and goes`, () => {
      const lab = new TestLab(name);
      try {
        lab.up();
        const outcome = lab.muslin('lab', 'check', lab.name);
        assert.equal(outcome.code, 0, outcome.stdout);
        const checks = JSON.parse(lab.muslin('lab', 'check', lab.name, '-o', 'json').stdout);
        assert.notEqual(checks.length, 0);
        const { sessions } = JSON.parse(lab.muslin('lab', 'status', lab.name, '-o', 'json').stdout);
        assert.equal(sessions, SESSIONS[name] ?? sessions);
        MORE[name]?.(lab);
      } finally {
        lab.down();
      }
      const left = readdirSync('/run/netns').filter((namespace) => namespace.startsWith(`muslin-${lab.name}-`));
      assert.deepEqual(left, []);
    });
  }
});
