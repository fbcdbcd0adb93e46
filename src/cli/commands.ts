/**
 * The table of commands: to add one is to add its file and its row.
 *
 * A command's module is imported only when that command runs, so `muslin get` does not pay for the lab, nor the lab for
 * the agent. What is needed before, the path and one line of help, stands here.
 */
import type { CommandRow } from './command-row.ts';
import { rowFor } from './command-row.ts';

/** Summaries of the first words that lead to several commands. */
export const GROUPS: Readonly<Record<string, string>> = {
  lab: 'whole networks on this machine, to try and to learn',
  node: "this host's agent",
  endpoint: 'the containers of this host, and what holds for them',
  policy: 'how policies stand on all nodes',
  bgp: "the agent's BGP sessions and routes",
  ipam: 'which addresses are assigned, to whom, and whether all is well',
  store: 'the datastore as a whole: copies of it, and moving to another one',
};

export const COMMANDS: readonly CommandRow[] = [
  {
    path: ['get'],
    summary: 'show resources',
    load: async () => (await import('./get.ts')).getCommand(),
  },
  {
    path: ['apply'],
    summary: 'create or change resources from a file',
    load: async () => (await import('./write-files.ts')).applyCommand(),
  },
  {
    path: ['delete'],
    summary: 'delete resources',
    load: async () => (await import('./delete.ts')).deleteCommand(),
  },
  {
    path: ['create'],
    summary: 'create resources from a file',
    load: async () => (await import('./write-files.ts')).createCommand(),
  },
  {
    path: ['replace'],
    summary: 'replace resources from a file',
    load: async () => (await import('./write-files.ts')).replaceCommand(),
  },
  {
    path: ['patch'],
    summary: 'change fields of a resource',
    load: async () => (await import('./patch.ts')).patchCommand(),
  },
  {
    path: ['label'],
    summary: 'set and remove labels',
    load: async () => (await import('./label.ts')).labelCommand(),
  },
  {
    path: ['edit'],
    summary: 'change a resource in an editor',
    load: async () => (await import('./edit.ts')).editCommand(),
  },
  {
    path: ['describe'],
    summary: 'show resources in full, for people',
    load: async () => (await import('./describe.ts')).describeCommand(),
  },
  {
    path: ['explain'],
    summary: 'say what the fields of a kind are',
    load: async () => (await import('./explain.ts')).explainCommand(),
  },
  {
    path: ['validate'],
    summary: 'check files without a store',
    load: async () => (await import('./validate.ts')).validateCommand(),
  },
  {
    path: ['diff'],
    summary: 'show what apply would change',
    load: async () => (await import('./diff.ts')).diffCommand(),
  },
  {
    path: ['wait'],
    summary: 'wait until resources are there, gone, or have a value',
    load: async () => (await import('./wait.ts')).waitCommand(),
  },
  {
    path: ['config'],
    summary: 'show which store commands work on, and why',
    load: async () => (await import('./config.ts')).configCommand(),
  },
  {
    path: ['lab', 'up'],
    summary: 'build a lab and wait until it has converged',
    load: async () => (await import('./lab-up.ts')).labUpCommand(),
  },
  {
    path: ['lab', 'down'],
    summary: 'remove a lab, whatever state it is in',
    load: async () => (await import('./lab-down.ts')).labDownCommand(),
  },
  {
    path: ['lab', 'list'],
    summary: 'list the labs there are, and which are up',
    load: async () => (await import('./lab-list.ts')).labListCommand(),
  },
  {
    path: ['lab', 'graph'],
    summary: 'draw a topology',
    load: async () => (await import('./lab-graph.ts')).labGraphCommand(),
  },
  {
    path: ['lab', 'status'],
    summary: 'show hosts, sessions and workloads of a lab',
    load: async () => (await import('./lab-status.ts')).labStatusCommand(),
  },
  {
    path: ['lab', 'exec'],
    summary: 'run a command inside a host, router, segment or workload',
    load: async () => (await import('./lab-exec.ts')).labExecCommand(),
  },
  {
    path: ['lab', 'attach'],
    summary: 'add a workload to a lab that is up',
    load: async () => (await import('./lab-attach.ts')).labAttachCommand(),
  },
  {
    path: ['lab', 'detach'],
    summary: 'remove a workload',
    load: async () => (await import('./lab-detach.ts')).labDetachCommand(),
  },
  {
    path: ['lab', 'restart'],
    summary: "start a host's agent again",
    load: async () => (await import('./lab-restart.ts')).labRestartCommand(),
  },
  {
    path: ['lab', 'add-host'],
    summary: 'a host joins',
    load: async () => (await import('./lab-hosts.ts')).labAddHostCommand(),
  },
  {
    path: ['lab', 'remove-host'],
    summary: 'a host leaves',
    load: async () => (await import('./lab-hosts.ts')).labRemoveHostCommand(),
  },
  {
    path: ['lab', 'cut'],
    summary: 'pull the cables of a host or router',
    load: async () => (await import('./lab-hosts.ts')).labCutCommand(),
  },
  {
    path: ['lab', 'heal'],
    summary: 'plug them in again',
    load: async () => (await import('./lab-hosts.ts')).labHealCommand(),
  },
  {
    path: ['lab', 'check'],
    summary: 'test what the topology says must hold',
    load: async () => (await import('./lab-check.ts')).labCheckCommand(),
  },
  {
    path: ['node', 'run'],
    summary: 'run the agent in the foreground',
    load: async () => (await import('./node-run.ts')).nodeRunCommand(),
  },
  {
    path: ['node', 'status'],
    summary: 'show how the agent is',
    load: async () => (await import('./node-status.ts')).nodeStatusCommand(),
  },
  {
    path: ['node', 'install'],
    summary: 'put the agent, its unit and the CNI plugin on this host',
    load: async () => (await import('./node-install.ts')).nodeInstallCommand(),
  },
  {
    path: ['node', 'purge'],
    summary: 'remove every trace of muslin from this host, and prove it',
    load: async () => (await import('./node-purge.ts')).nodePurgeCommand(),
  },
  {
    path: ['attach'],
    summary: 'connect a namespace, a process or a virtual machine',
    load: async () => (await import('./attach.ts')).attachCommand(),
  },
  {
    path: ['detach'],
    summary: 'take away what attach has made',
    load: async () => (await import('./detach.ts')).detachCommand(),
  },
  {
    path: ['endpoint', 'list'],
    summary: 'show the containers of this host',
    load: async () => (await import('./endpoint-list.ts')).endpointListCommand(),
  },
  {
    path: ['endpoint', 'describe'],
    summary: 'show the policies and rules of a container, with counters',
    load: async () => (await import('./endpoint-describe.ts')).endpointDescribeCommand(),
  },
  {
    path: ['policy', 'status'],
    summary: 'show where policies are in force, and which rules were never hit',
    load: async () => (await import('./policy-status.ts')).policyStatusCommand(),
  },
  {
    path: ['drops'],
    summary: 'show which packets are denied, and by which rule',
    load: async () => (await import('./drops.ts')).dropsCommand(),
  },
  {
    path: ['bgp', 'peers'],
    summary: 'show the sessions with BGP peers',
    load: async () => (await import('./bgp-peers.ts')).bgpPeersCommand(),
  },
  {
    path: ['bgp', 'routes'],
    summary: 'show the routes that BGP knows, and which are best',
    load: async () => (await import('./bgp-routes.ts')).bgpRoutesCommand(),
  },
  {
    path: ['bgp', 'neighbor'],
    summary: 'show everything about one BGP peer',
    load: async () => (await import('./bgp-neighbor.ts')).bgpNeighborCommand(),
  },
  {
    path: ['bgp', 'explain'],
    summary: 'say why BGP chose the way to a prefix',
    load: async () => (await import('./bgp-explain.ts')).bgpExplainCommand(),
  },
  {
    path: ['bgp', 'plan'],
    summary: 'show what applying files would do to sessions and routes',
    load: async () => (await import('./bgp-plan.ts')).bgpPlanCommand(),
  },
  {
    path: ['bgp', 'log'],
    summary: 'show what has happened to a BGP session',
    load: async () => (await import('./bgp-log.ts')).bgpLogCommand(),
  },
  {
    path: ['bgp', 'reset'],
    summary: 'begin a BGP session anew, or exchange its routes again',
    load: async () => (await import('./bgp-reset.ts')).bgpResetCommand(),
  },
  {
    path: ['bgp', 'dump'],
    summary: 'write the BGP table as an MRT file',
    load: async () => (await import('./bgp-dump.ts')).bgpDumpCommand(),
  },
  {
    path: ['bgp', 'run'],
    summary: 'run a speaker alone: reflector, switch or route server',
    load: async () => (await import('./bgp-run.ts')).bgpRunCommand(),
  },
  {
    path: ['ipam', 'show'],
    summary: 'show how full pools and blocks are',
    load: async () => (await import('./ipam-show.ts')).ipamShowCommand(),
  },
  {
    path: ['ipam', 'check'],
    summary: 'find leaked addresses and what else is wrong, and repair it',
    load: async () => (await import('./ipam-check.ts')).ipamCheckCommand(),
  },
  {
    path: ['ipam', 'explain'],
    summary: 'say who has an address, and what would happen on release',
    load: async () => (await import('./ipam-explain.ts')).ipamExplainCommand(),
  },
  {
    path: ['ipam', 'release'],
    summary: 'release addresses that nobody uses',
    load: async () => (await import('./ipam-release.ts')).ipamReleaseCommand(),
  },
  {
    path: ['ipam', 'configure'],
    summary: 'change how nodes take blocks of addresses',
    load: async () => (await import('./ipam-configure.ts')).ipamConfigureCommand(),
  },
  {
    path: ['store', 'export'],
    summary: 'print all resources, to be imported again',
    load: async () => (await import('./store-export.ts')).storeExportCommand(),
  },
  {
    path: ['store', 'import'],
    summary: 'fill a store with exported resources',
    load: async () => (await import('./store-import.ts')).storeImportCommand(),
  },
  {
    path: ['store', 'migrate'],
    summary: 'copy everything into another store, and compare',
    load: async () => (await import('./store-migrate.ts')).storeMigrateCommand(),
  },
  {
    path: ['completion'],
    summary: 'print a script that completes commands and names in a shell',
    load: async () => (await import('./completion.ts')).completionCommand({ rows: COMMANDS, groups: GROUPS }),
  },
  {
    path: ['man'],
    summary: 'write the manual pages',
    load: async () => (await import('./man.ts')).manCommand({ rows: COMMANDS, groups: GROUPS }),
  },
  {
    path: ['netpol-check'],
    summary: 'put pods and Kubernetes policies in force, for conformance suites',
    load: async () => (await import('./netpol-check.ts')).netpolCheckCommand(),
    hidden: true,
  },
  {
    path: ['__complete'],
    summary: 'what could stand at the end of a command line',
    load: async () => (await import('./complete.ts')).completeCommand({ rows: COMMANDS, groups: GROUPS }),
    hidden: true,
  },
];

/** The row that the words of a command line lead to; undefined for a group, an unknown word, or none. */
export function commandFor(words: readonly string[]): CommandRow | undefined {
  return rowFor(COMMANDS, words);
}
