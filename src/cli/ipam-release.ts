/**
 * `muslin ipam release`: releases addresses by name, or the leaks of a report that `muslin ipam check -o json` has written.
 *
 * What an endpoint uses is kept, unless `--force` says otherwise (exit code 4). Of a report an address is released only while
 * the same handle has it since the same time, so an old report does no harm. What nobody has is said, and is exit code 3.
 */
import { readFileSync, statSync } from 'node:fs';
import { Command } from 'commander';
import { isJsonObject } from '../lib/json.ts';
import { formatIp } from '../net/ip.ts';
import type { ReleaseOutcome, ReleaseWish } from '../node/addresses/address-release.ts';
import { releaseAddress } from '../node/addresses/address-release.ts';
import type { ExitCode } from './exit-code.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { addressArgument } from './ipam-explain.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import { dryRunMark, dryRunOption } from './write.ts';

interface ReleaseOptions {
  readonly ip?: readonly string[];
  readonly fromReport?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** A report of a network full of leaks has some megabytes. */
const REPORT_BYTES_MAX = 64 * 1024 * 1024;

export function ipamReleaseCommand(): Command {
  return new Command('release')
    .description('Release addresses that nobody uses any more.')
    .option('--ip <address...>', 'these addresses, whoever has them')
    .option('--from-report <file>', 'the leaks in what muslin ipam check -o json has printed')
    .option('--force', 'also addresses that an endpoint has, whose container goes on using them')
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin ipam release --ip 10.0.0.7\n  muslin ipam release --from-report report.json --dry-run',
    )
    .action(async (options: ReleaseOptions, command: Command) => {
      const wishes = wishesOf(options);
      const output = outputOf(command);
      const failures: { readonly exitCode: ExitCode; readonly message: string }[] = [];
      await withStore(command, async (store) => {
        for (const wish of wishes) {
          const how = { force: options.force === true, dryRun: options.dryRun === true };
          const outcome = await releaseAddress(store, wish, how);
          const text = formatIp(wish.address);
          if (outcome.kind === 'released')
            output.result(`${text} released from ${outcome.handle}${dryRunMark(options)}\n`);
          else failures.push(failureOf(text, outcome));
        }
      });
      const [first] = failures;
      if (first !== undefined)
        throw new CommandError(first.exitCode, failures.map(({ message }) => message).join('\n'));
    });
}

function wishesOf({ ip, fromReport }: ReleaseOptions): ReleaseWish[] {
  if ((ip === undefined) === (fromReport === undefined))
    throw new CommandError(EXIT_CODE.usage, 'which addresses? write --ip ADDRESS, or --from-report FILE');
  if (fromReport !== undefined) return leaksIn(fromReport);
  return (ip ?? []).map((text) => ({ address: addressArgument(text), holder: undefined }));
}

function failureOf(text: string, outcome: Exclude<ReleaseOutcome, { readonly kind: 'released' }>) {
  switch (outcome.kind) {
    case 'free':
      return { exitCode: EXIT_CODE.notFound, message: `${text} is assigned to nobody` };
    case 'in-use': {
      const hint = 'remove that container; --force releases the address under it';
      return { exitCode: EXIT_CODE.conflict, message: `${text} is kept: endpoint ${outcome.endpoint} has it; ${hint}` };
    }
    case 'other-holder':
      return { exitCode: EXIT_CODE.conflict, message: `${text} is kept: handle ${outcome.handle} has got it since` };
    case 'busy':
      return {
        exitCode: EXIT_CODE.conflict,
        message: `${text} is kept: others change its block all the time; try again`,
      };
  }
}

/** The leaks of a report. */
function leaksIn(path: string): ReleaseWish[] {
  const report = readReport(path);
  const findings = isJsonObject(report) ? report['findings'] : undefined;
  if (!Array.isArray(findings)) throw wrongReport(path, 'it has no list "findings"');
  return findings.flatMap((finding: unknown, index) => {
    const leak = isJsonObject(finding) ? finding['leak'] : undefined;
    if (leak === null) return [];
    const { handle, addresses, since } = isJsonObject(leak) ? leak : {};
    const isWhole =
      typeof handle === 'string' && Array.isArray(addresses) && (since === null || typeof since === 'string');
    if (!isWhole) throw wrongReport(path, `findings[${index}] has no leak with handle, addresses and since`);
    return addresses.map((text) => ({ address: addressArgument(String(text)), holder: { handle, since } }));
  });
}

function readReport(path: string): unknown {
  try {
    const { size } = statSync(path);
    if (size > REPORT_BYTES_MAX) throw wrongReport(path, `it has ${size} bytes; at most ${REPORT_BYTES_MAX} are read`);
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing) throw new CommandError(EXIT_CODE.notFound, `there is no file ${path}`);
    throw wrongReport(path, error instanceof Error ? error.message : String(error));
  }
}

function wrongReport(path: string, problem: string): CommandError {
  return new CommandError(EXIT_CODE.usage, `${path} is no report: ${problem}; make one with muslin ipam check -o json`);
}
