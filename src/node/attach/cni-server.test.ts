/** Callers of all kinds, on a real socket, with work that the test decides on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { JsonObject } from '../../cni/fields.ts';
import type { Log } from '../../lib/log.ts';
import { type CniOutcome, type CniWork, startCniServer } from './cni-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-cni-server-'));
const PATH = join(directory, 'cni.sock');
after(() => rmSync(directory, { recursive: true, force: true }));

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const DONE: CniOutcome = { result: undefined };
/** More than the server keeps waiting or working on. */
const CROWD = 1100;
const CROWD_MAX = 1024;

/** What `use` is told of the server: for each connection, in order, when the server has closed it. */
type Closings = readonly Promise<unknown>[];

async function withServer(
  work: (request: CniWork) => Promise<CniOutcome>,
  use: (closings: Closings) => Promise<void>,
): Promise<void> {
  const server: Server = await startCniServer(PATH, work, SILENT);
  const sockets = new Set<Socket>();
  const closings: Promise<unknown>[] = [];
  server.on('connection', (socket) => {
    sockets.add(socket);
    closings.push(once(socket, 'close'));
  });
  try {
    await use(closings);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
}

/** A call as the plugin sends it. */
function frameOf(variables: Readonly<Record<string, string>>, configuration: JsonObject = {}): Buffer {
  const common = { CNI_CONTAINERID: 'c', CNI_IFNAME: 'eth0', CNI_NETNS: '/nowhere', CNI_PATH: '/x' };
  const texts = Object.entries({ ...common, ...variables }).map(([name, value]) => `${name}=${value}\0`);
  const document = { cniVersion: '1.0.0', name: 'net', ...configuration };
  const body = Buffer.from(`${texts.join('')}\0${JSON.stringify(document)}`);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([length, body]);
}

/** A caller that has connected, never closes by itself, and takes what comes. */
interface Caller {
  readonly socket: Socket;
  /** The whole answer, once the server has closed. */
  readonly answer: Promise<Buffer>;
}

async function callerOf(bytes: Uint8Array): Promise<Caller> {
  const socket = connect({ path: PATH, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const answer = new Promise<Buffer>((resolve) => {
    for (const over of ['end', 'close']) socket.on(over, () => resolve(Buffer.concat(chunks)));
  });
  socket.on('error', () => {}); // the server has cut it off
  await once(socket, 'connect');
  if (bytes.length > 0) socket.write(bytes);
  return { socket, answer };
}

function errorIn(answer: Buffer): { code: number; msg: string } {
  assert.equal(answer[0], 1, answer.toString());
  return JSON.parse(answer.subarray(1).toString());
}

test('the socket is for its owner alone', async () => {
  await withServer(
    async () => DONE,
    async () => assert.equal(statSync(PATH).mode & 0o777, 0o600),
  );
});

test('a caller that stays after its answer is closed, whatever the answer was', { timeout: 60_000 }, async () => {
  await withServer(
    async () => DONE,
    async (closings) => {
      for (const bytes of [frameOf({ CNI_COMMAND: 'DEL' }), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
        const { socket, answer } = await callerOf(bytes);
        assert.ok((await answer).length > 0);
        await closings.at(-1);
        socket.destroy();
      }
    },
  );
});

test('callers that send nothing make room for one that does, the oldest first', { timeout: 60_000 }, async () => {
  const calls: string[] = [];
  await withServer(
    async (request) => {
      calls.push(request.command);
      return DONE;
    },
    async () => {
      const idle: Caller[] = [];
      for (let index = 0; index < CROWD; index++) idle.push(await callerOf(new Uint8Array(0)));
      const good = await callerOf(frameOf({ CNI_COMMAND: 'DEL' }));
      assert.deepEqual([...(await good.answer)], [0]);
      assert.deepEqual(calls, ['DEL']);
      const refused = await Promise.all(idle.slice(0, CROWD + 1 - CROWD_MAX).map(({ answer }) => answer));
      for (const answer of refused) {
        assert.match(errorIn(answer).msg, /^more than 1024 callers have sent no complete request$/);
      }
      for (const { socket } of idle) socket.destroy();
    },
  );
});

test('calls beyond what can be worked on are told to come again', { timeout: 60_000 }, async () => {
  const held: (() => void)[] = [];
  let isHolding = true;
  await withServer(
    () => (isHolding ? new Promise((resolve) => held.push(() => resolve(DONE))) : Promise.resolve(DONE)),
    async () => {
      const busy: Caller[] = [];
      for (let index = 0; index < CROWD_MAX; index++) busy.push(await callerOf(frameOf({ CNI_COMMAND: 'DEL' })));
      const surplus = await callerOf(frameOf({ CNI_COMMAND: 'DEL' }));
      const { code, msg } = errorIn(await surplus.answer);
      assert.deepEqual([code, msg], [11, 'the agent works on 1024 calls already; try again later']);
      isHolding = false;
      for (const release of held) release();
      for (const { answer } of busy) assert.deepEqual([...(await answer)], [0]);
      const next = await callerOf(frameOf({ CNI_COMMAND: 'DEL' }));
      assert.deepEqual([...(await next.answer)], [0]);
    },
  );
});
