/**
 * IPIP by two eBPF programs: headers byte by byte, what is too long, who is believed, and what outlives a process. Needs root.
 *
 * The world is that of ipip-world.ts; both hosts have the programs. What the kernel's own `ipip` does is compared in
 * ipip-interop.test.ts.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { assemble, call, compute, exit, r0, r1, r2 } from '../../src/kernel/bpf/assembler.ts';
import { type AttachmentKind, openAttachment } from '../../src/kernel/bpf/attachment.ts';
import { closingAfter, loadProgram, openMap, type ProgramFacts } from '../../src/kernel/bpf/bpf-objects.ts';
import { ipipDecapsulation } from '../../src/kernel/bpf/ipip-decapsulation.ts';
import { ipipEncapsulation } from '../../src/kernel/bpf/ipip-encapsulation.ts';
import { PROGRAM_NAME } from '../../src/kernel/bpf/ipip-layout.ts';
import { type IpipPrograms, openIpipPrograms } from '../../src/kernel/bpf/ipip-programs.ts';
import { FUNCTION } from '../../src/kernel/bpf/traffic-program.ts';
import { switchOffFeatures } from '../../src/kernel/device-features.ts';
import { openKernel } from '../../src/kernel/netlink-kernel.ts';
import { inNamespace } from '../../src/kernel/network-namespace.ts';
import { ip } from '../../src/net/ip.ts';
import { ifIndex } from '../../src/net/kernel-objects.ts';
import { transfer } from './ipip-transfer.ts';
import { ADDRESS, IpipWorld, TUNNEL_MTU } from './ipip-world.ts';
import { buildIcmp, buildIpv4, checksum, type Ipv4, parseIpv4, Sniffer, sendIpv4 } from './raw-packets.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const PROTOCOL = { icmp: 1, ipip: 4, experiment: 253 } as const;
const REPOSITORY = new URL('../..', import.meta.url).pathname;
/** Neither of the two hosts, behind the same router. */
const STRANGER = '192.168.100.7';

let numbers = 0;
/** A payload like no other, so that its packet is known again. */
const unique = (length = 16): Uint8Array => {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, ++numbers);
  return bytes;
};
const endsWith = (packet: Ipv4, payload: Uint8Array): boolean =>
  Buffer.compare(packet.payload.subarray(-payload.length), payload) === 0;

/** Installs the programs on a host for its one far end. */
function install(world: IpipWorld, host: 'ha' | 'hb', kind?: AttachmentKind): IpipPrograms {
  const programs = openIpipPrograms(world.path(host), kind);
  programs.install({ name: 'tunl0', mtu: TUNNEL_MTU });
  programs.setUplinks([world.index(host, 'eth0')]);
  programs.setHosts([ip(ADDRESS[host === 'ha' ? 'hb' : 'ha'])]);
  return programs;
}

describe('IPIP by programs', { skip, timeout: 300_000 }, () => {
  let world: IpipWorld;
  let sniffers: Sniffer[] = [];

  before(() => {
    world = new IpipWorld(`muslin-test-ipip-${process.pid}-`);
    for (const host of ['ha', 'hb'] as const) install(world, host).close();
    world.addTunnelRoutes();
  });
  after(() => world?.close());
  afterEach(() => {
    for (const sniffer of sniffers) sniffer.close();
    sniffers = [];
  });

  const sniff = (place: Parameters<IpipWorld['path']>[0], device: string): Sniffer => {
    const sniffer = new Sniffer(world.path(place), device);
    sniffers.push(sniffer);
    return sniffer;
  };

  describe('the outer header', () => {
    type Inner = Partial<Pick<Ipv4, 'ttl' | 'trafficClass' | 'dontFragment'>>;
    const rows: [string, Inner, Inner][] = [
      ['has the inner TTL, less one for the host', { ttl: 40 }, { ttl: 39 }],
      ['has DF where the inner one has', { dontFragment: true }, { dontFragment: true }],
      ['has no DF where the inner one has none', { dontFragment: false }, { dontFragment: false }],
      ['does not show the inner DSCP', { trafficClass: 0xb8 }, { trafficClass: 0 }],
      ['shows that ECN is not understood', { trafficClass: 0 }, { trafficClass: 0 }],
      ['shows ECT(0)', { trafficClass: 0xb8 | 2 }, { trafficClass: 2 }],
      ['shows ECT(1)', { trafficClass: 1 }, { trafficClass: 1 }],
      ['shows congestion as ECT(0)', { trafficClass: 3 }, { trafficClass: 2 }],
    ];
    for (const [title, inner, outer] of rows) {
      it(title, async () => {
        const wire = sniff('router', 'to-ha');
        const inside = sniff('cb', 'eth0');
        const payload = unique();
        const fields = { source: ADDRESS.ca, destination: ADDRESS.cb, ttl: 64, ...inner, payload };
        sendIpv4(world.path('ca'), buildIpv4(fields));
        const packet = await wire.packet('the outer packet', (each) => endsWith(each, payload));
        const { protocol, source, destination, options } = packet;
        assert.deepEqual(
          { protocol, source, destination, options: options.length },
          { protocol: PROTOCOL.ipip, source: ADDRESS.ha, destination: ADDRESS.hb, options: 0 },
        );
        const { ttl, trafficClass, dontFragment } = packet;
        const expected = { ttl: 63, trafficClass: 0, dontFragment: false, ...outer };
        assert.deepEqual({ ttl, trafficClass, dontFragment }, expected);
        const carried = parseIpv4(packet.payload);
        assert.deepEqual(carried, parseIpv4(buildIpv4({ ...fields, ttl: fields.ttl - 1 })));
        // Two hosts forward it; the way between them is one link to the inner packet.
        const arrived = await inside.packet('the inner packet', (each) => endsWith(each, payload));
        assert.equal(arrived.ttl, fields.ttl - 2);
        assert.equal(arrived.trafficClass, inner.trafficClass ?? 0);
      });
    }

    it('fits packets whose own header has options, and packets that are tunnels themselves', async () => {
      const inside = sniff('cb', 'eth0');
      for (const fields of [
        { options: Uint8Array.of(1, 1, 1, 0) },
        { protocol: PROTOCOL.ipip },
        { moreFragments: true },
        { fragmentOffset: 64 },
      ]) {
        const payload = unique();
        const packet = { source: ADDRESS.ca, destination: ADDRESS.cb, ...fields, payload };
        sendIpv4(world.path('ca'), buildIpv4(packet));
        const arrived = await inside.packet(JSON.stringify(fields), (each) => endsWith(each, payload));
        assert.deepEqual(arrived, parseIpv4(buildIpv4({ ...packet, ttl: 62 })));
      }
    });
  });

  describe('what comes in', () => {
    const inner = (payload: Uint8Array, trafficClass = 0): Uint8Array =>
      buildIpv4({ source: ADDRESS.ca, destination: ADDRESS.cb, trafficClass, payload });
    /** Sends an outer packet to hb from behind the router. */
    const send = (outer: Partial<Ipv4>): void =>
      sendIpv4(
        world.path('router'),
        buildIpv4({ source: ADDRESS.ha, destination: ADDRESS.hb, protocol: PROTOCOL.ipip, ...outer }),
      );
    /**
     * What of `payload` gets to cb: what should is waited for, and what should not is looked for when a packet that was sent later
     * is there.
     */
    const arrivals = async (inside: Sniffer, payload: Uint8Array, isExpected: boolean): Promise<Ipv4[]> => {
      if (isExpected) await inside.packet('the packet', (each) => endsWith(each, payload));
      const last = unique();
      send({ payload: inner(last) });
      await inside.packet('the packet that must come', (each) => endsWith(each, last));
      // Without cb's own answer, ICMP that quotes it.
      return inside.seen.filter((each) => each.destination === ADDRESS.cb && endsWith(each, payload));
    };

    // RFC 6040 figure 4: the inner field by what is outside, in the order Not-ECT, ECT(1), ECT(0), CE.
    const combined: Readonly<Record<number, readonly (number | undefined)[]>> = {
      0: [0, 0, 0, undefined],
      1: [1, 1, 1, 3],
      2: [2, 1, 2, 3],
      3: [3, 3, 3, 3],
    };
    for (const [own, expected] of Object.entries(combined)) {
      for (const [outside, result] of expected.entries()) {
        const title = result === undefined ? 'has the packet dropped' : `gives ${result}`;
        it(`ECN ${outside} outside and ${own} inside ${title}; DSCP stays that inside`, async () => {
          const inside = sniff('cb', 'eth0');
          const payload = unique();
          send({ trafficClass: 0x28 | outside, payload: inner(payload, 0xb8 | Number(own)) });
          const classes = (await arrivals(inside, payload, result !== undefined)).map(
            ({ trafficClass }) => trafficClass,
          );
          assert.deepEqual(classes, result === undefined ? [] : [0xb8 | result]);
        });
      }
    }

    const rows: [string, (payload: Uint8Array) => Partial<Ipv4>, boolean][] = [
      ['a packet of a known host is taken', (payload) => ({ payload: inner(payload) }), true],
      [
        'options in the outer header go with it',
        (payload) => ({ options: Uint8Array.of(1, 1, 1, 0, 1, 1, 1, 0), payload: inner(payload) }),
        true,
      ],
      ['a host that is not known is refused', (payload) => ({ source: STRANGER, payload: inner(payload) }), false],
      [
        'what is not IPv4 inside is dropped',
        (payload) => ({ payload: Uint8Array.of(0x60, ...inner(payload).slice(1)) }),
        false,
      ],
      ['too little inside is dropped', (payload) => ({ payload: payload.slice(0, 16) }), false],
      ['a first fragment is not taken', (payload) => ({ moreFragments: true, payload: inner(payload) }), false],
      ['a later fragment is not taken', (payload) => ({ fragmentOffset: 512, payload: inner(payload) }), false],
      [
        'another protocol is not taken',
        (payload) => ({ protocol: PROTOCOL.experiment, payload: inner(payload) }),
        false,
      ],
    ];
    for (const [title, outer, taken] of rows) {
      it(title, async () => {
        const inside = sniff('cb', 'eth0');
        const payload = unique();
        send(outer(payload));
        assert.equal((await arrivals(inside, payload, taken)).length, taken ? 1 : 0);
      });
    }

    it('a packet between two others is forwarded as it is', async () => {
      const inside = sniff('cb', 'eth0');
      const wire = sniff('router', 'to-hb');
      world.ip('router', `route replace 198.51.100.0/24 via ${ADDRESS.hb}`);
      const payload = unique();
      send({ destination: '198.51.100.9', payload: inner(payload) });
      // hb sends it back by its default route.
      await wire.packet('the forwarded packet', (each) => endsWith(each, payload) && each.ttl === 63);
      assert.deepEqual(await arrivals(inside, payload, false), []);
    });

    it('a host that is known no longer is refused from then on', async () => {
      const inside = sniff('cb', 'eth0');
      const programs = install(world, 'hb');
      programs.setHosts([ip(ADDRESS.ha), ip(STRANGER), ip('fd00::1')]);
      const [first, second] = [unique(), unique()];
      send({ source: STRANGER, payload: inner(first) });
      assert.equal((await arrivals(inside, first, true)).length, 1);
      programs.setHosts([ip(ADDRESS.ha)]);
      send({ source: STRANGER, payload: inner(second) });
      assert.equal((await arrivals(inside, second, false)).length, 0);
      programs.close();
    });
  });

  describe('what is too long', () => {
    const send = (length: number, fields: Partial<Ipv4> = {}): Uint8Array => {
      const payload = unique(length - 20);
      const packet = { source: ADDRESS.ca, destination: ADDRESS.cb, dontFragment: true, ...fields, payload };
      sendIpv4(world.path('ca'), buildIpv4(packet));
      return payload;
    };
    const isTooLong = ({ protocol, payload }: Ipv4): boolean =>
      protocol === PROTOCOL.icmp && payload[0] === 3 && payload[1] === 4;
    const toldMtu = ({ payload }: Ipv4): number => new DataView(payload.buffer).getUint16(6);
    const quotes = ({ payload }: Ipv4, sent: Uint8Array): boolean =>
      Buffer.compare(payload.subarray(28, 32), sent.subarray(0, 4)) === 0;

    /** Has the container send until it is told; gives the message. */
    const told = async (inside: Sniffer, sent: Uint8Array): Promise<Ipv4> => {
      const message = await inside.packet('the message', (each) => isTooLong(each) && quotes(each, sent));
      assert.equal(message.destination, ADDRESS.ca);
      assert.equal(checksum(message.payload), 0, "the message's checksum");
      const quoted = message.payload.subarray(8);
      assert.equal(checksum(quoted.subarray(0, 20)), 0, "the quoted header's checksum");
      world.ip('ca', 'route flush cache');
      return message;
    };

    it('for the device is told by the host, as for any device', async () => {
      const inside = sniff('ca', 'eth0');
      assert.equal(toldMtu(await told(inside, send(TUNNEL_MTU + 8))), TUNNEL_MTU);
    });

    it('for the route to the far host is told by the program', async () => {
      const inside = sniff('ca', 'eth0');
      const far = sniff('cb', 'eth0');
      world.ip('ha', `route add ${ADDRESS.hb} via 192.168.100.1 mtu lock 1300`);
      assert.equal(toldMtu(await told(inside, send(1281))), 1280);
      const fits = send(1280);
      await far.packet('the packet that fits', (each) => endsWith(each, fits));
      world.ip('ha', `route del ${ADDRESS.hb}`);
    });

    it('for a link in between is told by its router, learnt, and told to the container', async () => {
      const host = sniff('ha', 'eth0');
      const inside = sniff('ca', 'eth0');
      const far = sniff('cb', 'eth0');
      world.ip('router', 'link set to-hb mtu 1400');
      send(1381);
      await host.packet("the router's message", (each) => isTooLong(each) && each.destination === ADDRESS.ha);
      assert.equal(toldMtu(await told(inside, send(1381))), 1380);
      const fits = send(1380);
      await far.packet('the packet that fits', (each) => endsWith(each, fits));
      // One that may be cut is cut, by the router.
      const later = send(1440, { dontFragment: false });
      await host.packet('the packet without DF', (each) => each.protocol === PROTOCOL.ipip && endsWith(each, later));
      // Nothing is said about errors, so that there are no answers to answers.
      const error = buildIcmp(3, 1, new Uint8Array(1400));
      sendIpv4(
        world.path('ca'),
        buildIpv4({ source: ADDRESS.ca, destination: ADDRESS.cb, dontFragment: true, protocol: 1, payload: error }),
      );
      const last = send(1381);
      await told(inside, last);
      assert.deepEqual(
        inside.seen.filter((each) => isTooLong(each) && each.payload[8 + 9] === PROTOCOL.icmp),
        [],
      );
      world.ip('router', 'link set to-hb mtu 1500');
    });

    it('is not learnt from messages about what was not sent, or to a host that is not known', async () => {
      const far = sniff('cb', 'eth0');
      // Whether a learnt MTU is in force shows in what gets through; the rows of the test before are gone with the host's.
      const programs = install(world, 'ha');
      programs.setHosts([]);
      programs.setHosts([ip(ADDRESS.hb)]);
      programs.close();
      const about = (fields: Partial<Ipv4>): void => {
        const quoted = buildIpv4({
          source: ADDRESS.ha,
          destination: ADDRESS.hb,
          protocol: PROTOCOL.ipip,
          ...fields,
          payload: unique(),
        });
        const payload = buildIcmp(3, 4, Uint8Array.of(0, 0, 0x03, 0xe8, ...quoted));
        sendIpv4(
          world.path('router'),
          buildIpv4({ source: '192.168.100.1', destination: ADDRESS.ha, protocol: 1, payload }),
        );
      };
      for (const fields of [{ source: STRANGER }, { destination: STRANGER }, { protocol: 6 }]) about(fields);
      const passes = send(1400);
      await far.packet('a packet of 1400 bytes', (each) => endsWith(each, passes));
      about({});
      const inside = sniff('ca', 'eth0');
      assert.equal(toldMtu(await told(inside, send(1400))), 980);
      const again = install(world, 'ha');
      again.setHosts([]);
      again.setHosts([ip(ADDRESS.hb)]);
      again.close();
    });

    it('TCP finds the length that fits, and sends large pieces until the wire', async ({ signal }) => {
      world.ip('router', 'link set to-hb mtu 1300');
      const wire = sniff('router', 'to-ha');
      assert.equal(await transfer(world, 'ca', 'cb', 4_000_000, { signal }), 4_000_000);
      const lengths = wire.seen
        .filter(({ protocol }) => protocol === PROTOCOL.ipip)
        .map(({ payload }) => payload.length);
      assert.ok(Math.max(...lengths) > 2000, `the largest had ${Math.max(...lengths)} bytes`);
      world.ip('router', 'link set to-hb mtu 1500');
    });
  });

  it('TCP gets through an uplink that has its large packets cut by the kernel', async ({ signal }) => {
    const features = /segmentation/;
    inNamespace(world.path('ha'), () => switchOffFeatures('eth0', (name) => features.test(name)));
    const wire = sniff('router', 'to-ha');
    assert.equal(await transfer(world, 'ca', 'cb', 4_000_000, { signal }), 4_000_000);
    const carried = wire.seen.filter(({ protocol }) => protocol === PROTOCOL.ipip).map(({ payload }) => payload.length);
    assert.ok(carried.length > 2000, `${carried.length} packets`);
    assert.ok(Math.max(...carried) <= TUNNEL_MTU, `the largest had ${Math.max(...carried)} bytes`);
  });

  // Large packets in a tunnel of the container's own cannot be put into another one whole. Were they lost, TCP would crawl on by
  // what it sends again, for minutes.
  it('TCP in a tunnel between containers gets through', { timeout: 120_000 }, async ({ signal }) => {
    for (const [place, far, address] of [
      ['ca', 'cb', '10.5.0.1'],
      ['cb', 'ca', '10.5.0.2'],
    ] as const) {
      const ends = `local ${ADDRESS[place]} remote ${ADDRESS[far]}`;
      world.ip(place, `link add vxlan5 type vxlan id 5 dstport 4789 ${ends} dev eth0`);
      world.ip(place, `addr add ${address}/24 dev vxlan5`);
      world.ip(place, 'link set vxlan5 mtu 1430 up');
    }
    assert.equal(await transfer(world, 'ca', 'cb', 40_000_000, { target: '10.5.0.2', signal }), 40_000_000);
  });

  it('pings get through, in fragments, too', () => {
    for (const size of ['56', '3000', '40000']) {
      const output = world.run('ca', 'ping', '-c', '3', '-i', '0.01', '-W', '60', '-s', size, ADDRESS.cb);
      assert.match(output, /3 received/);
    }
  });

  it('a host itself reaches far containers, and they it', () => {
    world.ip('ha', 'addr replace 172.17.8.1/32 dev tunl0');
    for (const [place, target] of [
      ['ha', ADDRESS.cb],
      ['cb', '172.17.8.1'],
    ] as const) {
      assert.match(world.run(place, 'ping', '-c', '2', '-i', '0.01', '-W', '60', target), /2 received/);
    }
  });
});

/** Puts the same programs with one instruction more, whose result nobody uses, in the place of ha's. */
function replaceByOther(world: IpipWorld, kind: AttachmentKind, hosts: number): void {
  const tunnel = world.index('ha', 'tunl0');
  inNamespace(world.path('ha'), () => {
    const attachment = openAttachment(ifIndex(1), kind);
    closingAfter(openMap(hosts)!, (map) => {
      for (const [device, direction, name, program] of [
        ['tunl0', 'egress', PROGRAM_NAME.encapsulation, ipipEncapsulation],
        ['eth0', 'ingress', PROGRAM_NAME.decapsulation, ipipDecapsulation],
      ] as const) {
        const bytes = assemble([compute(r0, '=', 0), ...program(tunnel, map)]);
        closingAfter(loadProgram(name, bytes), (fd) => attachment.put(world.index('ha', device), direction, name, fd));
      }
    });
    attachment.close();
  });
}

for (const kind of ['tcx', 'clsact'] as const) {
  describe(`the programs' life by ${kind}`, { skip, timeout: 300_000 }, () => {
    let world: IpipWorld;
    const running: ChildProcess[] = [];

    before(() => {
      world = new IpipWorld(`muslin-test-ipip-${kind}-${process.pid}-`);
      install(world, 'hb', kind).close();
    });
    after(() => {
      for (const child of running) child.kill('SIGKILL');
      world?.close();
    });

    /** Pings hb's container from ha's until told to stop; gives what ping has counted. */
    const pinging = (): { readonly first: Promise<unknown>; stop(): Promise<string> } => {
      const args = ['netns', 'exec', world.path('ca').split('/').at(-1)!, 'ping', '-i', '0.01', '-W', '60', ADDRESS.cb];
      const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
      running.push(child);
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
      });
      const replies = (): number => output.split('bytes from').length - 1;
      return {
        first: once(child.stdout, 'data'),
        stop: async () => {
          const enough = replies() + 20;
          while (replies() < enough) await once(child.stdout, 'data');
          child.kill('SIGINT');
          await once(child, 'close');
          return output;
        },
      };
    };
    const lost = (output: string): number => {
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
      return Number(sent) - Number(received);
    };

    /** The two programs of ha. */
    const inForce = (): (ProgramFacts | undefined)[] =>
      inNamespace(world.path('ha'), () => {
        const attachment = openAttachment(ifIndex(1), kind);
        const found = [
          attachment.find(world.index('ha', 'tunl0'), 'egress', PROGRAM_NAME.encapsulation),
          attachment.find(world.index('ha', 'eth0'), 'ingress', PROGRAM_NAME.decapsulation),
        ];
        attachment.close();
        return found;
      });

    it('what a process has installed stays when it is killed, and the next one changes nothing', async () => {
      const script = `
        import { openIpipPrograms } from './src/kernel/bpf/ipip-programs.ts';
        import { ip } from './src/net/ip.ts';
        const programs = openIpipPrograms(process.argv[1], process.argv[2]);
        programs.install({ name: 'tunl0', mtu: ${TUNNEL_MTU} });
        programs.setUplinks([Number(process.argv[3])]);
        programs.setHosts([ip('${ADDRESS.hb}')]);
        process.stdout.write('installed');
        setInterval(() => undefined, 1000);
      `;
      const args = ['--input-type=module', '--eval', script, world.path('ha'), kind, String(world.index('ha', 'eth0'))];
      const child = spawn(process.execPath, args, { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'inherit'] });
      running.push(child);
      await once(child.stdout, 'data');
      world.addTunnelRoutes();
      const ping = pinging();
      await ping.first;
      child.kill('SIGKILL');
      await once(child, 'close');
      const before = inForce();
      assert.deepEqual(
        before.map((facts) => facts?.name),
        [PROGRAM_NAME.encapsulation, PROGRAM_NAME.decapsulation],
      );
      install(world, 'ha', kind).close();
      assert.deepEqual(inForce(), before);
      assert.equal(lost(await ping.stop()), 0);
    });

    it('a program that differs is replaced without losing a packet, and its map stays', async () => {
      const before = inForce();
      const ping = pinging();
      await ping.first;
      replaceByOther(world, kind, before[0]!.maps[0]!);
      const changed = inForce();
      assert.notEqual(changed[0]!.tag, before[0]!.tag);
      install(world, 'ha', kind).close();
      const after = inForce();
      assert.equal(after[0]!.tag, before[0]!.tag);
      assert.deepEqual(after[0]!.maps, before[0]!.maps);
      assert.equal(lost(await ping.stop()), 0);
    });

    it('devices that are uplinks no longer lose the program, also when another process has put it there', () => {
      world.ip('ha', 'link add other type veth peer name other-end');
      const first = install(world, 'ha', kind);
      first.setUplinks([world.index('ha', 'eth0'), world.index('ha', 'other')]);
      first.close();
      const at = (device: string): string | undefined =>
        inNamespace(world.path('ha'), () => {
          const attachment = openAttachment(ifIndex(1), kind);
          const facts = attachment.find(world.index('ha', device), 'ingress', PROGRAM_NAME.decapsulation);
          attachment.close();
          return facts?.name;
        });
      assert.equal(at('other'), PROGRAM_NAME.decapsulation);
      const second = install(world, 'ha', kind);
      assert.equal(at('other'), undefined);
      second.setUplinks([world.index('ha', 'other')]);
      assert.deepEqual([at('other'), at('eth0')], [PROGRAM_NAME.decapsulation, undefined]);
      world.ip('ha', 'link del other');
      second.setUplinks([world.index('ha', 'eth0')]);
      assert.equal(at('eth0'), PROGRAM_NAME.decapsulation);
      second.close();
    });

    it('a device without an Ethernet header, or none, is no uplink, and the others are', () => {
      world.ip('ha', 'tuntap add dev tun9 mode tun');
      const programs = install(world, 'ha', kind);
      programs.setUplinks([]);
      const uplink = world.index('ha', 'eth0');
      const rows = [
        [world.index('ha', 'tun9'), { code: 'EOPNOTSUPP', message: /device tun9 has no Ethernet header/ }],
        [ifIndex(4711), { code: 'ENODEV', message: /no device 4711/ }],
      ] as const;
      for (const [index, expected] of rows) {
        assert.throws(() => programs.setUplinks([index, uplink]), { name: 'KernelError', ...expected });
        assert.equal(inForce()[1]?.name, PROGRAM_NAME.decapsulation);
      }
      programs.close();
      world.ip('ha', 'link del tun9');
    });

    it('a device that is taken away comes back, and the uplinks lead to the new one', () => {
      world.ip('ha', 'link del tunl0');
      install(world, 'ha', kind).close();
      world.addTunnelRoutes();
      assert.match(world.run('ca', 'ping', '-c', '2', '-i', '0.01', '-W', '60', ADDRESS.cb), /2 received/);
    });

    it("others' programs on the uplink are asked, too, and stay", async () => {
      world.ip('ha', 'link add other type veth peer name other-end');
      for (const end of ['other', 'other-end']) world.ip('ha', `link set ${end} up`);
      const other = world.index('ha', 'other');
      // It has all that it sees leave by a device where nothing else does.
      const elsewhere = [compute(r1, '=', other), compute(r2, '=', 0), call(FUNCTION.redirect), exit()];
      const programs = install(world, 'ha', kind);
      const attachment = inNamespace(world.path('ha'), () => openAttachment(ifIndex(1), 'tcx'));
      const uplink = [world.index('ha', 'eth0'), 'ingress', 'others'] as const;
      inNamespace(world.path('ha'), () =>
        closingAfter(loadProgram('others', assemble(elsewhere)), (program) => attachment.put(...uplink, program)),
      );
      const sniffer = new Sniffer(world.path('ha'), 'other');
      try {
        const payload = unique();
        sendIpv4(world.path('router'), buildIpv4({ source: '192.168.100.1', destination: ADDRESS.ha, payload }));
        await sniffer.packet('what the other program has seen', (each) => endsWith(each, payload));
      } finally {
        sniffer.close();
      }
      programs.remove();
      programs.close();
      const left = inNamespace(world.path('ha'), () => attachment.find(...uplink));
      assert.equal(left?.name, 'others');
      inNamespace(world.path('ha'), () => attachment.remove(...uplink));
      world.ip('ha', 'link del other');
    });

    it('removed, nothing of it is left', () => {
      const programs = install(world, 'ha', kind);
      programs.remove();
      programs.remove();
      programs.close();
      const kernel = openKernel(world.path('ha'));
      assert.deepEqual(
        kernel
          .links()
          .map(({ name }) => name)
          .sort(),
        ['cali1', 'eth0', 'lo'],
      );
      kernel.close();
      const tc = execFileSync('tc', ['-n', world.path('ha').split('/').at(-1)!, 'qdisc', 'show', 'dev', 'eth0'], {
        encoding: 'utf8',
      });
      assert.doesNotMatch(tc, /clsact/);
      const found = inNamespace(world.path('ha'), () => {
        const attachment = openAttachment(ifIndex(1), kind);
        const facts = attachment.find(world.index('ha', 'eth0'), 'ingress', PROGRAM_NAME.decapsulation);
        attachment.close();
        return facts;
      });
      assert.equal(found, undefined);
    });

    it('a device of the same name that is not ours is left alone, and named in the error', () => {
      world.ip('ha', 'link add tunl0 type bridge');
      const programs = openIpipPrograms(world.path('ha'), kind);
      const expected = { name: 'KernelError', code: 'EEXIST', message: /a device tunl0 of kind bridge already/ };
      assert.throws(() => programs.install({ name: 'tunl0', mtu: TUNNEL_MTU }), expected);
      programs.remove();
      programs.close();
      assert.match(world.ip('ha', '-d link show dev tunl0'), /bridge/);
      world.ip('ha', 'link del tunl0');
    });
  });
}
