/**
 * `muslin node purge`: shows what there is of muslin on this host, and with --yes removes it and proves that it is gone.
 *
 * Without --plan or --yes it shows the plan and ends with 2, so that a script that has forgotten which does not take it for done.
 * Exit codes of --yes: 0 when nothing is left, 1 when something is, 4 when an agent runs that may not be stopped, 5 when the store
 * is away, 124 when what was waited for did not come.
 */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { KernelError } from '../kernel/kernel.ts';
import { renderTable } from '../lib/table.ts';
import type { PurgeOptions, PurgePlan } from '../node/install/purge.ts';
import { planPurge, purge } from '../node/install/purge.ts';
import type { OwnedObject } from '../node/install/purge-part.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { commandErrorOfInstall } from './node-install.ts';
import { outputOf } from './output.ts';
import { commandErrorOf } from './store-option.ts';
import { type ViewOptions, viewOption } from './view.ts';

interface PurgeFlags extends ViewOptions {
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly root: string;
  readonly config?: string;
  readonly keepStore?: boolean;
  readonly keepSettings?: boolean;
  readonly stopAgent?: boolean;
}

export function nodePurgeCommand(): Command {
  return new Command('purge')
    .description(
      'Remove every device, route, rule, set, file and setting of muslin from this host. Its containers lose their network.',
    )
    .option('--plan', 'show what there is, and change nothing')
    .option('--yes', 'remove it, and look again')
    .option('--stop-agent', 'end an agent that no service manager runs')
    .option('--keep-store', "leave the node's endpoints, addresses and blocks in the store")
    .option('--keep-settings', 'leave kernel settings as they are; others may have come to need forwarding')
    .option('--config <file>', "the agent's configuration (default: /etc/muslin/muslin.yaml)")
    .option('--root <dir>', 'an image: remove what was installed below this directory, and nothing else', '/')
    .addOption(viewOption())
    .addHelpText('after', '\nExamples:\n  muslin node purge --plan\n  muslin node purge --yes')
    .action(async (flags: PurgeFlags, command: Command) => {
      const options: PurgeOptions = {
        root: resolve(flags.root),
        configuration: flags.config,
        keepStore: flags.keepStore === true,
        keepSettings: flags.keepSettings === true,
        stopAgent: flags.stopAgent === true,
      };
      if (flags.plan === true && flags.yes === true)
        throw new CommandError(EXIT_CODE.usage, 'either --plan, which changes nothing, or --yes');
      try {
        await (flags.yes === true ? carryOut(options, flags, command) : show(options, flags, command));
      } catch (error) {
        throw explained(error);
      }
    });
}

const COLUMNS = [
  { title: 'KIND', cell: ({ kind }: OwnedObject) => kind },
  { title: 'OBJECT', cell: ({ name }: OwnedObject) => name },
  { title: 'DETAIL', cell: ({ detail }: OwnedObject) => detail },
];

const NOTHING = 'nothing of muslin is here\n';

async function show(options: PurgeOptions, flags: PurgeFlags, command: Command): Promise<void> {
  const plan = await planPurge(options);
  const output = outputOf(command);
  tell(plan, command);
  if (flags.output === 'json') output.result(jsonOf(plan));
  else output.result(plan.objects.length === 0 ? NOTHING : `${renderTable(COLUMNS, plan.objects)}\n${summaryOf(plan)}`);
  if (flags.plan === true || plan.objects.length === 0) return;
  throw new CommandError(EXIT_CODE.usage, 'nothing was changed; to remove all of it: muslin node purge --yes');
}

async function carryOut(options: PurgeOptions, flags: PurgeFlags, command: Command): Promise<void> {
  const report = await purge(options);
  const { objects, left, refusals } = report;
  const output = outputOf(command);
  tell(report, command);
  if (flags.output === 'json') output.result(jsonOf(report));
  else if (objects.length === 0) output.result(NOTHING);
  else output.result(`${renderTable(COUNT_COLUMNS, countsOf(objects, left))}\n`);
  if (left.length > 0) {
    const lines = [...left.map(({ kind, name }) => `  ${kind} ${name}`), ...refusals].join('\n');
    throw new CommandError(EXIT_CODE.failure, `this is left of muslin; run it again, or look who holds it:\n${lines}`);
  }
  if (flags.output !== 'json' && objects.length > 0) output.result('nothing of muslin is left\n');
}

/** Notes are talk. */
function tell({ notes }: PurgePlan, command: Command): void {
  for (const note of notes) outputOf(command).talk(`${note}\n`);
}

function jsonOf(report: PurgePlan): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

function summaryOf({ objects, node }: PurgePlan): string {
  const containers = objects.filter(({ kind }) => kind === 'device').length;
  const lose = containers === 1 ? '1 container loses its network' : `${containers} containers lose their network`;
  return `${objects.length} objects of node ${node}; ${lose}\n`;
}

interface Count {
  readonly kind: string;
  readonly removed: number;
  readonly left: number;
}

const COUNT_COLUMNS = [
  { title: 'KIND', cell: ({ kind }: Count) => kind },
  { title: 'REMOVED', cell: ({ removed }: Count) => String(removed) },
  { title: 'LEFT', cell: ({ left }: Count) => String(left) },
];

function countsOf(objects: readonly OwnedObject[], left: readonly OwnedObject[]): Count[] {
  const kinds = [...new Set([...objects, ...left].map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const before = objects.filter((each) => each.kind === kind).length;
    const after = left.filter((each) => each.kind === kind).length;
    return { kind, removed: Math.max(0, before - after), left: after };
  });
}

function explained(error: unknown): unknown {
  if (error instanceof KernelError) {
    const hint = error.code === 'EPERM' || error.code === 'EACCES' ? '\na purge needs root' : '';
    return new CommandError(EXIT_CODE.failure, `${error.message}${hint}`);
  }
  return commandErrorOfInstall(commandErrorOf(error));
}
