/**
 * Questions about BGP that come over the control socket: read strictly, answered from the speaker's views.
 *
 * A peer is named by its address, or by a word of its description that no other peer has ("host-b"). A prefix may be an address:
 * then the longest prefix around it is meant. Every page is one turn of the loop, and bounded. What is not there is
 * answered with 404 and the nearest that is; what cannot be understood with 400.
 *
 * Called by control-server.ts, for the agent and for the speaker that runs alone.
 */
import type { PeerCommand, PeerName } from '../../bgp/contract.ts';
import type { ExplanationView, PeerView, RouteFilter } from '../../bgp/observe/views.ts';
import { nearMiss } from '../../model/near-miss.ts';
import type { Cidr } from '../../net/cidr.ts';
import { formatCidr, hostPrefix, parseInterfaceAddress, sameCidr } from '../../net/cidr.ts';
import { formatIp, parseIp } from '../../net/ip.ts';
import type { BgpControl, RouteQuestion } from '../control-api.ts';
import { MATCHES, ROUTES_PAGE_MAX } from '../control-api.ts';

export interface Answer {
  readonly code: number;
  readonly body: unknown;
}

/** Thrown inside this file only; becomes an answer. */
class Refusal extends Error {
  readonly code: number;

  constructor(code: 400 | 404, message: string) {
    super(message);
    this.code = code;
  }
}

/** RFC 9003: what is sent along with a reset has one byte for its length. */
const COMMUNICATION_BYTES_MAX = 255;
/** Names in an error message: enough to see the one that was meant. */
const NAMES_SHOWN = 8;

/** The answer to GET `path` (after "/bgp/") with these parameters; undefined when there is no such path. */
export function answerBgpQuestion(bgp: BgpControl, path: string, parameters: URLSearchParams): Answer | undefined {
  const [view = '', name = '', ...rest] = path.split('/');
  if (rest.length > 0) return undefined;
  return answered(() => {
    switch (view) {
      case 'status':
        return name === '' ? bgp.status() : undefined;
      case 'peers':
        return name === '' ? bgp.peers() : bgp.neighbor(findPeer(bgp, name));
      case 'routes':
        return name === '' ? bgp.routes(filterOf(bgp, parameters)) : undefined;
      case 'received':
        return name === '' ? undefined : bgp.received(findPeer(bgp, name), filterOf(bgp, parameters));
      case 'advertised':
        return name === '' ? undefined : bgp.advertised(findPeer(bgp, name), filterOf(bgp, parameters));
      case 'explain':
        return name === '' ? explain(bgp, parameters.get('prefix') ?? '') : undefined;
      default:
        return undefined;
    }
  });
}

/** The answer to POST /bgp/peers/NAME: `reset`, `refreshIn` or `refreshOut` in the parameter `command`. */
export function answerBgpCommand(bgp: BgpControl, path: string, parameters: URLSearchParams): Answer | undefined {
  const [view, name = '', ...rest] = path.split('/');
  if (view !== 'peers' || name === '' || rest.length > 0) return undefined;
  return answered(() => {
    const peer = findPeer(bgp, name);
    const command = commandOf(parameters);
    const state = bgp.peers().find(({ address }) => address === peer)?.state;
    if (command.kind !== 'reset' && state !== 'Established')
      throw new Refusal(400, `${peer} is ${state ?? 'gone'}; routes are only exchanged once it is Established`);
    bgp.command(peer, command);
    return { peer, command: command.kind };
  });
}

function answered(answer: () => unknown): Answer | undefined {
  try {
    const body = answer();
    return body === undefined ? undefined : { code: 200, body };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { code: error.code, body: { error: error.message } };
  }
}

function commandOf(parameters: URLSearchParams): PeerCommand {
  const kind = parameters.get('command') ?? '';
  if (kind === 'refreshIn' || kind === 'refreshOut') return { kind };
  if (kind !== 'reset') throw new Refusal(400, `no command "${kind}"; there are reset, refreshIn and refreshOut`);
  const communication = parameters.get('communication') ?? '';
  const bytes = Buffer.byteLength(communication);
  if (bytes > COMMUNICATION_BYTES_MAX)
    throw new Refusal(400, `the communication has ${bytes} bytes; at most ${COMMUNICATION_BYTES_MAX} (RFC 9003)`);
  return { kind, communication };
}

/** The peer that `text` means; refuses with the names that are near. */
function findPeer(bgp: BgpControl, text: string): PeerName {
  const peers = bgp.peers();
  const word = canonicalName(decoded(text));
  const found = peers.find(({ address }) => address === word) ?? onlyDescribed(peers, word);
  if (found === undefined) throw new Refusal(404, noPeer(word, peers));
  return found.address as PeerName; // what the speaker calls it
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** An address in its canonical form, its device behind it. */
function canonicalName(text: string): string {
  const [address = '', ...device] = text.split('%');
  const parsed = parseIp(address);
  return parsed === undefined ? text : [formatIp(parsed), ...device].join('%');
}

function onlyDescribed(peers: readonly PeerView[], word: string): PeerView | undefined {
  const described = peers.filter(({ description }) => description.split(/[\s,;()]+/).includes(word));
  return word !== '' && described.length === 1 ? described[0] : undefined;
}

function noPeer(word: string, peers: readonly PeerView[]): string {
  if (peers.length === 0) return `no peer ${word}; there are no peers`;
  const names = peers.map(({ address }) => address);
  const near = nearMiss(word, names);
  if (near !== undefined) return `no peer ${word}; did you mean ${near}?`;
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return `no peer ${word}; there ${names.length === 1 ? 'is' : 'are'} ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
}

function filterOf(bgp: BgpControl, parameters: URLSearchParams): RouteFilter {
  const question = Object.fromEntries(parameters) as RouteQuestion;
  const { prefix, match = 'exact', peer, family, after, limit } = question;
  if (!MATCHES.includes(match)) throw new Refusal(400, `no match "${match}"; there are ${MATCHES.join(', ')}`);
  if (family !== undefined && family !== '4' && family !== '6')
    throw new Refusal(400, `"${family}" is no address family; write 4 or 6`);
  const count = limit === undefined ? ROUTES_PAGE_MAX : /^[1-9]\d{0,8}$/.test(limit) ? Number(limit) : 0;
  if (count === 0) throw new Refusal(400, `"${limit}" is no limit; write a number from 1 on`);
  const asked = prefix === undefined ? undefined : prefixAsked(prefix);
  return {
    prefix: asked?.prefix,
    match: asked?.isAddress === true && match === 'exact' ? 'longest' : match,
    peer: peer === undefined ? undefined : peer === 'local' ? 'local' : findPeer(bgp, peer),
    family: family === undefined ? undefined : family === '4' ? 4 : 6,
    after,
    limit: Math.min(count, ROUTES_PAGE_MAX),
  };
}

function prefixAsked(text: string): { readonly prefix: Cidr; readonly isAddress: boolean } {
  const address = parseIp(text);
  if (address !== undefined) return { prefix: hostPrefix(address), isAddress: true };
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined)
    throw new Refusal(400, `"${text}" is neither a prefix nor an address; write 10.1.0.0/16 or 10.1.2.3`);
  if (!sameCidr(parsed.subnet, { address: parsed.address, length: parsed.subnet.length }))
    throw new Refusal(400, `${text} has bits beyond its length; write ${formatCidr(parsed.subnet)}`);
  return { prefix: parsed.subnet, isAddress: false };
}

function explain(bgp: BgpControl, text: string): ExplanationView {
  const { prefix, isAddress } = prefixAsked(text);
  const question = { peer: undefined, family: undefined, after: undefined };
  const around = bgp.routes({ ...question, prefix, match: 'longest', limit: 1 }).routes[0]?.prefix;
  const meant = isAddress ? around : formatCidr(prefix);
  const explanation = meant === undefined ? undefined : bgp.explain(prefixAsked(meant).prefix);
  if (explanation !== undefined) return explanation;
  const inside = bgp.routes({ ...question, prefix, match: 'longer', limit: ROUTES_PAGE_MAX }).routes;
  const near = [...new Set([around, ...inside.map((route) => route.prefix)])].filter((each) => each !== undefined);
  const hint =
    near.length === 0 ? '' : `; near it ${near.length === 1 ? 'is' : 'are'} ${near.slice(0, NAMES_SHOWN).join(', ')}`;
  throw new Refusal(404, `BGP knows no route to ${text}${hint}`);
}
