/**
 * `muslin lab status`: a lab on one screen.
 *
 * Each host's agent is asked over its control socket; one that does not answer is shown with the reason, and does not keep
 * the others from being shown. JSON is a LabStatus, in which scripts find pids, namespaces, log files and sockets.
 */
import { Command } from 'commander';
import { findLab } from '../lab/find-lab.ts';
import {
  type HostStatus,
  type LabStatus,
  labStatus,
  type MachineStatus,
  type WorkloadStatus,
} from '../lab/lab-status.ts';
import { counted } from '../lab/wording.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { labAction } from './lab-action.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

const HOST_COLUMNS: readonly Column<HostStatus>[] = [
  { title: 'HOST', cell: ({ name }) => name },
  { title: 'ADDRESSES', cell: ({ addresses }) => addresses.join(',') },
  { title: 'AGENT', cell: ({ pid }) => (pid === undefined ? 'not running' : `pid ${pid}`) },
  { title: 'IN SYNC', cell: ({ inSync }) => (inSync ? 'yes' : 'no') },
  {
    title: 'SESSIONS',
    cell: ({ sessions }) => `${sessions.filter(({ state }) => state === 'Established').length} of ${sessions.length}`,
  },
];

const ROUTER_COLUMNS: readonly Column<MachineStatus>[] = [
  { title: 'ROUTER', cell: ({ name }) => name },
  { title: 'ADDRESSES', cell: ({ addresses }) => addresses.join(',') },
];

const WORKLOAD_COLUMNS: readonly Column<WorkloadStatus>[] = [
  { title: 'WORKLOAD', cell: ({ name }) => name },
  { title: 'HOST', cell: ({ host }) => host },
  { title: 'ADDRESSES', cell: ({ addresses }) => addresses.join(',') },
  { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
];

export function labStatusCommand(): Command {
  return new Command('status')
    .description("Show a lab's hosts with their agents and sessions, its workloads, routers and segments.")
    .argument('[name]', 'the lab; needed only when several are up')
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin lab status two-hosts -o json')
    .action((name: string | undefined, options: ViewOptions) =>
      labAction(async () => {
        const status = await labStatus(findLab(name));
        show(options, status, () => statusText(status));
      }),
    );
}

function statusText(status: LabStatus): string {
  const { name, condition, hosts, routers, workloads } = status;
  const troubles = hosts.flatMap((host) => host.reasons.map((reason) => `${host.name}: ${reason}\n`)).join('');
  const [host] = hosts;
  return [
    `${name} (${condition}): ${status.description}\n`,
    renderTable(HOST_COLUMNS, hosts),
    troubles,
    routers.length === 0 ? '' : renderTable(ROUTER_COLUMNS, routers),
    workloads.length === 0 ? '' : renderTable(WORKLOAD_COLUMNS, workloads),
    `${counted(status.sessions, 'BGP session')}; segments: ${status.segments.map((segment) => segment.name).join(', ')}; logs: ${host?.logFile.replace(host.name, 'HOST')}\n`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}
