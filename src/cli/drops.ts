/**
 * `muslin drops`: which packets this host denies, and which rule of which file denied each.
 *
 * With `-f` packets are shown as they are denied, until interrupted: who, to whom, and the rule. The kernel reports them only while
 * somebody looks, and no more than can be looked at; how many were passed over is said. Without `-f` it shows the rules
 * that have denied anything, with their counts. JSON is a DropView a line with `-f`, else a list.
 */
import { Command } from 'commander';
import { type Column, renderTable } from '../lib/table.ts';
import type { DenialView, DropView } from '../node/control-api.ts';
import { denialViews, followDrops } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { ownerText } from './rule-owner.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

interface DropOptions extends ViewOptions {
  readonly socket: string;
  readonly follow?: boolean;
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6', 132: 'sctp' };

const COLUMNS: readonly Column<DenialView>[] = [
  { title: 'PACKETS', cell: ({ packets }) => String(packets) },
  { title: 'WORKLOAD', cell: ({ workload }) => workload ?? '*' },
  { title: 'DIRECTION', cell: ({ owner }) => owner.direction ?? '-' },
  { title: 'TIER', cell: ({ owner }) => owner.tier ?? '-' },
  { title: 'OWNER', cell: ({ owner }) => ownerText(owner) },
  { title: 'RULE', cell: ({ owner }) => (owner.index === undefined ? '-' : String(owner.index)) },
  { title: 'FILE', cell: ({ file }) => file ?? '-' },
];

export function dropsCommand(): Command {
  return new Command('drops')
    .description('Show which rules have denied packets on this host; with -f each packet as it is denied.')
    .option('-f, --follow', 'show packets as they are denied, until interrupted')
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExamples:\n  muslin drops\n  muslin drops -f')
    .action((options: DropOptions) => (options.follow === true ? follow(options) : list(options)));
}

async function list(options: DropOptions): Promise<void> {
  const denials = await askAgent(options.socket, denialViews);
  show(options, denials, () => {
    if (denials.length === 0) return 'nothing has been denied since the rules were made\n';
    const isShared = denials.some(({ workload }) => workload === undefined);
    const note = isShared ? '* all containers of this host that the rule is for, together\n' : '';
    return `${renderTable(COLUMNS, denials)}\n${note}each packet as it is denied: muslin drops -f\n`;
  });
}

async function follow({ socket, output }: DropOptions): Promise<void> {
  await askAgent(socket, async (path) => {
    const batches = await followDrops(path);
    if (output === 'table') process.stderr.write('watching for denied packets; Ctrl-C ends it\n');
    for await (const { drops, lost } of batches) {
      for (const drop of drops) process.stdout.write(`${output === 'json' ? JSON.stringify(drop) : dropText(drop)}\n`);
      if (lost > 0) process.stderr.write(`${lost} more were denied than can be shown\n`);
    }
  });
}

/** "12:00:01.123 egress tcp default/a1 (172.17.8.2):40000 > 10.0.0.1:80 denied by tier default, NetworkPolicy shop/db rule 0 (shop.yaml:12)". */
export function dropText(drop: DropView): string {
  const time = drop.time?.slice(11, 23) ?? '-';
  const protocol = drop.protocol === undefined ? '?' : (PROTOCOLS[drop.protocol] ?? String(drop.protocol));
  const source = endText(drop.from, drop.source, drop.sourcePort);
  const destination = endText(drop.to, drop.destination, drop.destinationPort);
  return `${time} ${drop.rule?.direction ?? '-'} ${protocol} ${source} > ${destination} denied by ${judgeText(drop)}`;
}

function endText(name: string | undefined, address = '?', port: number | undefined): string {
  const at = address.includes(':') ? `[${address}]` : address;
  const place = port === undefined ? at : `${at}:${port}`;
  return name === undefined ? place : `${name} (${place})`;
}

function judgeText({ rule, file, prefix }: DropView): string {
  if (rule === undefined) return `a rule that is there no more (${prefix})`;
  const tier = rule.tier === undefined || rule.kind === 'tier-end' ? '' : `tier ${rule.tier}, `;
  const why = rule.kind === 'tier-end' ? ', none of whose policies allowed it' : '';
  const number = rule.index === undefined ? '' : ` rule ${rule.index}`;
  return `${tier}${ownerText(rule)}${why}${number}${file === undefined ? '' : ` (${file})`}`;
}
