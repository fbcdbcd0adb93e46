/**
 * BIRD 2, foreground, with its own socket; routes and their attributes are read from `birdc show route all`.
 *
 * What it originates are blackhole routes of two static protocols, with their attributes in the route. Its prefix for a
 * neighbour's protocol is `n`, then the place in the list.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon, DaemonOptions, LearntAttributes, Neighbour, Origination, Table } from './daemon.ts';
import { eventually, Running, tryAsk } from './process.ts';

const ORIGINS = { igp: 'ORIGIN_IGP', egp: 'ORIGIN_EGP', incomplete: 'ORIGIN_INCOMPLETE' };

export interface BirdDaemon extends Daemon {
  /** Runs one of its commands. */
  birdc(...words: string[]): Promise<string>;
}

export function birdDaemon(options: DaemonOptions): BirdDaemon {
  const { place, directory, neighbours } = options;
  const file = join(directory, 'bird.conf');
  const socket = join(directory, 'bird.ctl');
  let process: Running | undefined;
  const birdc = (...words: string[]): Promise<string> => tryAsk(place.namespace, 'birdc', '-s', socket, ...words);
  const protocol = (address: string): string =>
    `n${neighbours.findIndex((neighbour) => neighbour.address === address)}`;
  return {
    name: 'BIRD',
    birdc,
    start: async (restarting = false) => {
      writeFileSync(file, configuration(options));
      const words = ['-f', '-c', file, '-s', socket, '-P', join(directory, 'bird.pid'), ...(restarting ? ['-R'] : [])];
      process = new Running(place.namespace, 'bird', words);
      const log = async (): Promise<string> => process?.log ?? '';
      await eventually('birdc has an answer', async () => /Daemon is up/.test(await birdc('show', 'status')), log);
    },
    stop: async (signal) => process?.stop(signal),
    established: async (address) => /Established/.test(await birdc('show', 'protocols', protocol(address))),
    prefixes: async () => {
      const answer = await birdc('show', 'route', 'count', 'where', 'source = RTS_BGP');
      return [...answer.matchAll(/^(\d+) of \d+ routes/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    routes: async () => tableOf(await birdc('show', 'route', 'all', 'where', 'source = RTS_BGP')),
    refreshIn: async (address) => void (await birdc('reload', 'in', protocol(address))),
    refreshOut: async (address) => void (await birdc('reload', 'out', protocol(address))),
    diagnosis: async () => `${await birdc('show', 'protocols', 'all')}\n${process?.log ?? ''}`,
  };
}

function configuration(options: DaemonOptions): string {
  const { place, originations, neighbours } = options;
  const statics = (family: 4 | 6): string =>
    originations
      .filter(({ prefix }) => prefix.includes(':') === (family === 6))
      .map(staticRoute)
      .join('\n');
  return `
log stderr all;
router id ${place.address};
protocol device {}
protocol direct { ipv4; ipv6; }
protocol bfd { interface "eth0" { interval 300 ms; multiplier 3; }; }
protocol static s4 { ipv4; ${statics(4)} }
protocol static s6 { ipv6; ${statics(6)} }
${options.installs ? kernelProtocols() : ''}
${neighbours.map((neighbour, index) => neighbourProtocol(options, neighbour, index)).join('\n')}`;
}

/** `persist` leaves the routes in the kernel while the daemon is away. */
function kernelProtocols(): string {
  const one = (family: 4 | 6): string =>
    `protocol kernel k${family} { persist; graceful restart; learn off; ipv${family} { export where source = RTS_BGP; import none; }; }`;
  return `${one(4)}\n${one(6)}`;
}

function staticRoute({ prefix, attributes }: Origination): string {
  const { origin, asPath, med, localPreference, communities, routeTargets, largeCommunities } = attributes;
  const lines = [
    `bgp_origin = ${ORIGINS[origin]};`,
    `bgp_med = ${med};`,
    `bgp_local_pref = ${localPreference};`,
    ...asPath.toReversed().map((number) => `bgp_path.prepend(${number});`),
    ...communities.map((pair) => `bgp_community.add((${pair.join(', ')}));`),
    ...routeTargets.map((pair) => `bgp_ext_community.add((rt, ${pair.join(', ')}));`),
    ...largeCommunities.map((triple) => `bgp_large_community.add((${triple.join(', ')}));`),
  ];
  return `route ${prefix} blackhole { ${lines.join(' ')} };`;
}

function neighbourProtocol({ place, asn }: DaemonOptions, neighbour: Neighbour, index: number): string {
  const channel = (family: 4 | 6): string => `
  ipv${family} {
    import all;
    # A MED goes to another AS only where a filter has set it.
    export filter { if source = RTS_STATIC then { bgp_med = bgp_med; accept; } if source = RTS_BGP then accept; reject; };
    next hop address ${family === 4 ? place.address : place.address6};
    ${neighbour.relation === 'reflectorClient' ? 'next hop keep;' : ''}
    ${neighbour.addPath ? 'add paths on;' : ''}
  };`;
  return `
protocol bgp n${index} {
  local ${place.address} as ${asn};
  neighbor ${neighbour.address} as ${neighbour.asn};
  direct;
  connect delay time 1; connect retry time 2; error wait time 1, 2;
  graceful restart on;
  enable extended messages on;
  ${neighbour.bfd === 'off' ? '' : `bfd ${neighbour.bfd};`}
  ${neighbour.passive ? 'passive on;' : ''}
  ${neighbour.password === undefined ? '' : `password "${neighbour.password}";`}
  ${neighbour.relation === 'reflectorClient' ? `rr client; rr cluster id ${place.address};` : ''}
  ${channel(4)}${channel(6)}
}`;
}

/** Paths of the answer to `show route all`: a prefix stands only before the first of its paths. */
function tableOf(text: string): Table {
  const table = new Map<string, LearntAttributes[]>();
  let paths: LearntAttributes[] = [];
  for (const block of text.split(/\n(?=\S+ +unicast|\S+ +unreachable| +unicast| +unreachable)/)) {
    const head = /^(\S*) +(?:unicast|unreachable) \[/.exec(block);
    if (head === null) continue;
    const prefix = head[1] ?? '';
    if (prefix !== '') {
      paths = [];
      table.set(prefix, paths);
    }
    paths.push(attributesOf(block));
  }
  return table;
}

function attributesOf(block: string): LearntAttributes {
  const value = (name: string): string | undefined => new RegExp(`\\n\\tBGP\\.${name}: (.*)`).exec(block)?.[1];
  const number = (name: string): number | undefined => {
    const text = value(name);
    return text === undefined ? undefined : Number(text);
  };
  const tuples = (name: string): string[] =>
    [...(value(name) ?? '').matchAll(/\(([^)]*)\)/g)].map((tuple) => (tuple[1] ?? '').replace(/, ?/g, ':'));
  return {
    origin: originOf(value('origin')),
    asPath: value('as_path')?.trim() ?? '',
    nextHop: (value('next_hop') ?? '').split(' ')[0] ?? '',
    med: number('med'),
    localPreference: number('local_pref'),
    communities: [...tuples('community'), ...tuples('ext_community'), ...tuples('large_community')].toSorted(),
    originatorId: value('originator_id')?.trim(),
    clusterList: value('cluster_list')?.trim().split(' ') ?? [],
  };
}

function originOf(text: string | undefined): LearntAttributes['origin'] {
  return text === 'IGP' ? 'igp' : text === 'EGP' ? 'egp' : 'incomplete';
}
