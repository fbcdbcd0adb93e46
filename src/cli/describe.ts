/**
 * `muslin describe`: one resource at a time for people to read, with what belongs to it.
 *
 * Metadata as lines, what a kind has to say beyond its fields, and the spec as YAML. For programs there is `get -o json`.
 */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { wallClockNow } from '../lib/clock.ts';
import { isJsonObject } from '../lib/json.ts';
import type { AnyResource } from '../model/kinds.ts';
import { RULE_LINES_ANNOTATION, SOURCE_ANNOTATION } from '../model/metadata.ts';
import type { Node } from '../model/node.ts';
import { entryOfKind } from '../model/resource-entry.ts';
import { kindPrefix } from '../model/resource-key.ts';
import type { Store } from '../store/store.ts';
import { PRESENCE_PREFIX } from '../store/store.ts';
import { chosenSocket } from './agent-question.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf, yamlText } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { TargetOptions } from './target.ts';
import {
  allNamespacesOption,
  namespaceOption,
  notFound,
  readKind,
  resourceIn,
  selectorOption,
  targetOf,
} from './target.ts';
import { durationText } from './view.ts';

type Lines = readonly (readonly [name: string, value: string])[];

export function describeCommand(): Command {
  return new Command('describe')
    .description('show resources in full, for people')
    .argument('<kind>', 'a kind, such as node; or KIND/NAME')
    .argument('[names...]', 'some resources; without them all of the kind')
    .addOption(namespaceOption())
    .addOption(allNamespacesOption())
    .addOption(selectorOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin describe node host-a')
    .action(async (word: string, names: string[], options: TargetOptions, command: Command) => {
      const target = targetOf([word, ...names], options);
      const output = outputOf(command);
      await withStore(command, async (store) => {
        const resources: AnyResource[] = [];
        const missing: string[] = [];
        for (const named of target.by === 'name' ? target.items : []) {
          const entry = await store.get(named.key);
          if (entry === undefined) missing.push(notFound(named).message);
          else resources.push(resourceIn(entry));
        }
        for (const kind of target.by === 'kind' ? target.kinds : []) {
          if (target.by === 'kind') resources.push(...(await readKind(store, kind, target, output)));
        }
        for (const [index, resource] of resources.entries()) {
          output.result(`${index === 0 ? '' : '\n---\n\n'}${await describe(store, resource)}`);
        }
        if (missing.length > 0) throw new CommandError(EXIT_CODE.notFound, missing.join('\n'));
        if (resources.length === 0) output.talk('there is nothing to describe\n');
      });
    });
}

async function describe(store: Store, resource: AnyResource): Promise<string> {
  const lines = [...metadataLines(resource), ...(await kindLines(store, resource))];
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  const head = lines.map(([name, value]) => `${(name === '' ? '' : `${name}:`).padEnd(width)}${value}\n`).join('');
  const spec = yamlText(resource.spec).replaceAll(/^(?=.)/gm, '  ');
  return `${head}\nSpec:\n${spec}`;
}

function metadataLines({ kind, metadata }: AnyResource): Lines {
  const { [SOURCE_ANNOTATION]: source, [RULE_LINES_ANNOTATION]: _, ...annotations } = metadata.annotations ?? {};
  const created = metadata.creationTimestamp;
  return [
    ['Kind', kind],
    ['Name', metadata.name],
    ...one('Namespace', metadata.namespace),
    ...many('Labels', Object.entries(metadata.labels ?? {}).map(pairText)),
    ...many('Annotations', Object.entries(annotations).map(pairText)),
    ...one('Source', source),
    ...one('Created', created === undefined ? undefined : `${created} (${ageText(created)} ago)`),
    ...one('Revision', metadata.resourceVersion),
    ...one('UID', metadata.uid),
  ];
}

function pairText([name, value]: readonly [string, string]): string {
  return `${name}=${value}`;
}

function ageText(timestamp: string): string {
  return durationText(Math.max(0, wallClockNow() - Date.parse(timestamp)));
}

/** A line, or none for what is not there. */
function one(name: string, value: string | undefined): Lines {
  return value === undefined ? [] : [[name, value]];
}

/** A line a value, the name before the first. */
function many(name: string, values: readonly string[]): Lines {
  return values.length === 0 ? [[name, '(none)']] : values.map((value, index) => [index === 0 ? name : '', value]);
}

async function kindLines(store: Store, resource: AnyResource): Promise<Lines> {
  switch (resource.kind) {
    case 'WorkloadEndpoint': {
      const { node, interfaceName, ipNetworks, ipNATs = [] } = resource.spec;
      return [
        ['Node', node],
        ['Device', interfaceName],
        ...many('Addresses', ipNetworks),
        ...(ipNATs.length === 0
          ? []
          : many(
              'Floating',
              ipNATs.map((nat) => `${nat.externalIP} → ${nat.internalIP}`),
            )),
      ];
    }
    case 'Node':
      return nodeLines(store, resource);
    default:
      return [];
  }
}

/** What the store knows of a node's things; and how its sessions are, where it is this host and its agent runs. */
async function nodeLines(store: Store, { metadata, spec }: Node): Promise<Lines> {
  const endpoints: string[] = [];
  for (const entry of (await store.list(kindPrefix('WorkloadEndpoint'))).entries) {
    const endpoint = entryOfKind('WorkloadEndpoint', entry);
    if (endpoint?.spec.node !== metadata.name) continue;
    endpoints.push(`${endpoint.metadata.namespace}/${endpoint.metadata.name} ${endpoint.spec.ipNetworks.join(' ')}`);
  }
  const blocks: string[] = [];
  for (const entry of (await store.list(kindPrefix('BlockAffinity'))).entries) {
    const affinity = entryOfKind('BlockAffinity', entry);
    if (affinity?.spec.node === metadata.name) blocks.push(`${affinity.spec.cidr} (${affinity.spec.state})`);
  }
  const { ipv4Address, ipv6Address, asNumber } = spec.bgp ?? {};
  return [
    ...one('Agent', await agentText(store, metadata.name)),
    ...many(
      'Addresses',
      [ipv4Address, ipv6Address].filter((address) => address !== undefined),
    ),
    ['AS number', asNumber === undefined ? 'of the default BGPConfiguration' : String(asNumber)],
    ...many('Blocks', blocks),
    ...many('Endpoints', endpoints),
    ...(await sessionLines(metadata.name)),
  ];
}

/** Only the node's own agent knows its sessions; on any other host there is nobody to ask. */
async function sessionLines(node: string): Promise<Lines> {
  const socket = chosenSocket();
  if (!existsSync(socket)) return [];
  const { AgentUnreachable, agentStatus } = await import('../node/control-client.ts');
  try {
    const status = await agentStatus(socket);
    if (status.node !== node) return [];
    const sessions = status.bgp.peers.map(({ address, description, state, forMs }) => {
      return `${address} ${state} for ${durationText(forMs)}${description === '' ? '' : ` (${description})`}`;
    });
    return many('BGP', status.bgp.problem === '' ? sessions : [`not running: ${status.bgp.problem}`]);
  } catch (error) {
    if (error instanceof AgentUnreachable) return [];
    throw error;
  }
}

/** Whether the node's agent lives, where the store can tell (see keepPresent); undefined where it cannot. */
async function agentText(store: Store, node: string): Promise<string | undefined> {
  if (store.keepPresent === undefined) return undefined;
  const present = await store.get(`${PRESENCE_PREFIX}${node}`);
  if (present === undefined) return 'not there';
  const { startedAt, version } = isJsonObject(present.value) ? present.value : {};
  return `runs since ${String(startedAt)} (muslin ${String(version)})`;
}
