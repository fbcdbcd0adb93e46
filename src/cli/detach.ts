/**
 * `muslin detach`: takes away what `muslin attach` made: addresses, endpoint, device, and with them rules and routes.
 *
 * It works when the namespace or the process is gone, and when nothing is attached, which it says; so a script may detach first
 * and then attach. It returns when the agent has forgotten the attachment, so that the same name can be used again at once.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Command } from 'commander';
import { deviceOf } from '../node/attach/attachment-names.ts';
import type { EndpointSummary } from '../node/control-api.ts';
import { endpointSummaries } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import {
  askAgentByCni,
  attachmentOutput,
  attachmentOutputOption,
  interfaceOption,
  nameOption,
  networkOption,
} from './attach.ts';
import type { AttachmentOptions } from './attach-request.ts';
import { delCall } from './attach-request.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf } from './output.ts';
import { bareAddress } from './rule-owner.ts';

interface DetachOptions extends AttachmentOptions {
  readonly output: 'table' | 'json' | 'yaml';
  readonly socket: string;
}

/** What is printed as JSON; it only ever grows. */
interface DetachmentView {
  readonly name: string;
  readonly interface: string;
  readonly device: string;
  /** Whether the agent knew of it. */
  readonly detached: boolean;
  readonly addresses: readonly string[];
}

/** The agent hears of what it has removed itself within milliseconds; after this long it will not. */
const FORGET_ATTEMPTS_MAX = 200;
const FORGET_PAUSE_MS = 25;

export function detachCommand(): Command {
  return new Command('detach')
    .description('Detach what `muslin attach` has attached.')
    .addOption(nameOption())
    .addOption(interfaceOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .addOption(attachmentOutputOption())
    .addHelpText('after', '\nExample:\n  muslin detach --name web')
    .action(async (options: DetachOptions, command: Command) => {
      const { name, socket } = options;
      const call = delCall(options);
      const device = deviceOf({ containerId: name, interfaceName: options.interface });
      const found = await knownEndpoint(socket, device);
      await askAgentByCni(socket, options, call);
      if (found !== undefined && !(await isForgotten(socket, device))) throw stillAttached(options, found);
      const view: DetachmentView = {
        ...{ name, interface: options.interface, device, detached: found !== undefined },
        addresses: found?.addresses.map(bareAddress) ?? [],
      };
      outputOf(command).result(attachmentOutput(options.output, view, detachmentText(view)));
    });
}

async function knownEndpoint(socket: string, device: string): Promise<EndpointSummary | undefined> {
  return (await askAgent(socket, endpointSummaries)).find((endpoint) => endpoint.device === device);
}

async function isForgotten(socket: string, device: string): Promise<boolean> {
  for (let attempts = 0; attempts < FORGET_ATTEMPTS_MAX; attempts++) {
    if ((await knownEndpoint(socket, device)) === undefined) return true;
    await pause(FORGET_PAUSE_MS);
  }
  return false;
}

/** The agent leaves alone what another network has, as CNI wants it. */
function stillAttached({ name, interface: interfaceName, network }: AttachmentOptions, found: EndpointSummary): Error {
  return new CommandError(
    EXIT_CODE.conflict,
    `${name}: ${interfaceName} is still attached; if its network is not ${network}, write --network. ` +
      `It is in the annotation cni.muslin.io/network of WorkloadEndpoint ${found.name}`,
  );
}

function detachmentText({ name, interface: interfaceName, detached, addresses }: DetachmentView): string {
  return detached
    ? `${name}: ${interfaceName} is detached; ${addresses.join(', ')} free again\n`
    : `${name}: ${interfaceName} was not attached to this host; nothing is left of it\n`;
}
