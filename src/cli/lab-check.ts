/**
 * `muslin lab check`: each assertion of the topology with its verdict.
 *
 * Asks once and waits for nothing, so it shows the network as it is now. The exit code is 10 when an assertion does not
 * hold, for scripts; JSON has each assertion's fields, its text, verdict and what was found instead.
 */
import { styleText } from 'node:util';
import { Command } from 'commander';
import { assertionsOf, assertionText, judge, type Verdict } from '../lab/check.ts';
import { findLab } from '../lab/find-lab.ts';
import { EXIT_CODE } from './exit-code.ts';
import { labAction } from './lab-action.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

export function labCheckCommand(): Command {
  return new Command('check')
    .description('Test what the topology says must hold: who reaches whom, which routes are there.')
    .argument('[name]', 'the lab; needed only when several are up')
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin lab check two-hosts')
    .action((name: string | undefined, options: ViewOptions) => labAction(() => check(name, options)));
}

async function check(name: string | undefined, options: ViewOptions): Promise<void> {
  const lab = findLab(name);
  const verdicts = await judge(lab.state.name, assertionsOf(lab.topology, lab.state.workloads));
  const failed = verdicts.filter(({ pass }) => !pass).length;
  const json = verdicts.map(({ assertion, pass, found }) => ({
    ...assertion,
    text: assertionText(assertion),
    verdict: pass ? 'pass' : 'fail',
    found,
  }));
  const summary = `${verdicts.length - failed} of ${verdicts.length} hold\n`;
  show(options, json, () => verdicts.map(line).join('') + summary);
  if (failed > 0) process.exitCode = EXIT_CODE.different;
}

function line({ assertion, pass, found }: Verdict): string {
  // styleText colours only for a terminal that wants colours (NO_COLOR, FORCE_COLOR).
  const mark = pass ? styleText('green', 'pass') : styleText('red', 'FAIL');
  return `${mark}  ${assertionText(assertion)}\n${pass ? '' : `      found: ${found}\n`}`;
}
