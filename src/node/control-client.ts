/**
 * Asking an agent over its control socket (node/control-api.ts).
 *
 * A Unix socket belongs to no network namespace, so the agents of a lab's hosts are asked from outside. Each question has a
 * deadline and its answer a largest size: an agent that hangs must not hang those who ask.
 */
import { request } from 'node:http';
import type { RouteView } from '../bgp/contract.ts';
import type { AgentStatus } from './control-api.ts';

export class AgentUnreachable extends Error {
  override readonly name = 'AgentUnreachable';
}

/** The agent answers from memory; a turn of its loop takes milliseconds. */
const ANSWER_TIMEOUT_MS = 5_000;
/** A million routes at 200 bytes each. */
const ANSWER_BYTES_MAX = 200 * 1024 * 1024;

export async function agentStatus(socketPath: string): Promise<AgentStatus> {
  return (await ask(socketPath, '/status')) as AgentStatus; // the agent's own answer to this path
}

export async function agentRoutes(socketPath: string): Promise<readonly RouteView[]> {
  return (await ask(socketPath, '/bgp/routes')) as readonly RouteView[]; // the agent's own answer to this path
}

/** The JSON that the agent answers; rejects with AgentUnreachable when there is no agent or no good answer. */
function ask(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const unreachable = (reason: string) => reject(new AgentUnreachable(`${socketPath}: ${reason}`));
    const question = request({ socketPath, path, timeout: ANSWER_TIMEOUT_MS, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > ANSWER_BYTES_MAX) question.destroy(new Error(`answer over ${ANSWER_BYTES_MAX} bytes`));
        else chunks.push(chunk);
      });
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (answer.statusCode !== 200) unreachable(`${path} answered ${answer.statusCode}: ${text.slice(0, 200)}`);
        else {
          try {
            resolve(JSON.parse(text));
          } catch {
            unreachable(`${path} did not answer JSON: ${text.slice(0, 200)}`);
          }
        }
      });
      answer.on('error', (error) => unreachable(error.message));
    });
    question.on('timeout', () => question.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)));
    question.on('error', (error) => unreachable(reasonOf(error)));
    question.end();
  });
}

function reasonOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no agent has made this socket';
  if (code === 'ECONNREFUSED') return 'the agent that made this socket is gone';
  return code === 'EACCES' ? 'permission denied; root is needed' : error.message;
}
