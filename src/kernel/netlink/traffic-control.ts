/**
 * Programs on a device's traffic by tc: RTM_NEWQDISC, RTM_NEWTFILTER and their kin, for kernels without TCX.
 *
 * The queueing discipline "clsact" queues nothing; it is there for filters to hang on, at the device's entrance and exit. A filter
 * of kind "bpf" with "direct action" is a program whose verdict counts. The body is a struct tcmsg and TCA_… attributes; a
 * filter is told apart from others by its place, priority and handle, and replaced in one step by one that has the same.
 *
 * Source: linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h, net/sched/cls_bpf.c. Called by bpf/attachment.ts.
 */
import { type IfIndex, ifIndex } from '../../net/kernel-objects.ts';
import {
  type NetlinkMessage,
  type NetlinkRequest,
  NetlinkWriter,
  NLM_F,
  parseAttributes,
  textOf,
  u32At,
  u32Of,
} from './message.ts';

const RTM_QDISC = { new: 36, del: 37 } as const;
const RTM_FILTER = { new: 44, del: 45, get: 46 } as const;

const TCMSG_LENGTH = 20;
const TCA = { kind: 1, options: 2 } as const;
const TCA_BPF = { descriptor: 6, name: 7, flags: 8, id: 11 } as const;
const DIRECT_ACTION = 1;
/** Where a clsact hangs, and its own handle; where its filters hang. */
const CLSACT_PARENT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const FILTER_PARENT = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;

export type TrafficDirection = keyof typeof FILTER_PARENT;

/** A filter's place among those of its direction: what the kernel tells it apart by. */
export interface FilterPlace {
  readonly index: IfIndex;
  readonly direction: TrafficDirection;
  /** Lower ones are asked first. */
  readonly priority: number;
  readonly handle: number;
}

/** Any filter; `name` and `program` (its id) of those that are programs. */
export interface TrafficFilter extends FilterPlace {
  readonly name: string | undefined;
  readonly program: number | undefined;
}

/** EEXIST when the device has one already. */
export function encodeClsactAdd(index: IfIndex): NetlinkRequest {
  const body = tcmsg(index, CLSACT_HANDLE, CLSACT_PARENT, 0).attributeText(TCA.kind, 'clsact').finish();
  return { type: RTM_QDISC.new, flags: NLM_F.create | NLM_F.exclusive, body };
}

/** Takes all its filters along. */
export function encodeClsactRemove(index: IfIndex): NetlinkRequest {
  return { type: RTM_QDISC.del, flags: 0, body: tcmsg(index, CLSACT_HANDLE, CLSACT_PARENT, 0).finish() };
}

/** Adds the program behind a descriptor as a filter, or puts it in the place of the one that is there. */
export function encodeFilterPut(place: FilterPlace, name: string, descriptor: number): NetlinkRequest {
  const writer = filter(place).attributeText(TCA.kind, 'bpf');
  writer.nested(TCA.options, () =>
    writer
      .attributeU32(TCA_BPF.descriptor, descriptor)
      .attributeText(TCA_BPF.name, name)
      .attributeU32(TCA_BPF.flags, DIRECT_ACTION),
  );
  return { type: RTM_FILTER.new, flags: NLM_F.create, body: writer.finish() };
}

export function encodeFilterRemove(place: FilterPlace): NetlinkRequest {
  return { type: RTM_FILTER.del, flags: 0, body: filter(place).attributeText(TCA.kind, 'bpf').finish() };
}

/** The filters of one direction of a device; none where it has no clsact. */
export function encodeFiltersDump(index: IfIndex, direction: TrafficDirection): NetlinkRequest {
  return { type: RTM_FILTER.get, flags: NLM_F.dump, body: tcmsg(index, 0, FILTER_PARENT[direction], 0).finish() };
}

/**
 * The filter that an RTM_NEWTFILTER of a dump describes; undefined for other messages, and for the head of a priority, which comes
 * before its filters without a handle.
 */
export function decodeFilter(message: NetlinkMessage): TrafficFilter | undefined {
  const attributes = parseAttributes(message.body, TCMSG_LENGTH);
  if (message.type !== RTM_FILTER.new || attributes === undefined) return undefined;
  const parent = u32At(message.body, 12);
  const direction = (['ingress', 'egress'] as const).find((each) => FILTER_PARENT[each] === parent);
  const handle = u32At(message.body, 8);
  if (direction === undefined || handle === 0) return undefined;
  const options = attributes.get(TCA.options);
  const isProgram = textOf(attributes.get(TCA.kind)) === 'bpf' && options !== undefined;
  const details = isProgram ? parseAttributes(options) : undefined;
  return {
    index: ifIndex(u32At(message.body, 4)),
    direction,
    priority: u32At(message.body, 16) >>> 16,
    handle,
    name: textOf(details?.get(TCA_BPF.name)),
    program: u32Of(details?.get(TCA_BPF.id)),
  };
}

function filter({ index, direction, priority, handle }: FilterPlace): NetlinkWriter {
  return tcmsg(index, handle, FILTER_PARENT[direction], (priority << 16) | ALL_PROTOCOLS);
}

/** struct tcmsg: family, padding, index, handle, parent, and a number whose meaning depends on the object. */
function tcmsg(index: IfIndex, handle: number, parent: number, info: number): NetlinkWriter {
  return new NetlinkWriter().u32(0).u32(index).u32(handle).u32(parent).u32(info);
}
