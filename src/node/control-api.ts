/**
 * What the agent says over its control socket: the contract between agent, CLI and lab.
 *
 * HTTP with JSON on a Unix socket that only root can open (`curl --unix-socket /run/muslin/agent.sock http://agent/status`):
 *
 *   GET /status        AgentStatus         GET /livez    200 while the loop turns
 *   GET /bgp/peers     PeerView[]          GET /readyz   200 when in sync with store and kernel, else 503
 *   GET /bgp/routes    RouteView[]
 *
 * Fields are only ever added; `-o json` prints these objects as they are.
 */
import type { PeerView } from '../bgp/contract.ts';

export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly store: string;
  readonly felix: FelixStatus;
  readonly bgp: BgpStatus;
}

export interface FelixStatus {
  /** True when the store has been read and every desired object is in the kernel. */
  readonly inSync: boolean;
  /** Why not; empty when in sync. */
  readonly reasons: readonly string[];
  readonly endpoints: number;
  readonly routes: number;
  /** Objects that differ from what is desired, each with its error where a try has failed. */
  readonly unsettled: readonly ObjectState[];
  /** Endpoints whose container is gone or not there yet; they do not keep the host from being in sync. */
  readonly withoutDevice: readonly ObjectState[];
}

export interface ObjectState {
  readonly object: string;
  readonly state: 'pending' | 'error';
  readonly error: string;
}

export interface BgpStatus {
  /** Why nothing is spoken: no Node resource yet, the port is taken. "" when the speaker runs. */
  readonly problem: string;
  readonly asn: number | undefined;
  readonly routerId: string | undefined;
  readonly peers: readonly PeerView[];
  readonly announced: number;
  readonly learned: number;
}

export const DEFAULT_RUN_DIRECTORY = '/run/muslin';
export const CONTROL_SOCKET_NAME = 'agent.sock';
export const CNI_SOCKET_NAME = 'cni.sock';
