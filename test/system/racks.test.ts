/**
 * Racks with an AS each, over either core, with BIRD as the switch, without IPv4, and without any numbered link: what
 * `lab up` has checked, and what happens when a switch or its cable fails.
 *
 * A switch that dies without a word is noticed by BFD, and its routes go at once; an agent that only restarts is waited for
 * (RFC 4724), and nothing changes. BFD between nodes is 300 ms times 3. The outage that is measured is told; the bound is
 * loose, for machines that are busy, and far below the 90 s of the hold timer, which notices too.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it, type TestContext } from 'node:test';
import type { Family } from '../../src/net/ip.ts';
import { Flows, forwarded, setCable, watchRoutes } from './rack-failures.ts';
import { TestLab } from './two-hosts-fixture.ts';

const OUTAGE_MS_MAX = 10_000;
/** Connecting is given up after 5 s; a restart would be waited for 120 s. */
const OUTAGE_AFTER_RESTART_MS_MAX = 60_000;

interface Core {
  readonly topology: string;
  /** The cables of tor-1a, by their devices. */
  readonly cables: Readonly<Record<string, string>>;
  readonly containers: readonly string[];
  /** In another rack. */
  readonly addresses: readonly string[];
  readonly family: Family;
  /** The block of host-11, and one of another rack. */
  readonly here: string;
  readonly there: string;
  /** What the line of host-11's route to another rack has while tor-1a is in use. */
  readonly through: string;
  /** The same of the route to rack 1, on a machine beyond the switch. */
  readonly beyond: { readonly machine: string; readonly through: string };
  /** Whether tor-1a is an agent, or another program, which the lab starts again as if it had never run. */
  readonly isAgent: boolean;
}

const IPV4_BLOCKS = { family: 4, here: '172.17.11.0/24', there: '172.17.21.0/24' } as const;

const FULL_RACKS = {
  ...IPV4_BLOCKS,
  containers: ['c11', 'c12', 'c13', 'c14'],
  addresses: ['172.17.21.2', '172.17.34.2'],
  through: 'via 10.0.1.1 ',
} as const;

const CORES: readonly Core[] = [
  {
    topology: 'racks',
    cables: { eth0: 'rack-1', eth1: 'core' },
    ...FULL_RACKS,
    beyond: { machine: 'tor-2a', through: 'via 10.0.0.11 ' },
    isAgent: true,
  },
  {
    topology: 'racks-ipv6',
    cables: { eth0: 'rack-1', eth1: 'core' },
    containers: ['c11', 'c12', 'c13', 'c14'],
    addresses: ['fd00:17:21::2', 'fd00:17:34::2'],
    family: 6,
    here: 'fd00:17:11::/120',
    there: 'fd00:17:21::/120',
    through: 'via fd00:1::1 ',
    beyond: { machine: 'tor-2a', through: 'via fd00::11 ' },
    isAgent: true,
  },
  {
    topology: 'racks-l3-core',
    cables: { eth0: 'rack-1', eth1: 'plane-1', eth2: 'plane-2' },
    ...FULL_RACKS,
    beyond: { machine: 'core-1', through: 'via 10.1.1.11 ' },
    isAgent: true,
  },
  {
    topology: 'racks-l3-core-bird-frr',
    cables: { eth0: 'rack-1', eth1: 'plane-1', eth2: 'plane-2' },
    ...FULL_RACKS,
    beyond: { machine: 'core-2', through: 'via 10.1.2.11 ' },
    isAgent: false,
  },
  {
    topology: 'unnumbered',
    cables: { eth0: 'wire-11a', eth1: 'wire-12a', eth2: 'wire-1a-1', eth3: 'wire-1a-2' },
    containers: ['c11', 'c12'],
    addresses: ['172.17.21.2', '172.17.22.2'],
    ...IPV4_BLOCKS,
    through: ' dev eth0 ',
    beyond: { machine: 'spine-1', through: ' dev eth0 ' },
    isAgent: true,
  },
];

for (const { topology, cables, containers, addresses, family, here, there, through, beyond, isAgent } of CORES) {
  describe(topology, () => {
    const lab = new TestLab(topology);
    before(() => lab.up());
    after(() => lab.down());
    afterEach((context) => lab.dumpAfterFailure(context));

    /** How a machine reaches a prefix, in one line. */
    const wayTo = (machine: string, prefix: string): string =>
      lab.inside(machine, 'ip', `-${family}`, '-o', 'route', 'show', prefix).replaceAll('\\', ' ');
    const usesTor1a = (): boolean =>
      wayTo('host-11', there).includes(through) || wayTo(beyond.machine, here).includes(beyond.through);

    const everythingHolds = (): Promise<void> =>
      lab.eventually('all checks hold', () => lab.muslin('lab', 'check', lab.name).code === 0);

    /** Runs flows between racks, has tor-1a fail, and waits until they go on without it. */
    async function outageOf(fail: () => void | Promise<void>, outageMsMax = OUTAGE_MS_MAX): Promise<number> {
      const flows = new Flows(lab, containers, addresses);
      const before = forwarded(lab, 'tor-1a', family);
      await flows.goOn();
      assert.ok(forwarded(lab, 'tor-1a', family) > before, 'some of the flows take the switch that is to fail');
      await fail();
      await lab.eventually('nobody uses tor-1a', () => !usesTor1a());
      await flows.goOn();
      const { outageMs } = flows.stop();
      assert.ok(outageMs < outageMsMax, `without an answer for ${outageMs} ms`);
      return outageMs;
    }

    const restarts = async () => {
      const seen = [watchRoutes(lab, 'host-11', there), watchRoutes(lab, beyond.machine, here)];
      const flows = new Flows(lab, containers, addresses);
      await flows.goOn();
      await lab.killAgent('tor-1a');
      await flows.goOn();
      lab.restart('tor-1a');
      await everythingHolds();
      await flows.goOn();
      assert.deepEqual(seen, [[], []]);
      assert.equal(flows.stop().lost, 0);
    };
    /** Its peers wait for the process, as they should, and then see that nobody is there who would refuse their connections. */
    const diesWhileRestarting = async (context: TestContext) => {
      const outageMs = await outageOf(async () => {
        await lab.killMachine('tor-1a');
        all('down');
      }, OUTAGE_AFTER_RESTART_MS_MAX);
      context.diagnostic(`${topology}, switch dead after its agent: ${outageMs} ms`);
      all('up');
      lab.restart('tor-1a');
      await everythingHolds();
    };
    if (isAgent) it('a switch dies after its agent has: the other one takes over', diesWhileRestarting);
    if (isAgent) it('an agent of a switch that is killed and started again changes nothing', restarts);

    it('the cable between a switch and its rack is cut: the other switch takes over', async (context) => {
      const outageMs = await outageOf(() => setCable(lab, 'tor-1a', 'eth0', cables['eth0'] ?? '', 'down'));
      context.diagnostic(`${topology}, cable to the rack cut: ${outageMs} ms`);
      setCable(lab, 'tor-1a', 'eth0', cables['eth0'] ?? '', 'up');
      await everythingHolds();
    });

    const all = (state: 'up' | 'down') => {
      for (const [device, segment] of Object.entries(cables)) setCable(lab, 'tor-1a', device, segment, state);
    };

    it('a switch dies: the other one takes over', async (context) => {
      // As when its power fails, no word gets out: not even that its connections end.
      const outageMs = await outageOf(async () => {
        all('down');
        await lab.killMachine('tor-1a');
      });
      context.diagnostic(`${topology}, switch dead: ${outageMs} ms`);
      all('up');
      lab.restart('tor-1a');
      await everythingHolds();
    });
  });
}
