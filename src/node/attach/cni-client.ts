/**
 * Asking the agent as a container runtime does, without the plugin between: one connection, one request, one answer.
 *
 * For `muslin attach` and `detach`, so that what they do is what every runtime does. Environment and network configuration are
 * the caller's (CNI SPEC 1.1.0, sections 2 and 3); the frames are those of cni/frame.ts.
 */
import { connect } from 'node:net';
import type { CniErrorCode } from '../../cni/cni-error.ts';
import { decodeAnswer, encodeRequest } from '../../cni/frame.ts';
import { isJsonObject } from '../../lib/json.ts';
import { AgentUnreachable, reasonOf } from '../control-client.ts';

/** The agent has understood, and says why it does not do it. */
export class CniRefusal extends Error {
  override readonly name = 'CniRefusal';
  readonly code: CniErrorCode;
  readonly details: string;

  constructor(code: CniErrorCode, message: string, details: string) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** The agent itself gives up after ten seconds, and may have as long to undo what it did. */
const ANSWER_TIMEOUT_MS = 60_000;
/** A result is some hundred bytes. */
const ANSWER_BYTES_MAX = 1024 * 1024;

/** The result, undefined where the command has none. Rejects with CniRefusal, or with AgentUnreachable. */
export async function askCni(
  socketPath: string,
  environment: ReadonlyMap<string, string>,
  configuration: object,
): Promise<unknown> {
  const request = encodeRequest({ environment, input: JSON.stringify(configuration) });
  const answer = decodeAnswer(await exchange(socketPath, request));
  if (answer === undefined) throw new AgentUnreachable(`${socketPath}: the agent went away before it answered`);
  const { exitCode, output } = answer;
  const document = output === '' ? undefined : parseAnswer(socketPath, output);
  if (exitCode === 0) return document;
  const { code, msg, details } = isJsonObject(document) ? document : {};
  if (typeof code !== 'number' || typeof msg !== 'string') throw strange(socketPath, output);
  // The code is the agent's own, which has no others.
  throw new CniRefusal(code as CniErrorCode, msg, typeof details === 'string' ? details : '');
}

function parseAnswer(socketPath: string, output: string): unknown {
  try {
    return JSON.parse(output);
  } catch {
    throw strange(socketPath, output);
  }
}

function strange(socketPath: string, output: string): AgentUnreachable {
  return new AgentUnreachable(`${socketPath}: no agent answers like this: ${output.slice(0, 200)}`);
}

function exchange(socketPath: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const socket = connect(socketPath);
    socket.setTimeout(ANSWER_TIMEOUT_MS, () =>
      socket.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS / 1000} s; what was asked for may yet be done`)),
    );
    socket.on('error', (error) => reject(new AgentUnreachable(`${socketPath}: ${reasonOf(error)}`)));
    socket.on('data', (chunk) => {
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) socket.destroy(new Error(`the answer has over ${ANSWER_BYTES_MAX} bytes`));
      chunks.push(chunk);
    });
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.end(request);
  });
}
