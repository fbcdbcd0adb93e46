/**
 * Two subnets with a router between that knows nothing of containers: each file that ships with the lab makes the network as it
 * says, while it runs. Plain routing fails across the router; every tunnel gets through it, and who needs none has none.
 *
 * That no ping is lost between modes that both work is shown in tunnels.test.ts; here is what the pages tell users to do.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { PingWatch } from './lab-watch.ts';
import { parseIpv4, Sniffer } from './raw-packets.ts';
import { TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('cross-subnet');
const IPIP = 4;
const UDP = 17;
const PINGS_MIN = 25;

/** host-a's way to the block of host-a2, its neighbour, or of host-b behind the router; "" when there is none. */
function way(block: string): string {
  return lab.routes('host-a').find((line) => line.startsWith(block)) ?? '';
}

/** File, host-a's routes to host-a2 and to host-b, and in what the router sees a1's packets to b1 travel. */
const MODES: readonly [file: string, near: RegExp, far: RegExp, protocol: number][] = [
  [
    'ipip-cross-subnet',
    /via 192\.168\.100\.102 dev eth0 proto bird onlink$/,
    /via 192\.168\.200\.101 dev tunl0 proto bird onlink$/,
    IPIP,
  ],
  [
    'ipip-always',
    /via 192\.168\.100\.102 dev tunl0 proto bird onlink$/,
    /via 192\.168\.200\.101 dev tunl0 proto bird onlink$/,
    IPIP,
  ],
  [
    'vxlan-always',
    /via 172\.17\.10\.\d+ dev vxlan\.calico proto 80 onlink$/,
    /via 172\.17\.9\.\d+ dev vxlan\.calico proto 80 onlink$/,
    UDP,
  ],
  [
    'vxlan-cross-subnet',
    /via 192\.168\.100\.102 dev eth0 proto 80 onlink$/,
    /via 172\.17\.9\.\d+ dev vxlan\.calico proto 80 onlink$/,
    UDP,
  ],
];

describe('two subnets and a router that knows nothing of containers', () => {
  before(() => lab.up());
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('checks itself', () => {
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
  });

  it('plain routing fails across the router, and within a subnet no ping is lost over it', async () => {
    const near = new PingWatch(lab, { a1: '172.17.8.2', a2: '172.17.10.2' });
    lab.apply('cross-subnet/never.yaml');
    await lab.eventually('nothing leads through a tunnel any more', () => !way('172.17.9.0/24').includes('tunl0'));
    assert.equal(lab.pings('a1', '172.17.9.2'), false);
    assert.equal(lab.pings('b1', '172.17.8.2'), false);
    assert.equal(lab.pings('a1', '172.17.10.2'), true);
    lab.apply('cross-subnet/ipip-cross-subnet.yaml');
    await lab.eventually('a1 reaches b1 again', () => lab.pings('a1', '172.17.9.2'));
    await lab.eventually('there are pings to judge', () => near.fewest() >= PINGS_MIN);
    for (const { pair, lost } of await near.stop()) assert.deepEqual(lost, [], pair);
  });

  for (const [file, near, far, protocol] of MODES) {
    it(`${file}.yaml makes the routes and the packets that it says`, async () => {
      lab.apply(`cross-subnet/${file}.yaml`);
      await lab.eventually('routes are as they should be', () => {
        return near.test(way('172.17.10.0/24')) && far.test(way('172.17.9.0/24'));
      });
      await lab.eventually('all reach all', () => {
        return ['172.17.9.2', '172.17.10.2'].every((to) => lab.pings('a1', to)) && lab.pings('b1', '172.17.8.2');
      });
      const sniffer = new Sniffer(lab.namespace('router'), 'eth1');
      try {
        const ping = lab.spawnInside('a1', 'ping', '-i', '0.05', '172.17.9.2');
        const packet = await sniffer.packet('a packet of host-a to host-b', ({ source, destination, ...outer }) => {
          return source === '192.168.100.100' && destination === '192.168.200.101' && outer.protocol === protocol;
        });
        ping.kill();
        // VXLAN: UDP, its own header, then a whole frame.
        const inner = parseIpv4(protocol === UDP ? packet.payload.subarray(8 + 8 + 14) : packet.payload);
        assert.deepEqual([inner?.source, inner?.destination], ['172.17.8.2', '172.17.9.2']);
      } finally {
        sniffer.close();
      }
    });
  }
});
