/**
 * `muslin ipam explain`: everything about one address: who has it, since when, from which block, and what happens on release.
 *
 * Ends with 3 when no pool and no block has the address.
 */
import { Command } from 'commander';
import { LEAK_GRACE_MS } from '../ipam/check.ts';
import type { AddressExplanation } from '../ipam/usage.ts';
import { explainAddress } from '../ipam/usage.ts';
import { wallClockNow } from '../lib/clock.ts';
import type { Ip } from '../net/ip.ts';
import { parseIp } from '../net/ip.ts';
import { readSurvey } from '../node/addresses/address-survey.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { findingText, labelled } from './ipam-text.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import { durationText, type ViewOptions, viewOption } from './view.ts';

export function ipamExplainCommand(): Command {
  return new Command('explain')
    .description('Say who has an address, since when, and what would happen if it were released.')
    .argument('<address>', 'an address, such as 10.0.0.7')
    .addOption(storeOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin ipam explain 10.0.0.7')
    .action((text: string, options: ViewOptions, command: Command) => explain(command, addressArgument(text), options));
}

/** An address that a user has typed; throws when it is none. */
export function addressArgument(text: string): Ip {
  const address = parseIp(text);
  if (address === undefined)
    throw new CommandError(
      EXIT_CODE.usage,
      `"${text}" is not an address; write one such as 10.0.0.7, without a length`,
    );
  return address;
}

/** Prints all that is known of an address. */
export async function explain(command: Command, address: Ip, { output }: ViewOptions): Promise<void> {
  const now = wallClockNow();
  const survey = await withStore(command, readSurvey);
  const explanation = explainAddress(survey, address, { now, graceMs: LEAK_GRACE_MS });
  const json = output === 'json';
  outputOf(command).result(json ? `${JSON.stringify(explanation, undefined, 2)}\n` : explanationText(explanation, now));
  if (explanation.state === 'outside of all pools') process.exitCode = EXIT_CODE.notFound;
}

function explanationText(explanation: AddressExplanation, now: number): string {
  const { address, state, pool, block, owner, handle, since, attributes, endpoints, next, problems } = explanation;
  const ago = since === null ? '' : ` (${durationText(Math.max(0, now - Date.parse(since)))} ago)`;
  const others = Object.entries(attributes).filter(([name]) => name !== 'timestamp');
  const lines: readonly (readonly [string, string | null])[] = [
    ['pool', pool],
    ['block', block === null ? null : `${block} of ${owner === null ? 'no node' : `node ${owner}`}`],
    ['handle', handle],
    ['holder', others.length === 0 ? null : others.map(([name, value]) => `${name}=${value}`).join(' ')],
    ['since', handle === null ? null : since === null ? 'not known' : `${since}${ago}`],
    ['used by', endpoints.length > 0 ? endpoints.join(', ') : handle === null ? null : 'no endpoint'],
    ['next', next],
  ];
  const text = lines.map(([label, value]) => (value === null ? '' : labelled(label, value))).join('');
  return `${address} is ${state}\n${text}${problems.map((problem) => `\n${findingText(problem)}`).join('')}`;
}
