/**
 * Ports of the host that stay open whatever policy says, so that nobody locks himself out.
 *
 * A host endpoint's chains jump here before they look at any policy: cali-failsafe-in for what comes to the host,
 * cali-failsafe-out for what it sends, in each table in which such chains are. In raw there are no connections yet, so that
 * the answers have rules, too; without these they could fall to an untracked policy, and half of the connection with them.
 *
 * Over IPv6 an open port is worth nothing to who cannot find the host's MAC, or has lost his route to it: so
 * neighbour and router discovery and the multicast listeners' messages by which switches learn whom to tell of it
 * (RFC 4861, 2710, 3810) pass here, too, which Calico leaves to the policy's author.
 */
import { familyOf } from '../../../net/cidr.ts';
import type { FailsafePort, FilterSettings } from '../../desired/filter-settings.ts';
import type { Chain, End, Match, Rule, TableName } from './program.ts';
import { innerChain, onePort, rule } from './rules.ts';

export type FailsafeTable = Exclude<TableName, 'nat'>;

/** Multicast listener query, report, done; router and neighbour solicitation and advertisement; the second version's report. */
const LINK_MESSAGES = [130, 131, 132, 133, 134, 135, 136, 143];

export function failsafeChains(settings: FilterSettings, table: FailsafeTable): Chain[] {
  const { failsafeInbound: inbound, failsafeOutbound: outbound } = settings;
  const answers = (ports: readonly FailsafePort[], net: End): Rule[] =>
    table === 'raw' ? ports.map((port) => open(port, 'source', net)) : [];
  return [
    innerChain(table, 'cali-failsafe-in', [
      ...linkRules(),
      ...inbound.map((port) => open(port, 'destination', 'source')),
      ...answers(outbound, 'source'),
    ]),
    innerChain(table, 'cali-failsafe-out', [
      ...linkRules(),
      ...outbound.map((port) => open(port, 'destination', 'destination')),
      ...answers(inbound, 'destination'),
    ]),
  ];
}

/** `portEnd`: where the port is; `net`: where the other side's address is. */
function open({ protocol, port, net }: FailsafePort, portEnd: End, netEnd: End): Rule {
  const matches: Match[] = [{ kind: 'ports', end: portEnd, protocol, ports: [onePort(port)], is: true }];
  if (net !== undefined) {
    matches.unshift({ kind: 'nets', end: netEnd, family: familyOf(net), prefixes: [net], is: true });
  }
  return rule(matches, { kind: 'accept' }, portEnd === 'source' ? 'Failsafe port answers' : 'Failsafe port');
}

function linkRules(): Rule[] {
  return LINK_MESSAGES.map((type) =>
    rule(
      [{ kind: 'icmp', family: 6, match: { type, code: undefined }, is: true }],
      { kind: 'accept' },
      'Discovery on the link',
    ),
  );
}
