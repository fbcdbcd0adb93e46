/**
 * `muslin completion`: prints the script that makes a shell complete commands, options and live names.
 */
import { Argument, Command } from 'commander';
import type { CommandTable } from './command-row.ts';
import type { Shell } from './completion-scripts.ts';
import { completionScript, INSTALLATION, SHELLS } from './completion-scripts.ts';
import { outputOf } from './output.ts';

export function completionCommand(table: CommandTable): Command {
  return new Command('completion')
    .description('Print a script that makes a shell complete commands, options, and names of what is there now.')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText('after', INSTALLATION)
    .action((shell: Shell, _options: unknown, command: Command) => {
      outputOf(command).result(completionScript(shell, table));
    });
}
