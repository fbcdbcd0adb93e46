/**
 * What a node tells the others of its policies: which are in force there, in which revision, and what their rules have met.
 *
 * Each agent keeps one entry in the store, STATUS_PREFIX and its name, so that one command can say of a policy how it stands
 * on all nodes. The entry is small and bounded, and says nothing that cannot be made anew; who reads it asks whether its
 * writer still lives. Pure: policy-reporter.ts writes, `muslin policy status` reads.
 */
import { isJsonObject } from '../../lib/json.ts';
import type { PolicyView } from '../control-api.ts';

export interface PolicyReport {
  readonly node: string;
  /** Of the agent: on one machine it tells whether that still lives. */
  readonly pid: number;
  /** When the report was made, RFC 3339. */
  readonly at: string;
  readonly policies: readonly ReportedPolicy[];
  /** How many policies there was no room for. */
  readonly omitted: number;
}

/** A policy that chooses somebody on the node. */
export interface ReportedPolicy {
  /** "NetworkPolicy shop/db" */
  readonly policy: string;
  /** The resource's revision that is in force; undefined while none is. */
  readonly revision?: string;
  /** Why it is not in force. */
  readonly error?: string;
  readonly endpoints: number;
  /** Rules that cannot be put in force as they are meant, each with the reason. */
  readonly leftOut?: readonly string[];
  /** Packets by rule; undefined where they could not be counted, and for a staged policy. */
  readonly ingress?: readonly number[];
  readonly egress?: readonly number[];
}

/** Half of what etcd takes in one request: some 2,000 policies of usual size, on one node. */
const REPORT_BYTES_MAX = 512 * 1024;
/** Of one policy; who has more to mend begins with these. */
const LEFT_OUT_MAX = 10;

/** `leftOut` is by policy. */
export function policyReport(
  writer: Pick<PolicyReport, 'node' | 'pid' | 'at'>,
  views: readonly PolicyView[],
  leftOut: ReadonlyMap<string, readonly string[]>,
): PolicyReport {
  const policies: ReportedPolicy[] = [];
  let bytes = 0;
  for (const view of views.toSorted((one, other) => (one.policy < other.policy ? -1 : 1))) {
    const reported = reportedPolicy(view, leftOut.get(view.policy) ?? []);
    bytes += JSON.stringify(reported).length;
    if (bytes > REPORT_BYTES_MAX) break;
    policies.push(reported);
  }
  return { ...writer, policies, omitted: views.length - policies.length };
}

function reportedPolicy(view: PolicyView, leftOut: readonly string[]): ReportedPolicy {
  const { policy, revision, error, endpoints } = view;
  const [ingress, egress] = [view.ingress, view.egress].map((rules) => {
    const packets = rules.flatMap((rule) => rule.packets ?? []);
    return packets.length === rules.length && !view.staged ? packets : undefined;
  });
  return {
    ...{ policy, endpoints },
    ...(revision !== undefined && { revision }),
    ...(error !== '' && { error }),
    ...(leftOut.length > 0 && { leftOut: leftOut.slice(0, LEFT_OUT_MAX) }),
    ...(ingress !== undefined && { ingress }),
    ...(egress !== undefined && { egress }),
  };
}

/** What remains of a report when nobody counts packets, and it does not matter when it was made. */
export function standing({ policies, omitted, ...writer }: PolicyReport): unknown {
  return {
    ...{ omitted, node: writer.node, pid: writer.pid },
    policies: policies.map(({ ingress: _, egress: __, ...rest }) => rest),
  };
}

/** The report in an entry's value; undefined when it is none: another version may have written it. */
export function readPolicyReport(value: unknown): PolicyReport | undefined {
  if (!isJsonObject(value)) return undefined;
  const { node, pid, at, policies, omitted } = value;
  if (typeof node !== 'string' || typeof pid !== 'number' || typeof at !== 'string' || typeof omitted !== 'number')
    return undefined;
  if (!Array.isArray(policies)) return undefined;
  return { node, pid, at, omitted, policies: policies.flatMap((each) => readReported(each) ?? []) };
}

function readReported(value: unknown): ReportedPolicy | undefined {
  if (!isJsonObject(value)) return undefined;
  const { policy, revision, error, endpoints } = value;
  if (typeof policy !== 'string' || typeof endpoints !== 'number') return undefined;
  const leftOut = listOf('string', value['leftOut']);
  const ingress = listOf('number', value['ingress']);
  const egress = listOf('number', value['egress']);
  return {
    ...{ policy, endpoints },
    ...(typeof revision === 'string' && { revision }),
    ...(typeof error === 'string' && { error }),
    ...(leftOut && { leftOut }),
    ...(ingress && { ingress }),
    ...(egress && { egress }),
  };
}

function listOf(type: 'string', value: unknown): readonly string[] | undefined;
function listOf(type: 'number', value: unknown): readonly number[] | undefined;
function listOf(type: 'string' | 'number', value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) && value.every((each) => typeof each === type) ? value : undefined;
}
