/**
 * What comes to the agent's socket without being a call: garbage of many kinds, crowds that say nothing, callers that are not root.
 *
 * Each is answered by an error that a runtime would understand, or cut off. After each the same process is there, and a
 * container is attached as if nothing had been.
 */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { seededRandom } from '../../src/lib/prng.ts';
import { addNamespace, Chain, type ChainAttachment, pluginProgram, removeNamespace } from './cni-fixture.ts';
import { run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab();
const CONTAINER = `muslin-test-hostile-${process.pid}`;
const SOCKET = `/run/muslin/lab/${lab.name}/host-a/cni.sock`;
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-hostile-'));
/** More than the agent keeps waiting. */
const CROWD = 1500;

const attachment: ChainAttachment = { containerId: 'hostile-1', netns: `/run/netns/${CONTAINER}` };

/** Attaches a container and detaches it. */
async function requireService(): Promise<void> {
  const plugins = [{ type: 'muslin', agentSocket: SOCKET }];
  const chain = new Chain({ hostNamespace: lab.namespace('host-a'), cniVersion: '1.0.0', name: 'test', plugins });
  const outcome = await chain.add(attachment);
  assert.ok('result' in outcome, JSON.stringify(outcome));
  assert.equal(await chain.remove(attachment), undefined);
}

interface Caller {
  readonly socket: Socket;
  /** Everything that the agent said, once it has closed the connection. */
  readonly answer: Promise<Buffer>;
}

/** Connects and sends; `isEnd` closes our side, else it stays open until the agent closes its own. */
function tryToCall(bytes: Uint8Array, isEnd: boolean): Promise<Caller> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: SOCKET, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const answer = new Promise<Buffer>((over) => {
      for (const event of ['end', 'close']) socket.on(event, () => over(Buffer.concat(chunks)));
    });
    socket.on('error', reject); // after the connection was made this changes nothing: the agent has cut us off
    socket.on('connect', () => {
      if (bytes.length > 0) socket.write(bytes);
      if (isEnd) socket.end();
      resolve({ socket, answer });
    });
  });
}

/** `tryToCall` until the agent's queue has room. */
async function callerOf(bytes: Uint8Array, isEnd: boolean): Promise<Caller> {
  const callers: Caller[] = [];
  await lab.eventually('the agent takes a connection', async () => callers.push(await tryToCall(bytes, isEnd)) > 0);
  const [caller] = callers;
  assert.ok(caller !== undefined);
  return caller;
}

const random = seededRandom(7);
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));

/** A frame that announces `length` bytes. */
function frame(body: string | Buffer, length = Buffer.byteLength(body)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(length);
  return Buffer.concat([head, Buffer.from(body)]);
}

interface Row {
  readonly name: string;
  readonly bytes: Buffer;
  readonly isEnd?: boolean;
  readonly code: number;
  readonly says: RegExp;
}

const ROWS: readonly Row[] = [
  // The first four bytes of the noise announce more than a request may have.
  {
    name: 'random bytes',
    bytes: Buffer.concat([Buffer.alloc(4, 0xab), noise(5000)]),
    code: 5,
    says: /at most 1048576/,
  },
  { name: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), code: 5, says: /at most 1048576/ },
  { name: 'TLS', bytes: Buffer.concat([Buffer.from([22, 3, 1, 2]), noise(500)]), code: 5, says: /at most 1048576/ },
  { name: 'nothing', bytes: Buffer.alloc(0), isEnd: true, code: 5, says: /ends too early/ },
  { name: 'half a length', bytes: Buffer.from([9, 0]), isEnd: true, code: 5, says: /ends too early/ },
  { name: 'half a frame', bytes: frame('A=B', 100), isEnd: true, code: 5, says: /ends too early/ },
  { name: 'a frame of 4 GiB', bytes: frame('', 0xffffffff), code: 5, says: /has 4294967295 bytes; at most/ },
  { name: 'a frame of nothing', bytes: frame(''), code: 5, says: /does not end with an empty one/ },
  {
    name: 'a frame of noise',
    bytes: frame(Buffer.concat([noise(3000), Buffer.alloc(2)])),
    code: 5,
    says: /NAME=VALUE/,
  },
  { name: 'a frame of zeros', bytes: frame(Buffer.alloc(5000)), code: 4, says: /CNI_COMMAND: "" is none of/ },
  {
    name: 'a frame and more',
    bytes: Buffer.concat([frame('\0{}'), noise(9)]),
    code: 5,
    says: /9 bytes follow the end/,
  },
  { name: 'a call without any variable', bytes: frame('\0{}'), code: 4, says: /CNI_COMMAND: "" is none of/ },
  {
    name: 'a call that is not JSON',
    bytes: frame('CNI_COMMAND=DEL\0CNI_CONTAINERID=a\0CNI_IFNAME=b\0CNI_PATH=c\0\0{'),
    code: 6,
    says: /not JSON/,
  },
  {
    name: 'a call that is nested without end',
    bytes: frame(`CNI_COMMAND=DEL\0CNI_CONTAINERID=a\0CNI_IFNAME=b\0CNI_PATH=c\0\0{"name":${'['.repeat(500_000)}`),
    code: 6,
    says: /nested more than 64 deep/,
  },
  {
    name: 'a call in broken UTF-8',
    bytes: frame(Buffer.concat([Buffer.from('CNI_COMMAND='), Buffer.from([0xff, 0xfe, 0, 0])])),
    code: 4,
    says: /CNI_COMMAND: "��" is none of/,
  },
];

describe('the agent’s CNI socket', () => {
  let pid = 0;
  before(() => {
    lab.up();
    addNamespace(CONTAINER);
    pid = lab.host('host-a').pid;
  });
  after(() => {
    removeNamespace(CONTAINER);
    rmSync(directory, { recursive: true, force: true });
    lab.down();
  });
  afterEach((context) => {
    lab.dumpAfterFailure(context);
    assert.ok(process.kill(pid, 0), 'the agent is the same process');
  });

  for (const { name, bytes, isEnd = false, code, says } of ROWS) {
    it(`answers ${name} by an error, and goes on`, async () => {
      const { socket, answer } = await callerOf(bytes, isEnd);
      const [exitCode, ...text] = await answer;
      socket.destroy();
      assert.equal(exitCode, 1);
      const error = JSON.parse(Buffer.from(text).toString());
      assert.equal(error.code, code, error.msg);
      assert.match(error.msg, says);
      await requireService();
    });
  }

  it('outlives callers that vanish in the middle, and takes calls in between', async () => {
    const whole = frame('CNI_COMMAND=STATUS\0CNI_PATH=c\0\0{"cniVersion":"1.1.0","name":"n"}');
    for (let length = 0; length <= whole.length; length++) {
      const { socket } = await callerOf(whole.subarray(0, length), false);
      socket.destroy();
    }
    const { socket, answer } = await callerOf(whole, false);
    assert.deepEqual([...(await answer)], [0]);
    socket.destroy();
    await requireService();
  });

  it(`attaches a container while ${CROWD} connections say nothing, and closes them all`, async () => {
    const crowd: Caller[] = [];
    for (let index = 0; index < CROWD; index++) crowd.push(await callerOf(Buffer.alloc(0), false));
    await requireService();
    const answers = await Promise.all(crowd.map(({ answer }) => answer));
    for (const answer of answers) {
      assert.match(answer.subarray(1).toString(), /more than 1024 callers|no complete request within 5 s/);
    }
    for (const { socket } of crowd) socket.destroy();
    await requireService();
  });

  it('is for root alone, which the plugin tells whoever is not', () => {
    // Where nobody may execute it, whatever the permissions of the repository's directories.
    const plugin = join(directory, 'muslin');
    copyFileSync(pluginProgram('muslin'), plugin);
    for (const path of [directory, plugin]) chmodSync(path, 0o755);
    const environment = ['CNI_CONTAINERID=a', 'CNI_NETNS=/run/netns/a', 'CNI_IFNAME=eth0', 'CNI_PATH=/x'];
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const input = JSON.stringify({ cniVersion: '1.0.0', name: 'n', type: 'muslin', agentSocket: SOCKET });
    const call = ['env', 'CNI_COMMAND=ADD', ...environment, plugin];
    const outcome = run('setpriv', [...nobody, ...call], input);
    assert.equal(outcome.code, 1, outcome.stderr);
    const error = JSON.parse(outcome.stdout);
    assert.equal(error.code, 5);
    assert.equal(error.msg, 'the muslin agent answers root alone: the container runtime must run as root');
    assert.match(error.details, /cni\.sock: Permission denied$/);
  });
});
