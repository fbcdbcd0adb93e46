/**
 * `muslin lab exec`: a command inside one machine's network.
 *
 * Stdin, stdout, stderr and the exit code are the command's own, so it serves in scripts and pipes. What is to be run comes
 * after `--`, or its options would be taken for ours.
 */
import { Command } from 'commander';
import { enter } from '../lab/enter.ts';
import { findEntity, findLab } from '../lab/find-lab.ts';
import { type LabOption, labAction, labOption } from './lab-action.ts';

export function labExecCommand(): Command {
  return new Command('exec')
    .description(
      "Run a command inside the network of a host, router, segment or workload. Ends with the command's code.",
    )
    .argument('<entity>', 'a name of the topology, such as host-a or a1')
    .argument('<command...>', 'what to run, after --')
    .addOption(labOption())
    .usage('[options] <entity> -- <command...>')
    .showHelpAfterError('(what belongs to the command comes after --: muslin lab exec a1 -- ping -c 3 172.17.9.2)')
    .addHelpText(
      'after',
      '\nExample:\n  muslin lab exec a1 -- ping -c 3 172.17.9.2\n  muslin lab exec host-a -- muslin bgp peers',
    )
    .action((name: string, command: [string, ...string[]], { lab: labName }: LabOption) =>
      labAction(async () => {
        const lab = findLab(labName);
        process.exitCode = await enter(lab.state.name, findEntity(lab, name), command, (reason) =>
          process.stderr.write(`muslin: ${reason}\n`),
        );
      }),
    );
}
