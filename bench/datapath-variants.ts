/**
 * The ways from a container on one host to a container on another that bench/datapath.ts measures, and how each is built.
 *
 *   container ─ veth ─ host ─ veth ─ bridge (the wire) ─ veth ─ host ─ veth ─ container
 *
 * The wire is the same for all, that of a lab: a bridge in a namespace of its own. Ours are labs, with the agents of production.
 * The floor is the same path by hand: what the kernel takes for a /32 behind a veth on each host, with no rule anywhere. To it,
 * one thing at a time is added. All variants are up at once, so that rounds can go through them in turn.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  addNamespace,
  inNamespace,
  namespaceNames,
  namespacePath,
  removeNamespace,
} from '../src/kernel/network-namespace.ts';
import { namespaceOf } from '../src/lab/names.ts';

/** Not that of other benchmarks, which clear away what begins like theirs. */
const PREFIX = 'muslin-path-';
const LAB_PREFIX = 'path-';
const POLICIES = 1_000;
const PLUGINS = '/usr/lib/cni';
const GATEWAY = '169.254.1.1';
const HOSTS = ['192.168.100.100', '192.168.100.101'] as const;
const CONTAINERS = ['172.17.8.2', '172.17.9.2'] as const;
const BLOCKS = ['172.17.8.0/24', '172.17.9.0/24'] as const;

/** Where client and server run, and by which address the client reaches the server. */
export interface Path {
  readonly client: string;
  readonly server: string;
  readonly address: string;
}

export interface Variant {
  readonly key: string;
  readonly title: string;
  /** Builds it; text is why that cannot be done on this machine. */
  readonly build: (context: Context) => Path | string;
}

export interface Context {
  readonly key: string;
  readonly muslin: string;
  /** For files; removed afterwards. */
  readonly folder: string;
}

export const FLOOR = 'floor';
export const GOAL = 'muslin-1000';

export const VARIANTS: readonly Variant[] = [
  { key: 'bare', title: 'bare, host to host', build: ({ key }) => bare(key) },
  { key: FLOOR, title: 'floor: /32 by hand, no rules', build: ({ key }) => byHand(key) },
  { key: 'conntrack', title: 'floor + connection tracking', build: ({ key }) => tracked(byHand(key), key) },
  { key: 'hop', title: 'floor + one more veth and hop', build: ({ key }) => oneMoreHop(key) },
  { key: 'muslin', title: 'muslin, no policy', build: (context) => lab(context, {}, 0, undefined) },
  {
    key: GOAL,
    title: `muslin, ${POLICIES.toLocaleString('en')} policies`,
    build: (context) => lab(context, {}, POLICIES, undefined),
  },
  { key: 'ipip', title: 'muslin, IPIP', build: (context) => lab(context, { ipipMode: 'Always' }, 0, 'tunl0') },
  {
    key: 'vxlan',
    title: 'muslin, VXLAN',
    build: (context) => lab(context, { vxlanMode: 'Always' }, 0, 'vxlan.calico'),
  },
  { key: 'ptp', title: 'CNI ptp', build: (context) => byPlugin(context, { type: 'ptp' }) },
  { key: 'bridge', title: 'CNI bridge', build: (context) => byPlugin(context, BRIDGE) },
  { key: 'nat', title: 'CNI bridge with NAT both ways', build: (context) => behindNat(context) },
];

const BRIDGE = { type: 'bridge', bridge: 'cni0', isGateway: true };

function nameOf(key: string, role: string): string {
  return `${PREFIX}${key}-${role}`;
}

/** Everything that variants have left, whether it was this run's or one's before. */
export function removeVariants(muslin: string): void {
  for (const { key } of VARIANTS) spawnSync(muslin, ['lab', 'down', `${LAB_PREFIX}${key}`]);
  for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
}

/** Two hosts that forward, on one wire, each with a route to the other's block. */
function bare(key: string): Path {
  const wire = nameOf(key, 'wire');
  addNamespace(wire);
  ip(wire, 'link add wire type bridge');
  ip(wire, 'link set wire up');
  const hosts = HOSTS.map((address, index) => {
    const host = nameOf(key, `host${index}`);
    addNamespace(host);
    ip(host, 'link set lo up');
    ip(host, `link add eth0 type veth peer name port${index} netns ${wire}`);
    ip(host, `address add ${address}/24 dev eth0`);
    ip(host, 'link set eth0 up');
    ip(wire, `link set port${index} master wire up`);
    run(host, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    return host;
  });
  const [client = '', server = ''] = hosts;
  return { client, server, address: HOSTS[1] };
}

function byHand(key: string): Path {
  const hosts = bare(key);
  routeBlocks(hosts);
  for (const [index, host] of [hosts.client, hosts.server].entries()) {
    addContainer(host, nameOf(key, `container${index}`), CONTAINERS[index] ?? '');
  }
  return { client: nameOf(key, 'container0'), server: nameOf(key, 'container1'), address: CONTAINERS[1] };
}

function routeBlocks({ client, server }: Path): void {
  ip(client, `route add ${BLOCKS[1]} via ${HOSTS[1]} dev eth0`);
  ip(server, `route add ${BLOCKS[0]} via ${HOSTS[0]} dev eth0`);
}

/** A container as Calico wires it: /32, a gateway that nobody has, answered by proxy ARP. */
function addContainer(host: string, container: string, address: string): void {
  addNamespace(container);
  ip(container, 'link set lo up');
  ip(host, `link add cali0 type veth peer name eth0 netns ${container}`);
  ip(container, `address add ${address}/32 dev eth0`);
  ip(container, 'link set eth0 up');
  ip(container, `route add ${GATEWAY} dev eth0 scope link`);
  ip(container, `route add default via ${GATEWAY} dev eth0`);
  ip(host, 'link set cali0 up');
  ip(host, `route add ${address} dev cali0 scope link`);
  ip(host, `route replace ${GATEWAY} dev lo scope link`);
  run(host, 'sysctl', '-qw', 'net.ipv4.conf.cali0.proxy_arp=1', 'net.ipv4.neigh.cali0.proxy_delay=0');
}

/** One rule that asks for a connection's state makes the kernel track all of them. */
function tracked(path: Path, key: string): Path {
  for (const host of [nameOf(key, 'host0'), nameOf(key, 'host1')]) {
    const rule = 'add rule ip bench forward ct state established,related accept';
    const chain = 'add chain ip bench forward { type filter hook forward priority 0; }';
    run(host, 'nft', `add table ip bench; ${chain}; ${rule}`);
  }
  return path;
}

/** Another forwarding namespace between the client's container and its host. */
function oneMoreHop(key: string): Path {
  const hosts = bare(key);
  routeBlocks(hosts);
  const [middle, client, server] = ['middle', 'container0', 'container1'].map((role) => nameOf(key, role)) as [
    string,
    string,
    string,
  ]; // as many as are given
  addContainer(hosts.server, server, CONTAINERS[1]);
  addNamespace(middle);
  ip(middle, 'link set lo up');
  run(middle, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  ip(hosts.client, `link add cali0 type veth peer name eth0 netns ${middle}`);
  ip(middle, 'address add 10.255.255.2/30 dev eth0');
  ip(middle, 'link set eth0 up');
  ip(middle, 'route add default via 10.255.255.1 dev eth0');
  ip(hosts.client, 'address add 10.255.255.1/30 dev cali0');
  ip(hosts.client, 'link set cali0 up');
  ip(hosts.client, `route add ${CONTAINERS[0]} via 10.255.255.2 dev cali0`);
  addContainer(middle, client, CONTAINERS[0]);
  return { client, server, address: CONTAINERS[1] };
}

/** A lab of two hosts and two containers, which `policies` choose, of which the last lets everything in and out. */
function lab(
  { key, muslin, folder }: Context,
  pool: object,
  policies: number,
  device: string | undefined,
): Path | string {
  const name = `${LAB_PREFIX}${key}`;
  const resource = (kind: string, metadata: object, spec: object) => ({
    apiVersion: 'projectcalico.org/v3',
    ...{ kind, metadata, spec },
  });
  const machine = (index: 0 | 1) => ({
    links: { eth0: { segment: 'wire', addresses: [`${HOSTS[index]}/24`] } },
    blocks: [BLOCKS[index]],
  });
  const container = (index: 0 | 1) => ({
    host: `host${index}`,
    addresses: [CONTAINERS[index]],
    labels: { app: 'bench' },
  });
  const topology = {
    name,
    segments: ['wire'],
    hosts: { host0: machine(0), host1: machine(1) },
    workloads: { container0: container(0), container1: container(1) },
    resources: [
      resource('IPPool', { name: 'containers' }, { cidr: '172.17.8.0/23', blockSize: 24, natOutgoing: false, ...pool }),
      ...Array.from({ length: policies }, (_, index) =>
        resource('NetworkPolicy', { name: `p${index}`, namespace: 'default' }, policySpec(index, policies)),
      ),
    ],
  };
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, JSON.stringify(topology)); // which is YAML, too
  const up = spawnSync(muslin, ['lab', 'up', file, '--timeout', '180'], { encoding: 'utf8' });
  if (up.status !== 0) return `muslin lab up ended with ${up.status}: ${up.stdout}${up.stderr}`;
  const [host, client, server] = ['host0', 'container0', 'container1'].map((entity) => namespaceOf(name, entity)) as [
    string,
    string,
    string,
  ]; // as many as are given
  const path = { client, server, address: CONTAINERS[1] };
  if (device === undefined) return path;
  const way = run(
    host,
    'ip',
    'route',
    'get',
    CONTAINERS[1],
    'from',
    CONTAINERS[0],
    'iif',
    deviceTo(host, CONTAINERS[0]),
  );
  return way.includes(`dev ${device} `) ? path : `the way to the other container is not by ${device}: ${way.trim()}`;
}

function deviceTo(host: string, address: string): string {
  return /dev (\S+)/.exec(run(host, 'ip', 'route', 'get', address))?.[1] ?? '';
}

function policySpec(index: number, count: number): object {
  const last = index === count - 1;
  const rule = last ? { action: 'Allow' } : { action: 'Allow', protocol: 'TCP' };
  const ports = { ports: [10_000 + index, 20_000 + index] };
  return {
    order: index,
    selector: "app == 'bench'",
    types: ['Ingress', 'Egress'],
    ingress: [
      last ? rule : { ...rule, source: { nets: [`10.${index >> 8}.${index & 255}.0/24`] }, destination: ports },
    ],
    egress: [last ? rule : { ...rule, destination: { nets: [`10.${index >> 8}.${index & 255}.0/24`], ...ports } }],
  };
}

/** Containers that a reference plugin attaches; hosts route each other's blocks. */
function byPlugin(context: Context, plugin: { readonly type: string }): Path | string {
  const program = join(PLUGINS, plugin.type);
  if (!existsSync(program)) return `there is no ${program}; Debian's package containernetworking-plugins has it`;
  const { key, folder } = context;
  const hosts = bare(key);
  routeBlocks(hosts);
  for (const [index, host] of [hosts.client, hosts.server].entries()) {
    const container = nameOf(key, `container${index}`);
    addNamespace(container);
    const dataDir = join(folder, container);
    mkdirSync(dataDir);
    const ranges = [[{ subnet: BLOCKS[index], rangeStart: CONTAINERS[index] }]];
    const ipam = { type: 'host-local', dataDir, ranges, routes: [{ dst: '0.0.0.0/0' }] };
    const configuration = JSON.stringify({ cniVersion: '1.0.0', name: key, ...plugin, ipam });
    const result = inNamespace(namespacePath(host), () =>
      spawnSync(program, { env: cniEnvironment(container), input: configuration, encoding: 'utf8' }),
    );
    if (result.status !== 0) return `${program} ended with ${result.status}: ${result.stdout}${result.stderr}`;
  }
  return { client: nameOf(key, 'container0'), server: nameOf(key, 'container1'), address: CONTAINERS[1] };
}

/** As a user's other choice has it: out with the host's address, in by a port of the host. */
function behindNat(context: Context): Path | string {
  const path = byPlugin(context, { ...BRIDGE, ipMasq: true } as { readonly type: string }); // more than what is asked of it
  if (typeof path === 'string') return path;
  const inwards = `iifname eth0 fib daddr type local meta l4proto { tcp, udp } th dport 5000-5300 dnat to ${CONTAINERS[1]}`;
  const chain = 'add chain ip bench in { type nat hook prerouting priority -100; }';
  run(nameOf(context.key, 'host1'), 'nft', `add table ip bench; ${chain}; add rule ip bench in ${inwards}`);
  return { ...path, address: HOSTS[1] };
}

function cniEnvironment(container: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '',
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: container,
    CNI_NETNS: namespacePath(container),
    CNI_IFNAME: 'eth0',
    CNI_PATH: PLUGINS,
  };
}

/** iproute2 in a namespace; its words are separated by blanks. */
function ip(namespace: string, words: string): void {
  run(namespace, 'ip', ...words.split(' '));
}

/** Runs a program in a namespace to its end; throws with what it said when it fails. */
export function run(namespace: string, program: string, ...words: readonly string[]): string {
  const result = inNamespace(namespacePath(namespace), () => spawnSync(program, words, { encoding: 'utf8' }));
  if (result.status === 0) return result.stdout;
  const said = result.error?.message ?? `${result.stdout}${result.stderr}`;
  throw new Error(`${namespace}: ${program} ${words.join(' ')} ended with ${result.status}: ${said}`);
}
