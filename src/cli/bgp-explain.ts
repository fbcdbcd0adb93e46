/**
 * `muslin bgp explain`: why packets to a prefix go where they go, and who has been told.
 *
 * All candidates in the order of the decision, with the step at which each of them lost; then every peer with what it was
 * sent, or why it was not. JSON is the agent's ExplanationView as it stands.
 */
import { Command } from 'commander';
import type { CandidateView, ExplanationView } from '../bgp/observe/views.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { bgpExplanation } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { type BgpViewOptions, bgpViewOption, counted, showBgp } from './bgp-view.ts';

export function bgpExplainCommand(): Command {
  return new Command('explain')
    .description('Say why BGP chose the way to a prefix that it chose: every candidate, and where the others lost.')
    .argument('<prefix>', 'a prefix that BGP knows; for an address the longest prefix around it')
    .addOption(socketOption())
    .addOption(bgpViewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp explain 10.1.2.3')
    .action(async (prefix: string, options: BgpViewOptions & { readonly socket: string }) => {
      const explanation = await askAgent(options.socket, (socket) => bgpExplanation(socket, prefix));
      await showBgp(options, explanation, () => explanationText(explanation));
    });
}

const PEER_COLUMNS: readonly Column<ExplanationView['advertised'][number]>[] = [
  { title: 'PEER', cell: ({ peer }) => peer },
  { title: 'ADVERTISED', cell: ({ verdict }) => verdict },
];

/** The view as text. */
export function explanationText({ prefix, candidates, decidedBy, gateways, advertised }: ExplanationView): string {
  return [
    `${prefix}: ${counted(candidates.length, 'candidate')}; decided by: ${decidedBy}\n${wayText(candidates, gateways)}\n`,
    ...candidates.map(candidateText),
    advertised.length === 0 ? 'there is no Established peer to tell\n' : renderTable(PEER_COLUMNS, advertised),
  ].join('\n');
}

function wayText(candidates: readonly CandidateView[], gateways: readonly string[]): string {
  if (gateways.length > 0) return `packets go to ${gateways.join(', ')}`;
  return `${candidates[0]?.from === 'local' ? 'it is our own' : 'no candidate can be used'}: BGP gives the kernel no way to it`;
}

function candidateText(candidate: CandidateView, index: number): string {
  const { from, pathId, nextHop, stale, verdict } = candidate;
  const source = from === 'local' ? 'our own' : `from ${from}${pathId === undefined ? '' : `, path ${pathId}`}`;
  const way = nextHop === '' ? '' : `, next hop ${nextHop}`;
  return `${index + 1}. ${source}${way}${stale ? ' (stale)' : ''}: ${verdict}\n   ${attributesText(candidate)}\n`;
}

function attributesText(candidate: CandidateView): string {
  const { localPreference, asPath, origin, med, communities, originatorId, clusterList } = candidate;
  return [
    localPreference === undefined ? undefined : `local preference ${localPreference}`,
    asPath === '' ? 'empty AS path' : `AS path ${asPath}`,
    `origin ${origin}`,
    med === undefined ? undefined : `MED ${med}`,
    communities.length === 0 ? undefined : `communities ${communities.join(' ')}`,
    originatorId === undefined ? undefined : `originator ${originatorId}`,
    clusterList.length === 0 ? undefined : `clusters ${clusterList.join(' ')}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}
