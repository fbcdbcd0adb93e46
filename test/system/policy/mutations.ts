/**
 * What a stranger may do to the kernel of a host on which muslin runs: each a way to break rules, sets, routes or settings.
 *
 * A mutation reads what is there now and gives commands. It says nothing of what should become of it: that is always the
 * same, the state before. `undefined` where there is nothing of that sort to break.
 */
import type { Random } from '../../../src/lib/prng.ts';
import { deviceOf, type HostName, type TestWorkload } from './policy-world.ts';

/** What a mutation may look at, and draw. */
export interface Scene {
  readonly host: HostName;
  /** Those on the host. */
  readonly workloads: readonly TestWorkload[];
  /** Output of a command of the shell on the host. */
  readonly read: (command: string) => string;
  readonly random: Random;
}

export interface Mutation {
  readonly name: string;
  /** A script of the shell. */
  readonly script: (scene: Scene) => string | undefined;
}

function one<Item>(items: readonly Item[], { random }: Scene): Item | undefined {
  return items[Math.floor(random() * items.length)];
}

/* nftables */

interface NftRule {
  readonly chain: string;
  readonly handle: string;
}

interface NftSet {
  readonly kind: 'set' | 'map';
  readonly name: string;
  readonly type: string;
  readonly elements: readonly string[];
}

interface NftTable {
  readonly chains: readonly { readonly name: string; readonly hook: string | undefined }[];
  readonly rules: readonly NftRule[];
  readonly sets: readonly NftSet[];
}

function nftTable({ read }: Scene): NftTable {
  const chains: { name: string; hook: string | undefined }[] = [];
  const rules: NftRule[] = [];
  const sets: NftSet[] = [];
  for (const block of read('nft -a -s list table inet muslin')
    .split(/^\t(?=(?:chain|set|map) )/m)
    .slice(1)) {
    const [, kind, name = ''] = /^(\S+) (\S+)/.exec(block) ?? [];
    if (kind === 'set' || kind === 'map') {
      const [, type = ''] = /^\t\ttype (.*)$/m.exec(block) ?? [];
      const [, elements = ''] = /elements = \{([\s\S]*)\}\n\t\}/.exec(block) ?? [];
      sets.push({ kind, name, type, elements: elements.split(',').flatMap((text) => text.trim() || []) });
      continue;
    }
    const [, hook] = /^\t\ttype (.*)$/m.exec(block) ?? [];
    chains.push({ name, hook });
    for (const [, handle = ''] of block.slice(block.indexOf('\n')).matchAll(/ # handle (\d+)$/gm)) {
      rules.push({ chain: name, handle });
    }
  }
  return { chains, rules, sets };
}

/** Members that no set of the test has, by type. */
const STRANGERS: Readonly<Record<string, string>> = {
  ipv4_addr: '100.64.9.9',
  ipv6_addr: 'fd64::9:9',
  'ipv4_addr . inet_proto . inet_service': '100.64.9.9 . tcp . 9999',
  'ipv6_addr . inet_proto . inet_service': 'fd64::9:9 . tcp . 9999',
};

function nft(lines: readonly string[]): string {
  return `nft -f - <<'END'\n${lines.join('\n')}\nEND`;
}

function onRule(name: string, line: (rule: NftRule) => string): Mutation {
  return {
    name,
    script: (scene) => {
      const rule = one(nftTable(scene).rules, scene);
      return rule && nft([line(rule)]);
    },
  };
}

function onChain(name: string, line: (chain: string) => string): Mutation {
  return {
    name,
    script: (scene) => {
      const { chains, rules } = nftTable(scene);
      const chain = one(
        chains.filter(({ name }) => rules.some((rule) => rule.chain === name)),
        scene,
      );
      return chain && nft([line(chain.name)]);
    },
  };
}

/** Of a chain that the kernel leads to; `type` is all that its declaration says, "filter hook forward priority filter; policy accept;". */
function onHook(name: string, lines: (chain: string, type: string) => readonly string[]): Mutation {
  return {
    name,
    script: (scene) => {
      const chain = one(
        nftTable(scene).chains.filter(({ hook }) => hook !== undefined),
        scene,
      );
      return chain && nft(lines(chain.name, `type ${chain.hook}`));
    },
  };
}

function onSet(
  name: string,
  kind: NftSet['kind'],
  full: boolean,
  line: (set: NftSet, scene: Scene) => string,
): Mutation {
  return {
    name,
    script: (scene) => {
      const sets = nftTable(scene).sets.filter((set) => set.kind === kind && (!full || set.elements.length > 0));
      const set = one(sets, scene);
      return set && nft([line(set, scene)]);
    },
  };
}

const WHOLE = [
  ['the table is deleted', ['delete table inet muslin']],
  ['the table is emptied', ['flush table inet muslin']],
  ['the table sleeps', ['add table inet muslin { flags dormant; }']],
  [
    'strangers stand in the table',
    [
      'add set inet muslin theirs { type ipv4_addr; }',
      'add chain inet muslin theirs { type filter hook forward priority -5; policy drop; }',
      'add chain inet muslin theirs-too',
      'add rule inet muslin theirs jump theirs-too',
      'insert rule inet muslin cali-FORWARD ip saddr @theirs jump theirs-too',
    ],
  ],
] as const;

export const NFTABLES_MUTATIONS: readonly Mutation[] = [
  onRule('a rule is deleted', ({ chain, handle }) => `delete rule inet muslin ${chain} handle ${handle}`),
  onRule('a rule is replaced', ({ chain, handle }) => `replace rule inet muslin ${chain} handle ${handle} accept`),
  onChain('a stranger accepts', (chain) => `insert rule inet muslin ${chain} accept comment "let me through"`),
  onChain('a stranger drops at the end', (chain) => `add rule inet muslin ${chain} counter drop`),
  onChain('a chain is flushed', (chain) => `flush chain inet muslin ${chain}`),
  onHook('a chain hangs elsewhere', (chain, type) => [
    `flush chain inet muslin ${chain}`,
    `delete chain inet muslin ${chain}`,
    `add chain inet muslin ${chain} { ${type.replace(/priority [^;]*;/, 'priority 7;')} }`,
  ]),
  onHook('a chain hangs nowhere', (chain) => [
    `flush chain inet muslin ${chain}`,
    `delete chain inet muslin ${chain}`,
    `add chain inet muslin ${chain}`,
  ]),
  onHook('a chain that the kernel leads to is deleted', (chain) => [
    `flush chain inet muslin ${chain}`,
    `delete chain inet muslin ${chain}`,
  ]),
  onHook('a chain drops what it does not decide', (chain, type) => [
    `add chain inet muslin ${chain} { ${type.replace('policy accept', 'policy drop')} }`,
  ]),
  onSet(
    'a member leaves a set',
    'set',
    true,
    ({ name, elements }, scene) => `delete element inet muslin ${name} { ${one(elements, scene)} }`,
  ),
  onSet(
    'a stranger joins a set',
    'set',
    false,
    ({ name, type }) => `add element inet muslin ${name} { ${STRANGERS[type]} }`,
  ),
  onSet('a set is emptied', 'set', true, ({ name }) => `flush set inet muslin ${name}`),
  onSet(
    'a device leaves a map',
    'map',
    true,
    ({ name, elements }, scene) => `delete element inet muslin ${name} { ${one(elements, scene)?.split(' : ')[0]} }`,
  ),
  onSet('a device is let through', 'map', true, ({ name, elements }, scene) => {
    const device = one(elements, scene)?.split(' : ')[0];
    return `delete element inet muslin ${name} { ${device} }\nadd element inet muslin ${name} { ${device} : accept }`;
  }),
  onSet(
    'a stranger’s device joins a map',
    'map',
    false,
    ({ name }) => `add element inet muslin ${name} { "calistranger" : accept }`,
  ),
  ...WHOLE.map(([name, lines]): Mutation => ({ name, script: () => nft(lines) })),
];

/* iptables and ipset */

interface SavedRule {
  readonly program: string;
  readonly table: string;
  readonly chain: string;
  /** From 1. */
  readonly number: number;
  readonly isOurs: boolean;
}

function chainOf({ program, table, chain }: SavedRule): string {
  return `${program} ${table} ${chain}`;
}

function savedRules({ read }: Scene): SavedRule[] {
  return ['iptables', 'ip6tables'].flatMap((program) => {
    const counts = new Map<string, number>();
    let table = '';
    return read(`${program}-nft-save 2>/dev/null`)
      .split('\n')
      .flatMap((line) => {
        if (line.startsWith('*')) table = line.slice(1);
        const [, chain] = /^-A (\S+)/.exec(line) ?? [];
        if (chain === undefined) return [];
        const number = (counts.get(`${table} ${chain}`) ?? 0) + 1;
        counts.set(`${table} ${chain}`, number);
        return [{ program: `${program}-nft`, table, chain, number, isOurs: line.includes('"cali:') }];
      });
  });
}

function onSavedRule(name: string, inOurChain: boolean, line: (rule: SavedRule) => string): Mutation {
  return {
    name,
    script: (scene) => {
      const rules = savedRules(scene).filter(({ chain, isOurs }) => isOurs && chain.startsWith('cali-') === inOurChain);
      const rule = one(rules, scene);
      return rule && `${rule.program} -w -t ${rule.table} ${line(rule)}`;
    },
  };
}

function ipsets({ read }: Scene, isFull: boolean): { name: string; type: string; members: string[] }[] {
  const sets = new Map<string, { name: string; type: string; members: string[] }>();
  for (const line of read('ipset save').split('\n')) {
    const [verb, name = '', word = ''] = line.split(' ');
    if (!name.startsWith('cali')) continue;
    if (verb === 'create')
      sets.set(name, { name, type: `${word}${line.includes('inet6') ? ' inet6' : ''}`, members: [] });
    if (verb === 'add') sets.get(name)?.members.push(word);
  }
  return [...sets.values()].filter(({ members }) => !isFull || members.length > 0);
}

function onIpset(
  name: string,
  isFull: boolean,
  command: (set: { name: string; type: string; members: string[] }, scene: Scene) => string,
): Mutation {
  return {
    name,
    script: (scene) => {
      const set = one(ipsets(scene, isFull), scene);
      return set && command(set, scene);
    },
  };
}

function joining({ name, type }: { readonly name: string; readonly type: string }): string {
  const address = type.endsWith('inet6') ? 'fd64::9:9' : '100.64.9.9';
  return `ipset add ${name} ${address}${type.startsWith('hash:ip,port') ? ',tcp:9999' : ''}`;
}

const EMPTIED = ['iptables-nft', 'ip6tables-nft'].map((program) =>
  ['raw', 'mangle', 'nat', 'filter'].map(
    (table) =>
      // Others' rules stay: they are not what is tried here.
      `${program}-save -t ${table} 2>/dev/null | grep -v -e 'cali-' -e '"cali:' | ${program}-restore -w -T ${table}`,
  ),
);

export const IPTABLES_MUTATIONS: readonly Mutation[] = [
  onSavedRule('a rule is deleted', true, ({ chain, number }) => `-D ${chain} ${number}`),
  onSavedRule('a rule is replaced', true, ({ chain, number }) => `-R ${chain} ${number} -j ACCEPT`),
  onSavedRule('a stranger accepts', true, ({ chain, number }) => `-I ${chain} ${number} -j ACCEPT`),
  onSavedRule('a stranger’s rule stands at the end', true, ({ chain }) => `-A ${chain} -j RETURN`),
  onSavedRule('a chain is flushed', true, ({ chain }) => `-F ${chain}`),
  onSavedRule('our rule in the kernel’s chain is deleted', false, ({ chain, number }) => `-D ${chain} ${number}`),
  onSavedRule(
    'a rule says that it is ours',
    false,
    ({ chain }) => `-A ${chain} -m comment --comment "cali:AAAAAAAAAAA" -j ACCEPT`,
  ),
  {
    name: 'our jump goes behind a stranger’s rule',
    script: (scene) => {
      const rules = savedRules(scene);
      const hasStrangers = (chain: string): boolean => rules.some((rule) => chainOf(rule) === chain && !rule.isOurs);
      const jumps = rules.filter(
        (rule) => rule.isOurs && !rule.chain.startsWith('cali-') && hasStrangers(chainOf(rule)),
      );
      const jump = one(
        jumps.filter(({ number }) => number === 1),
        scene,
      );
      if (jump === undefined) return undefined;
      const { program, table, chain } = jump;
      const save = `${program}-save -t ${table} 2>/dev/null`;
      return `rule=$(${save} | grep -m 1 -e '^-A ${chain} .*cali:')
${program} -w -t ${table} -D ${chain} 1
printf '*%s\\n%s\\nCOMMIT\\n' ${table} "$rule" | ${program}-restore -w --noflush`;
    },
  },
  onIpset('a member leaves a set', true, ({ name, members }, scene) => `ipset del ${name} ${one(members, scene)}`),
  onIpset('a stranger joins a set', false, joining),
  onIpset('a set is emptied', true, ({ name }) => `ipset flush ${name}`),
  onIpset('a set is another one', true, ({ name, type }) => {
    const family = type.endsWith('inet6') ? 'inet6' : 'inet';
    return `ipset create cali-swapped ${type.split(' ')[0]} family ${family} maxelem 1048576
ipset swap cali-swapped ${name}
ipset destroy cali-swapped`;
  }),
  {
    name: 'all rules and sets are gone',
    script: (scene) =>
      [...EMPTIED.flat(), ...ipsets(scene, false).map(({ name }) => `ipset destroy ${name}`)].join('\n'),
  },
];

/* routes, devices, settings */

function onAddress(name: string, command: (route: string, device: string, family: 4 | 6) => string): Mutation {
  return {
    name,
    script: (scene) => {
      const workload = one(scene.workloads, scene);
      const address = workload && one(workload.addresses, scene);
      if (workload === undefined || address === undefined) return undefined;
      const family = address.includes(':') ? 6 : 4;
      return command(`${address}/${family === 4 ? 32 : 128}`, deviceOf(workload), family);
    },
  };
}

function onDevice(name: string, command: (device: string) => string): Mutation {
  return {
    name,
    script: (scene) => {
      const workload = one(scene.workloads, scene);
      return workload && command(deviceOf(workload));
    },
  };
}

const DEVICE_SETTINGS: readonly (readonly [string, string])[] = [
  ['ipv4/conf/DEVICE/forwarding', '0'],
  ['ipv4/conf/DEVICE/rp_filter', '0'],
  ['ipv4/conf/DEVICE/send_redirects', '1'],
  ['ipv4/neigh/DEVICE/proxy_delay', '80'],
  ['ipv6/conf/DEVICE/forwarding', '0'],
  ['ipv6/conf/DEVICE/accept_ra', '1'],
  ['ipv6/conf/DEVICE/accept_dad', '1'],
];

export const HOST_MUTATIONS: readonly Mutation[] = [
  onAddress('a route is removed', (route) => `ip route del ${route}`),
  onAddress(
    'a route leads to the other host',
    (route, _, family) =>
      `ip route replace ${route} via $(ip -o -${family} route show default | sed 's/.*via \\([^ ]*\\) dev \\([^ ]*\\) .*/\\1 dev \\2/')`,
  ),
  onAddress('a route leads nowhere', (route) => `ip route del ${route} && ip route add blackhole ${route}`),
  onDevice(
    'a stranger’s address has a route to a container',
    (device) => `ip route add 100.64.9.9/32 dev ${device} proto boot scope link`,
  ),
  {
    name: 'a route says that BGP made it',
    script: ({ host }) => `ip route add 100.64.0.0/16 via 192.168.77.${host === 'host-a' ? 2 : 1} proto bird`,
  },
  ...DEVICE_SETTINGS.map(([setting, value]) =>
    onDevice(`a setting: ${setting}`, (device) => `echo ${value} >/proc/sys/net/${setting.replace('DEVICE', device)}`),
  ),
  { name: 'IPv4 is not forwarded', script: () => 'echo 0 >/proc/sys/net/ipv4/ip_forward' },
  { name: 'IPv6 is not forwarded', script: () => 'echo 0 >/proc/sys/net/ipv6/conf/all/forwarding' },
  onDevice('a device is down', (device) => `ip link set ${device} down`),
  onDevice('the gateway’s address is answered no more', (device) => `ip neighbour del proxy 169.254.1.1 dev ${device}`),
  onDevice('the route of the gateway’s address is removed', () => 'ip route del 169.254.1.1'),
];
