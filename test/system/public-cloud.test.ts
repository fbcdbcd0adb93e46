/**
 * A cloud whose fabric drops packets with addresses that it did not give out, and in which no agent speaks BGP: VXLAN and IPIP get
 * through by routes from the store, and plain packets do not, not even within a subnet.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { PingWatch } from './lab-watch.ts';
import { TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('public-cloud');
const ADDRESSES = { a1: '172.17.8.2', a2: '172.17.10.2', b1: '172.17.9.2' };
const PINGS_MIN = 25;

/** How many of host-a's two routes to other hosts look so. */
function routesLike(pattern: RegExp): number {
  return lab.routes('host-a').filter((line) => /^172\.17\.(9|10)\.0\/24 /.test(line) && pattern.test(line)).length;
}

describe('a cloud without BGP', () => {
  before(() => lab.up());
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('checks itself, and nobody has a BGP socket', () => {
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
    for (const host of ['host-a', 'host-a2', 'host-b'])
      assert.equal(lab.inside(host, 'ss', '-Htan', 'sport = :179 or dport = :179'), '');
  });

  it('goes from VXLAN to IPIP and back without losing a ping, still without BGP', async () => {
    const watch = new PingWatch(lab, ADDRESSES);
    lab.apply('public-cloud/ipip.yaml');
    await lab.eventually('routes lead through IPIP', () => routesLike(/ dev tunl0 proto 80 onlink$/) === 2);
    const before = watch.fewest();
    await lab.eventually('pings went through IPIP', () => watch.fewest() >= before + PINGS_MIN);
    lab.apply('public-cloud/vxlan.yaml');
    await lab.eventually('routes lead through VXLAN', () => routesLike(/ dev vxlan\.calico proto 80 onlink$/) === 2);
    const after = watch.fewest();
    await lab.eventually('pings went through VXLAN', () => watch.fewest() >= after + PINGS_MIN);
    for (const { pair, lost } of await watch.stop()) assert.deepEqual(lost, [], pair);
    assert.equal(lab.inside('host-a', 'ss', '-Htan', 'sport = :179 or dport = :179'), '');
  });

  it('drops what travels as it is, between zones and within one', async () => {
    lab.apply('public-cloud/never.yaml');
    await lab.eventually('no route leads through a tunnel', () => routesLike(/tunl0|vxlan/) === 0);
    assert.equal(lab.pings('a1', ADDRESSES.b1), false);
    assert.equal(lab.pings('a1', ADDRESSES.a2), false);
    assert.match(lab.inside('zone-1', 'nft', 'list', 'table', 'bridge', 'fabric'), /counter packets [1-9]/);
    lab.apply('public-cloud/vxlan.yaml');
    await lab.eventually(
      'all reach each other again',
      () => lab.pings('a1', ADDRESSES.b1) && lab.pings('a1', ADDRESSES.a2),
    );
  });
});
