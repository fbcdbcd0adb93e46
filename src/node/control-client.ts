/**
 * Asking an agent over its control socket (node/control-api.ts).
 *
 * A Unix socket belongs to no network namespace, so the agents of a lab's hosts are asked from outside. Each question has a
 * deadline and its answer a largest size: an agent that hangs must not hang those who ask. Tables are asked for a page at a
 * time.
 */
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ExplanationView, NeighborView, RoutePage, RouteView } from '../bgp/observe/views.ts';
import type {
  AgentStatus,
  BgpStatus,
  DenialView,
  DropBatch,
  EndpointSummary,
  EndpointView,
  PolicyView,
  Readiness,
  RouteQuestion,
} from './control-api.ts';

export class AgentUnreachable extends Error {
  override readonly name = 'AgentUnreachable';
}

/** The agent has understood, and says why it does not do it. */
export class AgentRefusal extends Error {
  override readonly name = 'AgentRefusal';
  /** 404 for what is not there, 400 for a question that makes no sense. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The agent answers from memory; a turn of its loop takes milliseconds. */
const ANSWER_TIMEOUT_MS = 5_000;
/** A page of a thousand prefixes with a hundred candidates each. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export async function agentStatus(socketPath: string): Promise<AgentStatus> {
  return (await ask(socketPath, '/status')) as AgentStatus; // the agent's own answer to this path; so for the others
}

/** Whether the agent is in sync. It costs less than its status, for which the agent reads in the kernel. */
export async function agentReadiness(socketPath: string): Promise<Readiness> {
  return (await ask(socketPath, '/readyz', 'GET', [200, 503])) as Readiness;
}

export async function endpointSummaries(socketPath: string): Promise<EndpointSummary[]> {
  return (await ask(socketPath, '/endpoints')) as EndpointSummary[];
}

/** `name` as `muslin endpoint describe` takes it; rejects with AgentRefusal when there is none such. */
export async function endpointView(socketPath: string, name: string): Promise<EndpointView> {
  return (await ask(socketPath, `/endpoints/${encodeURIComponent(name)}`)) as EndpointView;
}

/** The policies that are in use on the agent's host. */
export async function policyViews(socketPath: string): Promise<PolicyView[]> {
  return (await ask(socketPath, '/policies')) as PolicyView[];
}

/** The rules that have denied packets on the agent's host, most packets first. */
export async function denialViews(socketPath: string): Promise<DenialView[]> {
  return (await ask(socketPath, '/denials')) as DenialView[];
}

/** Denied packets as they are denied, until the caller stops or the agent ends; every one from when this resolves. */
export async function followDrops(socketPath: string): Promise<AsyncIterable<DropBatch>> {
  const { answer } = await send(socketPath, '/drops', 'GET');
  answer.socket.setTimeout(0); // it may be long until something is denied
  if (answer.statusCode !== 200) throw await refusalOf(socketPath, answer);
  return batchesIn(socketPath, answer);
}

async function* batchesIn(socketPath: string, answer: IncomingMessage): AsyncGenerator<DropBatch> {
  try {
    for await (const line of createInterface({ input: answer })) yield JSON.parse(line) as DropBatch;
  } catch (error) {
    throw new AgentUnreachable(`${socketPath}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    answer.destroy();
  }
}

async function refusalOf(socketPath: string, answer: IncomingMessage): Promise<AgentUnreachable> {
  const text = await answer.toArray();
  return new AgentUnreachable(
    `${socketPath}: /drops answered ${answer.statusCode}: ${text.join('').slice(0, 200).trim()}`,
  );
}

export async function bgpStatus(socketPath: string): Promise<BgpStatus> {
  return (await ask(socketPath, '/bgp/status')) as BgpStatus;
}

/** `peer` is an address, or a word of a description; rejects with AgentRefusal when there is none such. */
export async function bgpNeighbor(socketPath: string, peer: string): Promise<NeighborView> {
  return (await ask(socketPath, `/bgp/peers/${encodeURIComponent(peer)}`)) as NeighborView;
}

/** `prefix` may be an address: then the longest prefix around it is explained. */
export async function bgpExplanation(socketPath: string, prefix: string): Promise<ExplanationView> {
  return (await ask(socketPath, `/bgp/explain?${new URLSearchParams({ prefix })}`)) as ExplanationView;
}

/** Which routes: all candidates, or those that one peer sends or is sent. */
export interface RouteScope {
  readonly view: 'routes' | 'received' | 'advertised';
  /** For `received` and `advertised`. */
  readonly neighbor: string | undefined;
  readonly question: RouteQuestion;
}

/** All routes of the scope, a page at a time. */
export async function* bgpRoutes(socketPath: string, scope: RouteScope): AsyncGenerator<readonly RouteView[]> {
  const { view, neighbor, question } = scope;
  const path = neighbor === undefined ? `/bgp/${view}` : `/bgp/${view}/${encodeURIComponent(neighbor)}`;
  let after = question.after;
  do {
    const parameters = new URLSearchParams({ ...question, ...(after !== undefined && { after }) });
    const page = (await ask(socketPath, `${path}?${parameters}`)) as RoutePage;
    yield page.routes;
    after = page.next;
  } while (after !== undefined);
}

/** The name of the peer to whom the command was given. */
export async function bgpCommand(
  socketPath: string,
  peer: string,
  parameters: Readonly<Record<string, string>>,
): Promise<string> {
  const path = `/bgp/peers/${encodeURIComponent(peer)}?${new URLSearchParams(parameters)}`;
  const done = (await ask(socketPath, path, 'POST')) as { readonly peer: string };
  return done.peer;
}

/** The table as MRT, to be read to its end; a stream that breaks off ends with an error. */
export async function bgpDump(socketPath: string): Promise<Readable> {
  const { answer } = await send(socketPath, '/bgp/dump', 'GET');
  answer.socket.setTimeout(0); // whoever takes the file may be slow, and nothing moves meanwhile
  if (answer.statusCode === 200) return answer;
  throw new AgentUnreachable(`${socketPath}: /bgp/dump answered ${answer.statusCode}`);
}

/** The JSON that the agent answers; rejects with AgentUnreachable when there is no agent or no answer with a good code. */
async function ask(
  socketPath: string,
  path: string,
  method: 'GET' | 'POST' = 'GET',
  goodCodes: readonly number[] = [200],
): Promise<unknown> {
  const unreachable = (reason: string) => new AgentUnreachable(`${socketPath}: ${reason}`);
  const { answer } = await send(socketPath, path, method);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer) {
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) throw new Error(`answer over ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(error instanceof Error ? error.message : String(error));
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const body = jsonOf(text);
  const code = answer.statusCode ?? 0;
  if (goodCodes.includes(code) && body !== undefined) return body;
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  if ((code === 400 || code === 404) && typeof error === 'string') throw new AgentRefusal(code, error);
  throw unreachable(`${path} answered ${code}: ${text.slice(0, 200)}`);
}

function send(socketPath: string, path: string, method: string): Promise<{ readonly answer: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const options = { socketPath, path, method, timeout: ANSWER_TIMEOUT_MS, agent: false };
    const question = request(options, (answer) => resolve({ answer }));
    question.on('timeout', () => question.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)));
    question.on('error', (error) => reject(new AgentUnreachable(`${socketPath}: ${reasonOf(error)}`)));
    question.end();
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Why nobody could be reached through a socket, in words. */
export function reasonOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no agent has made this socket';
  if (code === 'ECONNREFUSED') return 'the agent that made this socket is gone';
  return code === 'EACCES' ? 'permission denied; root is needed' : error.message;
}
