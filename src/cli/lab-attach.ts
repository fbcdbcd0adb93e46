/**
 * `muslin lab attach`: a new workload in a lab that is up.
 *
 * Goes through the CNI plugin, as a container runtime would. It returns when the plugin does, so the workload can be used; a
 * failure leaves nothing behind.
 */

import { Command } from 'commander';
import { attach } from '../lab/change-lab.ts';
import { findLab } from '../lab/find-lab.ts';
import type { Labels } from '../model/selector.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { type LabOption, labAction, labOption } from './lab-action.ts';

interface AttachFlags extends LabOption {
  readonly host: string;
  readonly address: readonly Ip[];
  readonly label: Labels;
}

export function labAttachCommand(): Command {
  return new Command('attach')
    .description('Add a workload to a lab that is up: a namespace, attached by the CNI plugin.')
    .argument('<name>', 'what to call it, such as a3')
    .requiredOption('--host <host>', 'the host that it runs on')
    .option('--address <address>', 'the address that it gets, one a family; without, any free one', collectAddress, [])
    .option('--label <key=value>', 'a label that policies choose it by; as often as needed', collectLabel, {})
    .addOption(labOption())
    .addHelpText('after', '\nExample:\n  muslin lab attach a3 --host host-a --address 172.17.8.9 --label role=web')
    .action((name: string, { host, address, label, lab }: AttachFlags) =>
      labAction(async () => {
        const workload = await attach(findLab(lab), name, host, address, label);
        process.stdout.write(`${name} is attached to ${host}: ${workload.addresses.join(', ')}\n`);
      }),
    );
}

function collectAddress(text: string, before: readonly Ip[]): readonly Ip[] {
  const address = parseIp(text);
  if (address !== undefined) return [...before, address];
  throw new CommandError(EXIT_CODE.usage, `"${text}" is not an address; write one such as 172.17.8.9`);
}

function collectLabel(text: string, before: Labels): Labels {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key !== undefined && value !== undefined) return { ...before, [key]: value };
  throw new CommandError(EXIT_CODE.usage, `"${text}" is no label; write one such as role=web`);
}
