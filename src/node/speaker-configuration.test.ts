import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SpeakerConfig } from '../bgp/contract.ts';
import type { BgpConfiguration } from '../model/bgp-configuration.ts';
import type { Node } from '../model/node.ts';
import { validateResource } from '../model/validate.ts';
import { formatRouterId } from '../net/asn.ts';
import { formatIp, ip } from '../net/ip.ts';
import { sourceAddressFor, speakerConfiguration } from './speaker-configuration.ts';

function resource(kind: string, name: string, spec: object) {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource;
}

const NODES = new Map(
  Object.entries({
    a: { ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' },
    b: { ipv4Address: '10.0.0.2/24', ipv6Address: 'fd00::2/64', asNumber: 65001 },
    c: { ipv4Address: '10.0.0.10/24' },
    d: { ipv6Address: 'fd00::4/64' },
  }).map(([name, bgp]) => [name, resource('Node', name, { bgp }) as Node] as const),
);

function settings(spec: object, name = 'default'): ReadonlyMap<string, BgpConfiguration> {
  return new Map([[name, resource('BGPConfiguration', name, spec) as BgpConfiguration]]);
}

function configured(name: string, configurations: ReadonlyMap<string, BgpConfiguration> = new Map()): SpeakerConfig {
  const configuration = speakerConfiguration(name, { nodes: NODES, configurations });
  assert.ok(!('reason' in configuration), JSON.stringify(configuration));
  return configuration;
}

function peersOf(configuration: SpeakerConfig): string[] {
  return configuration.peers.map(({ address, asn, port, passive, families, description }) => {
    return `${formatIp(address)} as ${asn} port ${port} ${passive ? 'waits' : 'dials'} ${families.join('+')} ${description}`;
  });
}

describe('the speaker configuration', () => {
  it('is a full mesh, over IPv4 where both have it; the lower address waits, compared as a number', () => {
    assert.deepEqual(peersOf(configured('a')), [
      '10.0.0.2 as 65001 port 179 waits 4+6 mesh, Node b',
      '10.0.0.10 as 64512 port 179 waits 4 mesh, Node c',
      'fd00::4 as 64512 port 179 waits 6 mesh, Node d',
    ]);
    assert.deepEqual(peersOf(configured('c')), [
      '10.0.0.1 as 64512 port 179 dials 4 mesh, Node a',
      '10.0.0.2 as 65001 port 179 dials 4 mesh, Node b',
    ]);
  });

  it('has exactly one side of each pair dial', () => {
    for (const [one, other] of [
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'c'],
      ['a', 'd'],
      ['b', 'd'],
    ] as const) {
      const sides = [[one, other] as const, [other, one] as const].map(([self, peer]) => {
        return configured(self).peers.find(({ description }) => description.endsWith(` ${peer}`))?.passive;
      });
      assert.deepEqual(sides.sort(), [false, true], `${one} and ${other}`);
    }
  });

  it('follows BGPConfiguration: AS number, port, and no mesh', () => {
    assert.equal(configured('a', settings({ asNumber: 64999 })).asn, 64999);
    assert.equal(configured('b', settings({ asNumber: 64999 })).asn, 65001, "the node's own number wins");
    assert.equal(configured('a', settings({ listenPort: 1790 })).peers[0]?.port, 1790);
    assert.deepEqual(configured('a', settings({ nodeToNodeMeshEnabled: false })).peers, []);
  });

  it('makes the identifier from the IPv4 address, or from the name where there is none', () => {
    assert.equal(formatRouterId(configured('a').routerId), '10.0.0.1');
    assert.notEqual(configured('d').routerId, 0);
  });

  it('dials from the address that the peer knows', () => {
    const configuration = configured('a');
    assert.equal(formatIp(sourceAddressFor(ip('10.0.0.2'), configuration) ?? ip('::')), '10.0.0.1');
    assert.equal(formatIp(sourceAddressFor(ip('fd00::4'), configuration) ?? ip('::')), 'fd00::1');
  });

  it('says why it cannot speak yet', () => {
    const nodes = new Map([['x', resource('Node', 'x', {}) as Node]]);
    const none = { nodes, configurations: new Map() };
    assert.deepEqual(speakerConfiguration('y', none), { reason: 'there is no Node resource called y' });
    assert.match(JSON.stringify(speakerConfiguration('x', none)), /Node x has neither spec\.bgp\.ipv4Address nor/);
  });
});
