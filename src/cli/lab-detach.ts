/**
 * `muslin lab detach`: a workload leaves a lab that is up.
 *
 * Goes through the CNI plugin's DEL, so the host's agent must answer; without it the workload stays, rather than that
 * its address leaks. `muslin lab down` removes everything even then.
 */
import { Command } from 'commander';
import { detach } from '../lab/change-lab.ts';
import { findLab } from '../lab/find-lab.ts';
import { type LabOption, labAction, labOption } from './lab-action.ts';

export function labDetachCommand(): Command {
  return new Command('detach')
    .description('Remove a workload from a lab that is up; its addresses are free again.')
    .argument('<name>', 'the workload')
    .addOption(labOption())
    .addHelpText('after', '\nExample:\n  muslin lab detach a3')
    .action((name: string, { lab }: LabOption) =>
      labAction(async () => {
        await detach(findLab(lab), name);
        process.stdout.write(`${name} is detached\n`);
      }),
    );
}
