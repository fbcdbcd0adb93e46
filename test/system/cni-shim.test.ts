/**
 * The CNI plugin as a program: built from its C source, executed as a runtime would, against a fake agent.
 *
 * Needs a C compiler, no root. The fake agent reads real frames with the agent's own decoder.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeVersions } from '../../src/cni/cni-error.ts';
import { encodeAnswer, type RequestFrame, RequestFrameDecoder } from '../../src/cni/frame.ts';

const ROOT = join(import.meta.dirname, '../..');
const PLUGIN = join(ROOT, 'build/cni/muslin');

let directory = '';

before(() => {
  execFileSync(join(ROOT, 'scripts/build-shim'), { stdio: 'pipe' });
  directory = mkdtempSync(join(tmpdir(), 'muslin-test-cni-'));
});

after(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(environment: NodeJS.ProcessEnv, input: string | Uint8Array, program = PLUGIN): Promise<Ended> {
  const child = spawn(program, { env: environment });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // the plugin may well end before it has read everything
  child.stdin.end(input);
  const [exitCode] = (await once(child, 'close')) as [number | null]; // the event's documented first argument
  return { exitCode, ...output };
}

/** Checks that a call failed as CNI wants it: exit code 1, one JSON object on stdout with this code and message. */
function assertFailed(ended: Ended, code: number, message: RegExp, version = '1.0.0'): void {
  assert.equal(ended.exitCode, 1, ended.stdout);
  const error = JSON.parse(ended.stdout) as Record<string, unknown>;
  assert.deepEqual(Object.keys(error), ['cniVersion', 'code', 'msg', 'details']);
  assert.equal(error.code, code, ended.stdout);
  assert.match(`${error.msg}; ${error.details}`, message);
  assert.equal(error.cniVersion, version);
}

/** Listens as the agent, hands each whole request to `answer`, and stops when `use` is done. */
async function withAgent<Result>(
  answer: (socket: Socket, frame: RequestFrame) => void,
  use: (socketPath: string) => Promise<Result>,
): Promise<Result> {
  const path = join(directory, 'agent.sock');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const decoder = new RequestFrameDecoder();
    socket.on('error', () => {}); // a plugin that gave up
    socket.on('data', (chunk) => {
      const state = decoder.push(chunk);
      assert.notEqual(state.kind, 'malformed', JSON.stringify(state));
      if (state.kind === 'complete') answer(socket, state.frame);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  try {
    return await use(path);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
}

const configuration = (agentSocket: string, more: object = {}) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', agentSocket, ...more });

test('the agent gets the CNI_ variables and stdin, and its answer is printed', async () => {
  let seen: RequestFrame | undefined;
  await withAgent(
    (socket, frame) => {
      seen = frame;
      socket.end(encodeAnswer(0, '{"cniVersion":"1.0.0","ü":[1,{"a":"}\\""}]}\n'));
    },
    async (path) => {
      const input = `${configuration(path)} \n`;
      const ended = await run({ CNI_COMMAND: 'ADD', HOME: '/', CNI_ARGS: 'A=é;B=' }, input);
      assert.deepEqual(ended, { exitCode: 0, stdout: '{"cniVersion":"1.0.0","ü":[1,{"a":"}\\""}]}\n', stderr: '' });
      assert.deepEqual(seen?.input, input);
      assert.deepEqual(seen?.environment, new Map(Object.entries({ CNI_COMMAND: 'ADD', CNI_ARGS: 'A=é;B=' })));
    },
  );
});

test('agentSocket is found at the top level only, wherever it stands', async () => {
  await withAgent(
    (socket) => socket.end(encodeAnswer(0, '')),
    async (path) => {
      for (const input of [
        `{"agentSocket":"${path}","a":{"agentSocket":"/nowhere"}}`,
        `{"agentSocket":"${path}"}`,
        `\n{ "a" : [ { "agentSocket" : "/nowhere" } , "agentSocket" ] , "agentSocket" : "${path}" , "z":{}}\n`,
        `{"x":"\\"agentSocket\\":\\\\","agentSocket":"${path}"}`,
        `{"agentSocket":"/nowhere","agentSocket":"${path}"}`,
      ]) {
        assert.deepEqual(await run({ CNI_COMMAND: 'DEL' }, input), { exitCode: 0, stdout: '', stderr: '' }, input);
      }
    },
  );
});

test('an error of the agent keeps its exit code', async () => {
  const output = '{"cniVersion":"1.0.0","code":7,"msg":"mtu","details":""}\n';
  await withAgent(
    (socket) => socket.end(encodeAnswer(1, output)),
    async (path) => {
      const ended = await run({ CNI_COMMAND: 'ADD' }, configuration(path));
      assert.deepEqual(ended, { exitCode: 1, stdout: output, stderr: '' });
    },
  );
});

test('a huge configuration and a huge answer pass, in whatever pieces', async () => {
  const filler = 'x'.repeat(900_000);
  let received = 0;
  await withAgent(
    (socket, frame) => {
      received = frame.input.length;
      const answer = encodeAnswer(0, JSON.stringify({ filler }));
      const send = (from: number) => {
        if (from >= answer.length) socket.end();
        else
          socket.write(answer.subarray(from, from < 10 ? from + 1 : from + 100_000), () =>
            send(from < 10 ? from + 1 : from + 100_000),
          );
      };
      send(0);
    },
    async (path) => {
      const input = configuration(path, { filler });
      const ended = await run({ CNI_COMMAND: 'ADD' }, input);
      assert.equal(ended.exitCode, 0);
      assert.equal(ended.stdout, JSON.stringify({ filler }));
      assert.equal(received, input.length);
    },
  );
});

const BAD_ANSWERS: readonly [string, (socket: Socket) => void, RegExp][] = [
  ['closes at once', (socket) => socket.end(), /gave no answer; try again later/],
  [
    'is no CNI agent',
    (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    /not whole.*is agentSocket the agent's CNI socket/,
  ],
  ['dies half way', (socket) => socket.end(encodeAnswer(0, '{"cniVersion":"1.0.0","ips":[')), /not whole/],
  ['fails without saying why', (socket) => socket.end(encodeAnswer(1, '')), /not whole/],
  [
    'says too much',
    (socket) => socket.end(encodeAnswer(0, `{}${' '.repeat(1 << 20)}`)),
    /cannot read.*try again later; Message too/,
  ],
];

test('whatever else the agent does is "try again later", and nothing of it is printed', async () => {
  for (const [name, answer, message] of BAD_ANSWERS) {
    await withAgent(answer, async (path) => {
      const ended = await run({ CNI_COMMAND: 'ADD' }, configuration(path));
      assert.doesNotThrow(() => assertFailed(ended, 11, message), name);
    });
  }
});

test('an agent that takes too long is given up', async () => {
  const impatient = join(directory, 'impatient');
  execFileSync('cc', ['-DTIMEOUT_SECONDS=1', '-o', impatient, join(ROOT, 'src/cni/shim.c')]);
  await withAgent(
    () => {},
    async (path) => {
      const ended = await run({ CNI_COMMAND: 'ADD' }, configuration(path), impatient);
      assertFailed(ended, 11, /does not answer; try again later; timed out/);
    },
  );
});

test('without an agent every command but VERSION is "try again later"', async () => {
  const path = join(directory, 'absent.sock');
  for (const command of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS']) {
    const ended = await run({ CNI_COMMAND: command }, configuration(path, { cniVersion: '1.1.0' }));
    // STATUS asks whether containers can be added, for which the specification has a code.
    assertFailed(
      ended,
      command === 'STATUS' ? 50 : 11,
      /cannot be reached; try again later; .*absent.sock: No such file or directory/,
      '1.1.0',
    );
  }
});

const LONG_PATH = `/${'p'.repeat(107)}`;
const BAD_INPUTS: readonly [string, code: number, message: RegExp, version?: string][] = [
  ['', 6, /stdin is not a JSON object/, '1.1.0'],
  ['[]', 6, /not a JSON object/, '1.1.0'],
  ['{"a":1', 6, /not a JSON object/, '1.1.0'],
  ['{"a":"b}', 6, /not a JSON object/, '1.1.0'],
  ['{"a":[}]', 6, /not a JSON object/, '1.1.0'],
  ['{} {}', 6, /not a JSON object/, '1.1.0'],
  [`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, 6, /not a JSON object/, '1.1.0'],
  [JSON.stringify({ filler: 'x'.repeat(1 << 20) }), 6, /too long/, '1.1.0'],
  // A configuration that can be read and has no version is of the oldest.
  ['{"agentSocket":"run/a.sock"}', 7, /agentSocket is not the path of a socket; an absolute path/, '0.1.0'],
  ['{"cniVersion":"0.4.0","agentSocket":7}', 7, /agentSocket is not/, '0.4.0'],
  ['{"agentSocket":"/a\\u0062"}', 7, /agentSocket is not/, '0.1.0'],
  ['{"agentSocket":""}', 7, /agentSocket is not/, '0.1.0'],
  [`{"agentSocket":"${LONG_PATH}"}`, 7, /at most 107 bytes/, '0.1.0'],
  // As long as it may be: so long as it is only missing, not wrong.
  [`{"agentSocket":"${LONG_PATH.slice(0, 107)}"}`, 11, /cannot be reached/, '0.1.0'],
  // One that is no text, or does not fit, is answered in the newest.
  ['{"cniVersion":7,"agentSocket":"/nowhere"}', 11, /cannot be reached/, '1.1.0'],
  // A version with a line break in it comes back as JSON all the same.
  ['{"cniVersion":"1\n","agentSocket":"/nowhere"}', 11, /cannot be reached/, '1\n'],
];

test('stdin that cannot be right is refused, with the code and in the version of the caller', async () => {
  for (const [input, code, message, version] of BAD_INPUTS) {
    const ended = await run({ CNI_COMMAND: 'ADD' }, input);
    assert.doesNotThrow(() => assertFailed(ended, code, message, version), input.slice(0, 100));
  }
});

test('variables beyond all bounds are refused', async () => {
  const environment = Object.fromEntries(
    Array.from({ length: 9 }, (_, index) => [`CNI_${index}`, 'x'.repeat(120_000)]),
  );
  const ended = await run({ CNI_COMMAND: 'ADD', ...environment }, '{}');
  assertFailed(ended, 4, /variables are too long/, '1.1.0');
});

test('VERSION is answered without an agent, and alike by plugin and agent', async () => {
  const expected = { exitCode: 0, stdout: encodeVersions(), stderr: '' };
  for (const input of ['', ' \n', '{"cniVersion":"1.0.0"}']) {
    assert.deepEqual(await run({ CNI_COMMAND: 'VERSION' }, input), expected, input);
  }
  assertFailed(await run({ CNI_COMMAND: 'VERSION' }, '{'), 6, /not a JSON object/, '1.1.0');
});

test('called by hand, the plugin says what it is', async () => {
  const ended = await run({}, '');
  assert.equal(ended.exitCode, 0);
  assert.equal(ended.stdout, '');
  assert.match(
    ended.stderr,
    /muslin CNI plugin.*CNI_COMMAND is not set[\s\S]*supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n$/,
  );
});
