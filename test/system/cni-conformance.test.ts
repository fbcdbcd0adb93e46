/**
 * Our plugin answers calls, good and bad, as a real one does: Debian's bridge with host-local, which is played beside it.
 *
 * Each row is a small play, and what is seen of it is compared: exit code, error code, version, which fields a result has. Where
 * the two differ on purpose there is an exception with its reason; an exception that nothing needs any more fails as well.
 * What Debian's plugin is too old for (CNI 1.1.0) has its answers written down, as newer releases of bridge and ptp give them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { addNamespace, type Ended, execute, type JsonObject, pluginProgram, removeNamespace } from './cni-fixture.ts';
import { run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab();
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-cni-'));
const PREFIX = `muslin-test-cni-${process.pid}`;
/** Debian's plugin makes its bridge here. */
const REFERENCE_HOST = `${PREFIX}-host`;

interface Plugin {
  readonly program: string;
  readonly hostNamespace: string;
  readonly configuration: JsonObject;
}

const OURS: Plugin = {
  program: pluginProgram('muslin'),
  hostNamespace: lab.namespace('host-a'),
  configuration: {
    type: 'muslin',
    agentSocket: `/run/muslin/lab/${lab.name}/host-a/cni.sock`,
    ipam: { type: 'muslin' },
  },
};
const THEIRS: Plugin = {
  program: pluginProgram('bridge'),
  hostNamespace: `/run/netns/${REFERENCE_HOST}`,
  configuration: {
    type: 'bridge',
    bridge: 'reference0',
    isGateway: true,
    ipam: {
      type: 'host-local',
      dataDir: directory,
      ranges: [[{ subnet: '10.68.9.0/24' }]],
      routes: [{ dst: '0.0.0.0/0' }],
    },
  },
};

interface Call {
  /** Changes to the usual variables; undefined takes one away. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Changes to the usual configuration; undefined takes a key away. */
  readonly configuration?: JsonObject;
  /** Instead of a configuration. */
  readonly input?: string;
}

/** What is seen of a play: each name with what was found under it. */
type Seen = Readonly<Record<string, string>>;

/** A container on a host, for one play. */
class Stage {
  readonly plugin: Plugin;
  readonly name: string;
  readonly netns: string;

  constructor(plugin: Plugin, number: number) {
    this.plugin = plugin;
    this.name = `${PREFIX}-${number}`;
    this.netns = addNamespace(this.name);
  }

  call(command: string | undefined, { environment = {}, configuration = {}, input }: Call = {}): Promise<Ended> {
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: this.name,
      CNI_NETNS: this.netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/usr/lib/cni',
      ...environment,
    };
    const present = Object.entries(variables).filter((pair): pair is [string, string] => pair[1] !== undefined);
    const document = { cniVersion: '1.0.0', name: 'test-net', ...this.plugin.configuration, ...configuration };
    const { program, hostNamespace } = this.plugin;
    return execute(program, hostNamespace, Object.fromEntries(present), input ?? JSON.stringify(document));
  }

  /** `ip` inside the container. */
  ip(...words: string[]): string {
    const outcome = run('ip', ['-n', this.name, ...words]);
    assert.equal(outcome.code, 0, outcome.stderr);
    return outcome.stdout;
  }

  /** Gives back what a play may have left, as a runtime does after any failure. */
  async clear(): Promise<void> {
    for (const CNI_IFNAME of ['eth0', 'eth1']) await this.call('DEL', { environment: { CNI_IFNAME } });
    removeNamespace(this.name);
  }
}

/** Exit code, error code, version, and the fields of a result. */
function seenOf({ exitCode, answer }: Ended): Seen {
  const common = { exit: String(exitCode) };
  if (exitCode !== 0) return { ...common, code: String(answer?.code), msg: typeof answer?.msg };
  if (answer === undefined) return common;
  return { ...common, version: String(answer.cniVersion), ...fieldsOf(answer, '') };
}

/** A value's structure: the path of each leaf with its type; the items of a list share their paths. */
function fieldsOf(value: unknown, path: string): Seen {
  if (Array.isArray(value)) return Object.assign({}, ...value.map((item) => fieldsOf(item, `${path}[]`)));
  if (typeof value !== 'object' || value === null) return { [path]: typeof value };
  const members = Object.entries(value);
  if (members.length === 0) return { [path]: 'empty' };
  return Object.assign({}, ...members.map(([key, member]) => fieldsOf(member, path === '' ? key : `${path}.${key}`)));
}

type Play = (stage: Stage) => Promise<Seen>;

const call =
  (command: string | undefined, options: Call = {}): Play =>
  async (stage) =>
    seenOf(await stage.call(command, options));

/** After a good ADD, what `then` sees, which is handed the configuration with its result. */
const attached =
  (then: (stage: Stage, withResult: Call) => Promise<Seen>, configuration: JsonObject = {}): Play =>
  async (stage) => {
    const added = await stage.call('ADD', { configuration });
    assert.equal(added.exitCode, 0, added.stdout);
    return then(stage, { configuration: { ...configuration, prevResult: added.answer } });
  };

const without = (...names: string[]): Call => ({
  environment: Object.fromEntries(names.map((name) => [name, undefined])),
});
const NO_CONTAINER = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'];
const cniVersion = (version: string | undefined): Call => ({ configuration: { cniVersion: version } });
const CONTAINER_IDS = ['../etc', 'a/b', '-x', 'a b', 'é'];
const INTERFACE_NAMES = ['0123456789abcdef', 'a/b', 'a:b', 'a b', '.', '..'];
const SHARED_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0'];
const CHECKED_VERSIONS = ['0.4.0', '1.0.0'];

const ROWS: readonly (readonly [name: string, play: Play])[] = [
  ['VERSION with a version on stdin', call('VERSION', { input: '{"cniVersion":"1.0.0"}' })],
  ['VERSION with an empty stdin', call('VERSION', { input: '' })],
  ['VERSION with no other variable', call('VERSION', { ...without(...NO_CONTAINER, 'CNI_PATH'), input: '' })],
  ['no CNI_COMMAND', call(undefined)],
  ['an unknown CNI_COMMAND', call('FOO')],
  ['a CNI_COMMAND in lower case', call('add')],
  ...['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'].flatMap((name): [string, Play][] => [
    [`ADD without ${name}`, call('ADD', without(name))],
    [`DEL without ${name}`, call('DEL', without(name))],
  ]),
  ['ADD without three variables', call('ADD', without(...NO_CONTAINER))],
  ...CONTAINER_IDS.map((id): [string, Play] => [
    `ADD of container ${id}`,
    call('ADD', { environment: { CNI_CONTAINERID: id } }),
  ]),
  ...INTERFACE_NAMES.map((name): [string, Play] => [
    `ADD of interface ${name}`,
    call('ADD', { environment: { CNI_IFNAME: name } }),
  ]),
  ['ADD to a namespace that does not exist', call('ADD', { environment: { CNI_NETNS: '/run/netns/nowhere' } })],
  ['ADD to a file that is no namespace', call('ADD', { environment: { CNI_NETNS: '/etc/passwd' } })],
  ['ADD with an unknown key in CNI_ARGS', call('ADD', { environment: { CNI_ARGS: 'FOO=BAR' } })],
  [
    'ADD with keys that may be unknown in CNI_ARGS',
    call('ADD', { environment: { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p' } }),
  ],
  ['ADD with CNI_ARGS that have no value', call('ADD', { environment: { CNI_ARGS: 'IgnoreUnknown' } })],
  ['ADD with an empty stdin', call('ADD', { input: '' })],
  ['ADD with a stdin that is not JSON', call('ADD', { input: '{nope' })],
  ['ADD without a name', call('ADD', { configuration: { name: undefined } })],
  ['ADD with a bad name', call('ADD', { configuration: { name: 'a/b' } })],
  ['ADD at a version that does not exist', call('ADD', cniVersion('9.9.9'))],
  ['ADD at a version that is no version', call('ADD', cniVersion('one'))],
  ['DEL at a version that does not exist', call('DEL', cniVersion('9.9.9'))],
  ['ADD without a version', call('ADD', cniVersion(undefined))],
  ...SHARED_VERSIONS.flatMap((version): [string, Play][] => [
    [`ADD at ${version}`, call('ADD', cniVersion(version))],
    [
      `CHECK at ${version}`,
      attached(async (stage, given) => seenOf(await stage.call('CHECK', given)), { cniVersion: version }),
    ],
    [
      `DEL at ${version}`,
      attached(async (stage, given) => seenOf(await stage.call('DEL', given)), { cniVersion: version }),
    ],
  ]),
  ...CHECKED_VERSIONS.map((version): [string, Play] => [
    `CHECK at ${version} without a result`,
    attached(async (stage) => seenOf(await stage.call('CHECK', cniVersion(version)))),
  ]),
  ['ADD with dns', call('ADD', { configuration: { dns: { nameservers: ['10.1.0.53'], search: ['example.org'] } } })],
  ['ADD with a key that nobody knows', call('ADD', { configuration: { unheardOf: { a: 1 } } })],
  ['DEL before ADD', call('DEL')],
  [
    'ADD a second time',
    attached(async (stage) => {
      const again = seenOf(await stage.call('ADD'));
      return { ...again, 'first is there': String(stage.ip('-br', 'addr').includes('eth0')) };
    }),
  ],
  [
    'ADD and DEL of a second interface',
    attached(async (stage, given) => {
      const environment = { CNI_IFNAME: 'eth1' };
      const added = await stage.call('ADD', { environment });
      const removed = await stage.call('DEL', { environment, configuration: { prevResult: added.answer } });
      const first = await stage.call('CHECK', given);
      return { ...seenOf(added), 'exit of DEL': String(removed.exitCode), 'exit of CHECK': String(first.exitCode) };
    }),
  ],
  [
    'CHECK with the address gone',
    attached(async (stage, given) => {
      stage.ip('addr', 'flush', 'dev', 'eth0');
      return seenOf(await stage.call('CHECK', given));
    }),
  ],
  [
    'CHECK and DEL with the interface gone',
    attached(async (stage, given) => {
      stage.ip('link', 'del', 'eth0');
      const checked = seenOf(await stage.call('CHECK', given));
      const removed = await stage.call('DEL', given);
      const again = await stage.call('DEL', given);
      return { ...checked, 'exit of DEL': String(removed.exitCode), 'exit of DEL again': String(again.exitCode) };
    }),
  ],
  [
    'DEL with the namespace gone',
    attached(async (stage, given) => {
      removeNamespace(stage.name);
      return seenOf(await stage.call('DEL', given));
    }),
  ],
  [
    'DEL with an empty CNI_NETNS',
    attached(async (stage, given) => {
      const seen = seenOf(await stage.call('DEL', { ...given, environment: { CNI_NETNS: '' } }));
      return { ...seen, 'link is left': String(stage.ip('-br', 'link').includes('eth0')) };
    }),
  ],
  [
    'ADD of an interface whose name is taken',
    async (stage) => {
      stage.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'x');
      const seen = seenOf(await stage.call('ADD'));
      return { ...seen, 'other is left': String(stage.ip('-br', 'link').includes('eth0')) };
    },
  ],
  [
    'sixteen ADD and DEL at a time',
    async (stage) => {
      const names = Array.from({ length: 16 }, (_, index) => `${stage.name}-${index}`);
      for (const name of names) addNamespace(name);
      try {
        const all = (command: string) =>
          Promise.all(
            names.map((name) => {
              const environment = { CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}` };
              return stage.call(command, { environment });
            }),
          );
        const added = await all('ADD');
        const removed = await all('DEL');
        const addresses = added.map(({ answer }) => (answer?.ips as { address: string }[] | undefined)?.[0]?.address);
        return {
          'exits of ADD': added.map(({ exitCode }) => exitCode).join(),
          addresses: String(new Set(addresses).size),
          'exits of DEL': removed.map(({ exitCode }) => exitCode).join(),
        };
      } finally {
        for (const name of names) removeNamespace(name);
      }
    },
  ],
];

interface Exception {
  readonly rows: readonly string[];
  readonly what: string;
  readonly ours: string;
  readonly theirs: string;
  readonly reason: string;
}

const NOTHING = 'nothing';
const VERSION_ROWS = ROWS.map(([name]) => name).filter((name) => name.startsWith('VERSION'));
const SLOT_ROWS = ['ADD without a version', 'ADD at 0.1.0', 'ADD at 0.2.0'];
const NEWEST_RESULTS = [
  'ADD at 1.0.0',
  'ADD with keys that may be unknown in CNI_ARGS',
  'ADD with a key that nobody knows',
  'ADD and DEL of a second interface',
];
const LIST_ROWS = [...NEWEST_RESULTS, 'ADD with dns', 'ADD at 0.3.0', 'ADD at 0.3.1', 'ADD at 0.4.0'];

/** Where we differ, and why. */
const EXCEPTIONS: readonly Exception[] = [
  {
    rows: VERSION_ROWS,
    what: 'version',
    ours: '1.1.0',
    theirs: '1.0.0',
    reason: 'the newest version that a plugin speaks; ours is newer',
  },
  {
    rows: LIST_ROWS,
    what: 'routes[].gw',
    ours: 'string',
    theirs: NOTHING,
    reason: 'without the gateway one would have to know that it is that of the address, and it is on no subnet',
  },
  {
    rows: SLOT_ROWS,
    what: 'ip4.routes[].gw',
    ours: 'string',
    theirs: NOTHING,
    reason: 'the same, in the older shape',
  },
  {
    rows: NEWEST_RESULTS,
    what: 'dns',
    ours: NOTHING,
    theirs: 'empty',
    reason: 'the specification has it where there is something to say; newer releases of bridge leave it out as well',
  },
  {
    rows: ['ADD with an unknown key in CNI_ARGS', 'ADD with CNI_ARGS that have no value'],
    what: 'code',
    ours: '4',
    theirs: '999',
    reason: '999 is what libcni says of an error without a code; 4 is that of a wrong variable',
  },
  {
    rows: CHECKED_VERSIONS.map((version) => `CHECK at ${version} without a result`),
    what: 'code',
    ours: '7',
    theirs: '999',
    reason: 'likewise; 7 is that of a wrong configuration, which prevResult is a part of',
  },
  {
    rows: ['DEL with an empty CNI_NETNS'],
    what: 'link is left',
    ours: 'false',
    theirs: 'true',
    reason: 'we find the host’s end without the namespace, and the pair goes as a whole',
  },
];

/** What Debian's plugin cannot be asked, with the answers of newer releases. */
const NEWER: readonly (readonly [name: string, play: Play, expected: Seen])[] = [
  ...['GC', 'STATUS'].map((command): [string, Play, Seen] => [
    `${command} at 1.0.0`,
    call(command, { ...without(...NO_CONTAINER), ...cniVersion('1.0.0') }),
    { exit: '1', code: '1', msg: 'string' },
  ]),
  ['STATUS at 1.1.0', call('STATUS', { ...without(...NO_CONTAINER), ...cniVersion('1.1.0') }), { exit: '0' }],
  ['STATUS without CNI_PATH', call('STATUS', without('CNI_PATH')), { exit: '1', code: '4', msg: 'string' }],
  [
    'ADD at 1.1.0',
    call('ADD', cniVersion('1.1.0')),
    {
      ...{ exit: '0', version: '1.1.0', cniVersion: 'string' },
      ...{ 'interfaces[].name': 'string', 'interfaces[].mac': 'string', 'interfaces[].mtu': 'number' },
      ...{ 'interfaces[].sandbox': 'string' },
      ...{ 'ips[].address': 'string', 'ips[].gateway': 'string', 'ips[].interface': 'number' },
      ...{ 'routes[].dst': 'string', 'routes[].gw': 'string' },
    },
  ],
  ...(['CHECK', 'DEL'] as const).map((command): [string, Play, Seen] => [
    `${command} at 1.1.0`,
    attached(async (stage, given) => seenOf(await stage.call(command, given)), { cniVersion: '1.1.0' }),
    { exit: '0' },
  ]),
  ['CHECK at 1.1.0 without a result', call('CHECK', cniVersion('1.1.0')), { exit: '1', code: '7', msg: 'string' }],
  [
    'ADD to the namespace of the host itself',
    (stage) => call('ADD', { environment: { CNI_NETNS: stage.plugin.hostNamespace } })(stage),
    { exit: '1', code: '8', msg: 'string' },
  ],
  [
    'ADD to the namespace of the host itself, which the caller insists on, of an interface that is there',
    (stage) =>
      call('ADD', { environment: { CNI_NETNS: stage.plugin.hostNamespace, CNI_NETNS_OVERRIDE: 'TRUE' } })(stage),
    { exit: '1', code: '999', msg: 'string' },
  ],
  [
    'DEL in the namespace of the host itself',
    (stage) => call('DEL', { environment: { CNI_NETNS: stage.plugin.hostNamespace } })(stage),
    { exit: '0' },
  ],
  [
    'GC of all attachments but one',
    async (stage) => {
      const configuration = { cniVersion: '1.1.0' };
      for (const CNI_IFNAME of ['eth0', 'eth1']) {
        const added = await stage.call('ADD', { configuration, environment: { CNI_IFNAME } });
        assert.equal(added.exitCode, 0, added.stdout);
      }
      const valid = { 'cni.dev/valid-attachments': [{ containerID: stage.name, ifname: 'eth1' }] };
      const given = { ...without(...NO_CONTAINER), configuration: { ...configuration, ...valid } };
      const collected = await stage.call('GC', given);
      return { ...seenOf(collected), left: stage.ip('-br', 'link').match(/eth\d/g)?.join() ?? '' };
    },
    { exit: '0', left: 'eth1' },
  ],
  ['GC without a list', call('GC', { ...without(...NO_CONTAINER), ...cniVersion('1.1.0') }), { exit: '0' }],
];

let stages = 0;

async function play(plugin: Plugin, scene: Play): Promise<Seen> {
  stages += 1;
  const stage = new Stage(plugin, stages);
  try {
    return await scene(stage);
  } finally {
    await stage.clear();
  }
}

const reasonsUsed = new Set<string>();

/** What is seen of the one and not of the other, but for what is excused. */
function unexcused(row: string, ours: Seen, theirs: Seen): string[] {
  const names = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  return [...names].flatMap((what) => {
    const [own = NOTHING, other = NOTHING] = [ours[what], theirs[what]];
    if (own === other) return [];
    const excuse = EXCEPTIONS.find(
      (each) => each.rows.includes(row) && each.what === what && each.ours === own && each.theirs === other,
    );
    if (excuse === undefined) return `${what}: ours ${own}, theirs ${other}`;
    reasonsUsed.add(`${row}: ${what}`);
    return [];
  });
}

describe('our plugin, called as others are', () => {
  before(() => {
    lab.up();
    addNamespace(REFERENCE_HOST);
  });
  after(() => {
    removeNamespace(REFERENCE_HOST);
    rmSync(directory, { recursive: true, force: true });
    lab.down();
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  for (const [name, scene] of ROWS) {
    it(`answers as bridge does: ${name}`, async () => {
      const [ours, theirs] = [await play(OURS, scene), await play(THEIRS, scene)];
      assert.deepEqual(unexcused(name, ours, theirs), [], JSON.stringify({ ours, theirs }, undefined, 1));
    });
  }

  for (const [name, scene, expected] of NEWER) {
    it(`answers as newer plugins do: ${name}`, async () => {
      assert.deepEqual(await play(OURS, scene), expected);
    });
  }

  it('needs each of its exceptions', () => {
    const excused = EXCEPTIONS.flatMap(({ rows, what }) => rows.map((row) => `${row}: ${what}`));
    assert.deepEqual([...reasonsUsed].sort(), excused.sort());
  });
});
