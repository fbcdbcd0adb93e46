/**
 * Daemons as route reflectors of many clients, for bench/bgp.ts: their configurations and how they are started.
 *
 * All get the same: one AS, each client a passive neighbour and reflector client, one family, no kernel routes, no log of
 * routes. Each runs in the foreground with its files in a directory of its own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ReflectorSetup {
  readonly directory: string;
  readonly address: string;
  readonly port: number;
  readonly asn: number;
  readonly clients: readonly string[];
  readonly family: 4 | 6;
}

/** A program and its words; the last one started is the speaker whose processor time and memory count. */
export type Command = readonly [program: string, ...words: readonly string[]];

export interface Reflector {
  readonly name: string;
  readonly program: string;
  /** Writes the configuration and gives the programs to start, each as soon as `ready` of the one before is there. */
  readonly commands: (setup: ReflectorSetup) => readonly { readonly command: Command; readonly ready?: string }[];
}

/** The bundle, which is what people install; `npm run bench:bgp` builds it first. */
const MUSLIN = join(import.meta.dirname, '..', 'build', 'muslin', 'bin', 'muslin');
const FRR = '/usr/lib/frr';

export const REFLECTORS: readonly Reflector[] = [
  { name: 'muslin', program: MUSLIN, commands: muslin },
  { name: 'BIRD', program: '/usr/sbin/bird', commands: bird },
  { name: 'FRR', program: `${FRR}/bgpd`, commands: frr },
  { name: 'GoBGP', program: '/usr/bin/gobgpd', commands: gobgp },
];

function muslin({ directory, address, port, asn, clients, family }: ReflectorSetup) {
  const configuration = {
    asNumber: asn,
    routerId: address,
    clusterId: address,
    logLevel: 'warn',
    nextHops: { ipv4: address },
    listen: [{ address, port }],
    neighbors: clients.map((client) => ({
      address: client,
      asNumber: asn,
      passive: true,
      reflectorClient: true,
      families: [family === 4 ? 'ipv4' : 'ipv6'],
    })),
  };
  const file = join(directory, 'muslin.json');
  writeFileSync(file, JSON.stringify(configuration));
  return [{ command: [MUSLIN, 'bgp', 'run', '--config', file] as const }];
}

function bird({ directory, address, port, asn, clients, family }: ReflectorSetup) {
  const file = join(directory, 'bird.conf');
  writeFileSync(
    file,
    `log stderr { warning, error, fatal, bug, auth };
router id ${address};
protocol device {}
protocol direct { ipv4; ipv6; }
template bgp each_client {
  local ${address} port ${port} as ${asn};
  passive yes;
  rr client;
  rr cluster id ${address};
  ipv${family} { import all; export where source = RTS_BGP; };
}
${clients.map((client, index) => `protocol bgp c${index} from each_client { neighbor ${client} as ${asn}; }\n`).join('')}`,
  );
  const words = ['-f', '-c', file, '-s', join(directory, 'bird.ctl'), '-P', join(directory, 'bird.pid')];
  return [{ command: ['/usr/sbin/bird', ...words] as const }];
}

function frr({ directory, address, port, asn, clients, family }: ReflectorSetup) {
  const [zebraFile, bgpdFile] = [join(directory, 'zebra.conf'), join(directory, 'bgpd.conf')];
  const zserv = join(directory, 'zserv.api');
  writeFileSync(zebraFile, 'hostname zebra\n');
  writeFileSync(
    bgpdFile,
    `frr defaults datacenter
hostname bgpd
router bgp ${asn}
 bgp router-id ${address}
 bgp cluster-id ${address}
 no bgp default ipv4-unicast
 neighbor client peer-group
 neighbor client remote-as ${asn}
 neighbor client passive
${clients.map((client) => ` neighbor ${client} peer-group client\n`).join('')} address-family ipv${family} unicast
  neighbor client activate
  neighbor client route-reflector-client
 exit-address-family
`,
  );
  const shared = ['-z', zserv, '--vty_socket', directory, '-A', '127.0.0.1', '-P', '0', '-u', 'frr', '-g', 'frr'];
  const bgpd = ['-n', '-f', bgpdFile, '-i', join(directory, 'bgpd.pid'), '-p', String(port), '-l', address, ...shared];
  return [
    {
      command: [`${FRR}/zebra`, '-f', zebraFile, '-i', join(directory, 'zebra.pid'), ...shared] as const,
      ready: zserv,
    },
    { command: [`${FRR}/bgpd`, ...bgpd] as const },
  ];
}

function gobgp({ directory, address, port, asn, clients, family }: ReflectorSetup) {
  const file = join(directory, 'gobgpd.toml');
  const afi = '[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "ipv6-unicast"\n';
  const neighbors = clients.map(
    (client) => `[[neighbors]]
[neighbors.config]
neighbor-address = "${client}"
peer-as = ${asn}
[neighbors.transport.config]
passive-mode = true
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${address}"
${family === 6 ? afi : ''}`,
  );
  const global = `[global.config]\nas = ${asn}\nrouter-id = "${address}"\nport = ${port}\nlocal-address-list = ["${address}"]\n`;
  writeFileSync(file, global + neighbors.join(''));
  const words = ['-f', file, '--api-hosts', '127.0.0.1:50051', '-l', 'warn', '-p', '--pprof-disable'];
  return [{ command: ['/usr/bin/gobgpd', ...words] as const }];
}
