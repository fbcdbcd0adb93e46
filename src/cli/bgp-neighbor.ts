/**
 * `muslin bgp neighbor`: everything about one peer, to be read from top to bottom.
 *
 * How the session is comes first, then what it is made of (both ends, timers, capabilities), then what went over it, then how it
 * came to this: the last NOTIFICATION and the session log. JSON is the agent's NeighborView as it stands.
 */
import { Command } from 'commander';
import type { MessageCounts, NeighborView } from '../bgp/observe/views.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { bgpNeighbor } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { logText } from './bgp-log.ts';
import { type BgpViewOptions, bgpViewOption, counted, showBgp } from './bgp-view.ts';
import { durationText } from './view.ts';

export function bgpNeighborCommand(): Command {
  return new Command('neighbor')
    .description(
      'Show everything about one peer: state, capabilities, counters, the last NOTIFICATION, the session log.',
    )
    .argument('<peer>', 'its address, or a word of its description, such as the name of its node')
    .addOption(socketOption())
    .addOption(bgpViewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp neighbor 192.168.1.2')
    .action(async (peer: string, options: BgpViewOptions & { readonly socket: string }) => {
      const neighbor = await askAgent(options.socket, (socket) => bgpNeighbor(socket, peer));
      await showBgp(options, neighbor, () => neighborText(neighbor));
    });
}

type Line = readonly [name: string, value: string];

/** The view as text. */
export function neighborText(view: NeighborView): string {
  const lines = [...stateLines(view), ...capabilityLines(view), ...trafficLines(view)];
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return [
    lines.map(([name, value]) => `${`${name}:`.padEnd(width)}${value}\n`).join(''),
    renderTable(MESSAGE_COLUMNS, messageRows(view)),
    `Session log:\n${view.log.length === 0 ? '(empty)\n' : logText(view.log)}`,
  ].join('\n');
}

function stateLines(view: NeighborView): Line[] {
  const { address, description, asn, localAsn, type, state, forMs, stale, lastError } = view;
  return [
    ['Peer', description === '' ? address : `${address} (${description})`],
    ['AS', `${asn}, ${type}; ours is ${localAsn}`],
    ['State', `${state} for ${durationText(forMs)}${stale ? '; its routes are kept while it is away' : ''}`],
    ...one('Last error', lastError === '' ? undefined : lastError),
    ...one('Last NOTIFICATION', notificationText(view)),
    ['Connection', connectionText(view)],
    ...one('Router id', view.routerId),
    ...one('Timers', timersText(view)),
    ['BFD', view.bfd ?? 'not used'],
  ];
}

function notificationText({ lastNotification: last }: NeighborView): string | undefined {
  return last === undefined ? undefined : `${last.direction} ${durationText(last.agoMs)} ago: ${last.text}`;
}

function connectionText(view: NeighborView): string {
  const { localAddress, port, passive, dynamic, md5, ttlSecurityHops } = view;
  return [
    localAddress === undefined ? undefined : `from ${localAddress}`,
    dynamic ? 'the peer came from a listen range' : passive ? 'we wait for the peer to dial' : `to port ${port}`,
    md5 ? 'with a password (MD5)' : undefined,
    ttlSecurityHops === undefined ? undefined : `at most ${counted(ttlSecurityHops, 'hop')} away (TTL security)`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

function timersText({ holdTimeSeconds: hold, keepaliveSeconds: keepalive }: NeighborView): string | undefined {
  if (hold === undefined) return undefined;
  if (hold === 0) return 'none: the session is never given up for silence';
  return `given up after ${hold} s of silence${keepalive === undefined ? '' : `, a KEEPALIVE every ${keepalive} s`}`;
}

function capabilityLines({
  families,
  capabilitiesSent: sent,
  capabilitiesReceived: received,
  state,
}: NeighborView): Line[] {
  const both = sent.filter((name) => received.includes(name));
  const ours = sent.filter((name) => !received.includes(name));
  const theirs = received.filter((name) => !sent.includes(name));
  return [
    ['Families', listText(families)],
    ...(received.length === 0 && state !== 'Established'
      ? one('We can', sent.length === 0 ? undefined : sent.join(', '))
      : ([
          ['Both can', listText(both)],
          ['Only we can', listText(ours)],
          ['Only the peer can', listText(theirs)],
        ] as const)),
  ];
}

function listText(names: readonly string[]): string {
  return names.length === 0 ? '(nothing)' : names.join(', ');
}

function trafficLines(view: NeighborView): Line[] {
  const { prefixesReceived, prefixesAccepted, prefixesSent, loops, treatedAsWithdraw, attributesDiscarded } = view;
  return [
    ['Prefixes', `${prefixesReceived} received, ${prefixesAccepted} of them accepted; ${prefixesSent} sent`],
    ['Looped', `${counted(loops, 'route')} not used, since they had been here before`],
    [
      'Malformed',
      `${counted(treatedAsWithdraw, 'UPDATE')} treated as withdrawal, ${attributesDiscarded} with an attribute left out`,
    ],
    ['Sessions', `established ${counted(view.established, 'time')}, lost ${counted(view.flaps, 'time')}`],
    ['Queue', `${counted(view.queuedBytes, 'byte')} to be sent`],
  ];
}

interface MessageRow {
  readonly name: string;
  readonly received: number;
  readonly sent: number;
}

const MESSAGE_COLUMNS: readonly Column<MessageRow>[] = [
  { title: 'MESSAGES', cell: ({ name }) => name },
  { title: 'RECEIVED', cell: ({ received }) => String(received) },
  { title: 'SENT', cell: ({ sent }) => String(sent) },
];

const MESSAGE_NAMES: Readonly<Record<keyof MessageCounts, string>> = {
  opens: 'OPEN',
  updates: 'UPDATE',
  notifications: 'NOTIFICATION',
  keepalives: 'KEEPALIVE',
  refreshes: 'ROUTE-REFRESH',
  bytes: 'bytes in all',
};

function messageRows({ received, sent }: NeighborView): MessageRow[] {
  const keys = Object.keys(MESSAGE_NAMES) as (keyof MessageCounts)[]; // the keys of the table just above
  return keys.map((key) => ({ name: MESSAGE_NAMES[key], received: received[key], sent: sent[key] }));
}

/** A line, or none for what is not there. */
function one(name: string, value: string | undefined): Line[] {
  return value === undefined ? [] : [[name, value]];
}
