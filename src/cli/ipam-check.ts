/**
 * `muslin ipam check`: whether blocks, claims, handles, endpoints and pools say the same, and who leaks addresses.
 *
 * Everything is read at one revision of the store, so no lock is needed and nothing stops meanwhile. `--repair` does what
 * can harm nobody, each step only if nothing has changed since it was read. Ends with 0 when all is well (or well again),
 * with 10 when something is left. The JSON is what `muslin ipam release --from-report` takes.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { check, LEAK_GRACE_MS } from '../ipam/check.ts';
import type { Finding } from '../ipam/finding.ts';
import { wallClockNow } from '../lib/clock.ts';
import { readSurvey, repair } from '../node/addresses/address-survey.ts';
import { counted } from './bgp-view.ts';
import { EXIT_CODE } from './exit-code.ts';
import { findingText } from './ipam-text.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import { type ViewOptions, viewOption } from './view.ts';

interface CheckOptions extends ViewOptions {
  readonly repair?: boolean;
  readonly grace: number;
}

/** What `-o json` prints. */
interface CheckReport {
  /** RFC 3339. */
  readonly checkedAt: string;
  readonly repaired: readonly Finding[];
  readonly findings: readonly Finding[];
}

const MINUTE_MS = 60_000;

export function ipamCheckCommand(): Command {
  return new Command('check')
    .description('Find what does not fit together in the assignment of addresses, without a lock; and repair it.')
    .option('--repair', 'do what is safe, step by step, and say what was done')
    .addOption(
      new Option('--grace <minutes>', 'how old a leak must be to be released')
        .argParser(minutesOf)
        .default(LEAK_GRACE_MS / MINUTE_MS),
    )
    .addOption(storeOption())
    .addOption(viewOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin ipam check\n  muslin ipam check --repair\n  muslin ipam check -o json > report.json',
    )
    .action(async (options: CheckOptions, command: Command) => {
      const now = wallClockNow();
      const time = { now, graceMs: options.grace * MINUTE_MS };
      const { done, left } = await withStore(command, async (store) => {
        if (options.repair === true) return repair(store, time);
        return { done: [], left: check(await readSurvey(store), time).map(({ finding }) => finding) };
      });
      const report: CheckReport = { checkedAt: new Date(now).toISOString(), repaired: done, findings: left };
      const text = options.output === 'json' ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report);
      outputOf(command).result(text);
      if (left.length > 0) process.exitCode = EXIT_CODE.different;
    });
}

function reportText({ repaired, findings }: CheckReport): string {
  const done = repaired.map(({ code, subject, remedy }) => `repaired: ${code} ${subject}: ${remedy}\n`).join('');
  if (findings.length === 0) return `${done}no problems${repaired.length > 0 ? ' are left' : ''}\n`;
  const count = findings.filter(({ isRepairable }) => isRepairable).length;
  const hint = count === 0 ? '' : `; ${count} of them can be repaired: muslin ipam check --repair`;
  return `${done}${findings.map(findingText).join('')}${counted(findings.length, 'problem')}${hint}\n`;
}

function minutesOf(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Write whole minutes, such as 15.');
}
