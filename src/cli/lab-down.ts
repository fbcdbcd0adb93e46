/**
 * `muslin lab down`: removes a lab in whatever state it is.
 *
 * Works from what is found on the machine, so it serves after a crash as well (lab/teardown.ts). Nothing there is an error
 * (exit code 3), because a misspelt name would otherwise look like success.
 */
import { Command } from 'commander';
import { theOnlyLab } from '../lab/find-lab.ts';
import { LabError } from '../lab/lab-error.ts';
import { NAME_PATTERN } from '../lab/names.ts';
import { presentLabs } from '../lab/present-labs.ts';
import { tearDown } from '../lab/teardown.ts';
import { requireRoot } from '../lab/up.ts';
import { counted, suggestion } from '../lab/wording.ts';
import { labAction } from './lab-action.ts';

export function labDownCommand(): Command {
  return new Command('down')
    .description('Remove a lab: its agents, namespaces and files. Works for one that is half-built or stale, too.')
    .argument('[name]', 'the lab; needed only when several are up')
    .option('--all', 'every lab there is')
    .addHelpText('after', '\nExample:\n  muslin lab down two-hosts')
    .action((name: string | undefined, { all }: { readonly all?: boolean }) =>
      labAction(() => down(name, all === true)),
    );
}

async function down(name: string | undefined, all: boolean): Promise<void> {
  if (all && name !== undefined) throw new LabError('invalid', `either "${name}" or --all`);
  requireRoot();
  for (const lab of all ? presentLabs() : [checked(name ?? theOnlyLab())]) {
    const { any, processes, namespaces } = await tearDown(lab);
    if (!any) throw new LabError('notFound', `there is no lab "${lab}"${suggestion(lab, presentLabs())}`);
    process.stdout.write(
      `${lab} is down: ${counted(processes, 'process')} stopped, ${counted(namespaces, 'namespace')} removed\n`,
    );
  }
}

/** The name becomes part of paths that are removed. */
function checked(name: string): string {
  if (NAME_PATTERN.test(name)) return name;
  throw new LabError('invalid', `"${name}" is not a lab's name; muslin lab list shows those there are`);
}
