/** Frames arrive whole, in pieces of every size, and broken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeAnswer,
  encodeAnswer,
  encodeRequest,
  type FrameState,
  REQUEST_BYTES_MAX,
  RequestFrameDecoder,
} from './frame.ts';

function withLength(body: Uint8Array, length = body.length): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes.set(body, 4);
  return bytes;
}

const text = (value: string) => new TextEncoder().encode(value);
const WHOLE = withLength(text('CNI_COMMAND=ADD\0CNI_ARGS=A=B;C=é\0\0{"name":"n\0ü"}'));
const EXPECTED: FrameState = {
  kind: 'complete',
  frame: {
    environment: new Map([
      ['CNI_COMMAND', 'ADD'],
      ['CNI_ARGS', 'A=B;C=é'],
    ]),
    input: '{"name":"n\0ü"}',
  },
};

test('a frame is read however it is split in two', () => {
  assert.deepEqual(new RequestFrameDecoder().push(WHOLE), EXPECTED);
  for (let split = 1; split < WHOLE.length; split++) {
    const decoder = new RequestFrameDecoder();
    assert.deepEqual(decoder.push(WHOLE.subarray(0, split)), { kind: 'incomplete' }, `split at ${split}`);
    assert.deepEqual(decoder.push(WHOLE.subarray(split)), EXPECTED, `split at ${split}`);
  }
});

test('a frame is read byte by byte from one buffer that is used again and again', () => {
  const decoder = new RequestFrameDecoder();
  const buffer = new Uint8Array(1);
  for (const [index, byte] of WHOLE.entries()) {
    buffer[0] = byte;
    const state = decoder.push(buffer);
    assert.deepEqual(state, index === WHOLE.length - 1 ? EXPECTED : { kind: 'incomplete' });
  }
});

const EMPTY_FRAMES: readonly [string, string][] = [
  ['\0', ''],
  ['\0{}', '{}'],
];

test('variables and stdin may be empty', () => {
  for (const [body, input] of EMPTY_FRAMES) {
    const state = new RequestFrameDecoder().push(withLength(text(body)));
    assert.deepEqual(state, { kind: 'complete', frame: { environment: new Map(), input } });
  }
});

const MALFORMED: readonly [string, Uint8Array, RegExp][] = [
  ['too long', withLength(text(''), REQUEST_BYTES_MAX + 1), /has 1048577 bytes; at most 1048576/],
  ['HTTP', text('GET / HTTP/1.1\r\n'), /at most/],
  ['bytes after the end', withLength(text('A=B\0\0{}!'), 7), /1 bytes follow the end/],
  ['no body', withLength(text('')), /does not end with an empty one/],
  ['variables without end', withLength(text('A=B\0')), /does not end with an empty one/],
  ['a variable without =', withLength(text('AB\0\0{}')), /not NAME=VALUE: "AB"/],
  ['a variable without a name', withLength(text('=B\0\0{}')), /not NAME=VALUE: "=B"/],
];

test('malformed frames are values that say what is wrong', () => {
  for (const [name, bytes, reason] of MALFORMED) {
    const state = new RequestFrameDecoder().push(bytes);
    assert.equal(state.kind, 'malformed', name);
    assert.match(state.kind === 'malformed' ? state.reason : '', reason, name);
  }
});

test('an answer is the exit code and the output', () => {
  assert.deepEqual([...encodeAnswer(1, 'é')], [1, 0xc3, 0xa9]);
  assert.deepEqual([...encodeAnswer(0, '')], [0]);
});

test('what is encoded is what is decoded, and bytes are those of the plugin', () => {
  assert.ok(EXPECTED.kind === 'complete');
  assert.deepEqual(encodeRequest(EXPECTED.frame), WHOLE);
  assert.deepEqual(encodeRequest({ environment: new Map(), input: '' }), withLength(text('\0')));
  assert.deepEqual(decodeAnswer(encodeAnswer(7, '{"é":1}')), { exitCode: 7, output: '{"é":1}' });
  assert.deepEqual(decodeAnswer(encodeAnswer(0, '')), { exitCode: 0, output: '' });
  assert.equal(decodeAnswer(new Uint8Array(0)), undefined);
});
