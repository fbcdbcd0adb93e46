/**
 * Runs inside the virtual machine: the kernel's own `ipip` on one host, the two programs on the other, and what both do to the
 * same packets, as JSON on stdout. It judges nothing; ipip-interop.test.ts, which starts it, does.
 *
 * Each question is asked twice, once in each direction, so that whatever one tunnel packs the other unpacks.
 */
import { openIpipPrograms } from '../../src/kernel/bpf/ipip-programs.ts';
import { openKernel } from '../../src/kernel/netlink-kernel.ts';
import { inNamespace } from '../../src/kernel/network-namespace.ts';
import { ip } from '../../src/net/ip.ts';
import { transfer } from '../system/ipip-transfer.ts';
import { ADDRESS, IpipWorld, TUNNEL_MTU } from '../system/ipip-world.ts';
import { buildIpv4, type Ipv4, parseIpv4, Sniffer, sendIpv4 } from '../system/raw-packets.ts';

const PROTOCOL = { icmp: 1, ipip: 4 } as const;
/** The kernel's tunnel is on ha, the programs are on hb. */
const SIDES = {
  kernel: { host: 'ha', container: 'ca', farHost: 'hb', farContainer: 'cb', wire: 'to-ha', farWire: 'to-hb' },
  programs: { host: 'hb', container: 'cb', farHost: 'ha', farContainer: 'ca', wire: 'to-hb', farWire: 'to-ha' },
} as const;
type Side = (typeof SIDES)[keyof typeof SIDES];

/** What one side has done, in a form that is the same for both. */
export interface Report {
  readonly pings: number;
  readonly outerHeaders: readonly unknown[];
  readonly combinedEcn: readonly (number | 'dropped')[];
  readonly told: Readonly<Record<'device' | 'path', number>>;
  readonly carried: number;
}

let numbers = 0;
const unique = (length = 16): Uint8Array => {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, ++numbers);
  return bytes;
};
const endsWith = (packet: Ipv4, payload: Uint8Array): boolean =>
  Buffer.compare(packet.payload.subarray(-payload.length), payload) === 0;

async function report(world: IpipWorld, side: Side): Promise<Report> {
  return {
    pings: pings(world, side),
    outerHeaders: await outerHeaders(world, side),
    combinedEcn: await combinedEcn(world, side),
    told: { device: await toldMtu(world, side, TUNNEL_MTU + 8), path: await toldPathMtu(world, side) },
    carried: await transfer(world, side.container, side.farContainer, 300_000),
  };
}

function pings(world: IpipWorld, side: Side): number {
  const received = (size: string): number => {
    const output = world.run(
      side.container,
      'ping',
      '-c',
      '3',
      '-i',
      '0.05',
      '-W',
      '60',
      '-s',
      size,
      ADDRESS[side.farContainer],
    );
    return Number(/(\d+) received/.exec(output)?.[1]);
  };
  return received('56') + received('3000');
}

async function outerHeaders(world: IpipWorld, side: Side): Promise<unknown[]> {
  const wire = new Sniffer(world.path('router'), side.wire);
  const far = new Sniffer(world.path(side.farContainer), 'eth0');
  const headers: unknown[] = [];
  for (const trafficClass of [0, 1, 2, 3, 0xb8, 0xba]) {
    for (const dontFragment of [true, false]) {
      const payload = unique();
      const fields = { source: ADDRESS[side.container], destination: ADDRESS[side.farContainer], payload };
      sendIpv4(world.path(side.container), buildIpv4({ ...fields, trafficClass, dontFragment, ttl: 33 }));
      const outer = await wire.packet('an outer packet', (each) => endsWith(each, payload));
      const inner = await far.packet('an inner packet', (each) => endsWith(each, payload));
      headers.push({
        outer: {
          ...withoutAddresses(outer),
          isFromHost: outer.source === ADDRESS[side.host] && outer.destination === ADDRESS[side.farHost],
          isWhole: parseIpv4(outer.payload) !== undefined,
        },
        inner: withoutAddresses(inner),
      });
    }
  }
  wire.close();
  far.close();
  return headers;
}

function withoutAddresses({ protocol, ttl, trafficClass, dontFragment, moreFragments, payload }: Ipv4): object {
  return { protocol, ttl, trafficClass, dontFragment, moreFragments, length: payload.length };
}

/** What the side makes of each pair of ECN fields, inner and outer, of packets that the far host has sent. */
async function combinedEcn(world: IpipWorld, side: Side): Promise<(number | 'dropped')[]> {
  const inside = new Sniffer(world.path(side.container), 'eth0');
  const results: (number | 'dropped')[] = [];
  const send = (outerEcn: number, innerEcn: number, payload: Uint8Array): void => {
    const fields = { source: ADDRESS[side.farContainer], destination: ADDRESS[side.container] };
    const inner = buildIpv4({ ...fields, trafficClass: innerEcn, payload });
    const outer = { source: ADDRESS[side.farHost], destination: ADDRESS[side.host], protocol: PROTOCOL.ipip };
    sendIpv4(world.path('router'), buildIpv4({ ...outer, trafficClass: outerEcn, payload: inner }));
  };
  for (const innerEcn of [0, 1, 2, 3]) {
    for (const outerEcn of [0, 1, 2, 3]) {
      const [payload, last] = [unique(), unique()];
      send(outerEcn, innerEcn, payload);
      send(0, 0, last); // the machine has one CPU, which keeps packets in their order
      await inside.packet('the packet behind', (each) => endsWith(each, last));
      results.push(inside.seen.find((each) => endsWith(each, payload))?.trafficClass ?? 'dropped');
    }
  }
  inside.close();
  return results;
}

/** The MTU that the container is told of when it sends a packet of that length, at the first or the second time. */
async function toldMtu(world: IpipWorld, side: Side, length: number): Promise<number> {
  const inside = new Sniffer(world.path(side.container), 'eth0');
  const host = new Sniffer(world.path(side.host), 'eth0');
  const isTooLong = ({ protocol, payload }: Ipv4): boolean =>
    protocol === PROTOCOL.icmp && payload[0] === 3 && payload[1] === 4;
  const send = (): void => {
    const fields = { source: ADDRESS[side.container], destination: ADDRESS[side.farContainer] };
    sendIpv4(world.path(side.container), buildIpv4({ ...fields, dontFragment: true, payload: unique(length - 20) }));
  };
  send();
  if (length <= TUNNEL_MTU) {
    await host.packet("the router's message to the host", isTooLong);
    send();
  }
  const { payload } = await inside.packet('the message to the container', isTooLong);
  inside.close();
  host.close();
  return new DataView(payload.buffer).getUint16(6);
}

async function toldPathMtu(world: IpipWorld, side: Side): Promise<number> {
  world.ip('router', `link set ${side.farWire} mtu 1400`);
  const mtu = await toldMtu(world, side, 1440);
  world.ip('router', `link set ${side.farWire} mtu 1500`);
  return mtu;
}

const world = new IpipWorld('vm-');
const { host, farHost } = SIDES.kernel;
const kernel = openKernel(world.path(host));
const tunnel = kernel.addIpip({ name: 'tunl0', mtu: TUNNEL_MTU });
kernel.setLinkUp(tunnel.index, true);
// Where the module is loaded every namespace has the kernel's tunnel; under another name it is in nobody's way.
world.ip(farHost, 'link set tunl0 name unused');
const programs = openIpipPrograms(world.path(farHost));
programs.install({ name: 'tunl0', mtu: TUNNEL_MTU });
programs.setUplinks([world.index(farHost, 'eth0')]);
programs.setHosts([ip(ADDRESS[host])]);
world.addTunnelRoutes();
const kinds = [host, farHost].map((each) => inNamespace(world.path(each), () => openKernel()).link('tunl0')?.kind);
const reports = { kernel: await report(world, SIDES.kernel), programs: await report(world, SIDES.programs) };
console.log(JSON.stringify({ kinds, ...reports }));
process.exit(0);
