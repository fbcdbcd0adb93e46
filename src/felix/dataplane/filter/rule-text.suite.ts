/**
 * Rules in short lines, for tests to say what they expect: "tcp dport 80 | src @s:a/4/addresses => set accept".
 *
 * Marks have their names, of the settings' defaults. "!" before a match turns it around. A comment, a provenance and an
 * origin are not printed, but for "*" before a rule that is counted for a resource.
 */
import { unreachable } from '../../../lib/assert.ts';
import { formatCidr } from '../../../net/cidr.ts';
import { formatIp } from '../../../net/ip.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../desired/filter-settings.ts';
import type { IcmpMatch, PortRange } from '../../desired/policy.ts';
import type { Action, Chain, Match, Rule } from './program.ts';

export function chainText({ rules }: Chain): string[] {
  return rules.map(ruleText);
}

export function ruleText({ matches, action, origin }: Rule): string {
  const conditions = matches.map(matchText).join(' | ');
  return `${origin === undefined ? '' : '* '}${conditions}${conditions === '' ? '' : ' '}=> ${actionText(action)}`;
}

function matchText(match: Match): string {
  const not = 'is' in match && !match.is ? '!' : '';
  return `${not}${positiveText(match)}`;
}

function positiveText(match: Match): string {
  const end = 'end' in match && match.end === 'source' ? 'src' : 'dst';
  switch (match.kind) {
    case 'device':
      return `${match.direction} ${match.name}${match.prefix ? '+' : ''}`;
    case 'family':
      return `ip${match.family}`;
    case 'protocol':
      return `protocol ${match.protocol}`;
    case 'nets':
      return `${end} ${match.prefixes.map(formatCidr).join(',')}`;
    case 'set':
      return `${end} @${match.set}/${match.family}/${match.part}`;
    case 'portSet':
      return `${end} port @${match.set}/${match.family}`;
    case 'ports':
      return `${match.protocol} ${match.end === 'source' ? 'sport' : 'dport'} ${match.ports.map(rangeText).join(',')}`;
    case 'icmp':
      return `icmp${match.family} ${icmpText(match.match)}`;
    case 'conntrack':
      return `ct ${match.states.join(',')}`;
    case 'mark':
      return `mark ${markText(match.bits)}`;
    case 'local':
      return `${end} local${match.onOutDevice ? ' on out device' : ''}`;
    case 'dnat':
    case 'forged':
      return match.kind;
    case 'turn':
      return `one in ${match.oneIn}`;
    case 'limit':
      return `limit ${match.count}/${match.per} burst ${match.burst}`;
    default:
      return unreachable(match);
  }
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'jump':
    case 'goto':
      return `${action.kind} ${action.chain}`;
    case 'dispatch':
      return `dispatch ${action.map} by ${action.direction}`;
    case 'mark':
      return [
        action.set === 0 ? '' : `set ${markText(action.set)}`,
        action.clear === 0 ? '' : `clear ${markText(action.clear)}`,
      ]
        .filter((each) => each !== '')
        .join(', ');
    case 'log':
      return `log ${JSON.stringify(action.prefix)}`;
    case 'nflog':
      return `nflog ${action.group} ${JSON.stringify(action.prefix)}`;
    case 'dnat':
      return `dnat ${formatIp(action.to)}`;
    case 'snat':
      return `snat ${formatIp(action.to)}${portsText(action.ports)}`;
    case 'masquerade':
      return `masquerade${portsText(action.ports)}`;
    default:
      return action.kind;
  }
}

function markText(bits: number): string {
  return Object.entries(FILTER_SETTINGS_DEFAULTS.marks)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name)
    .join('+');
}

/** What a translated source port is chosen from. */
function portsText(ports: PortRange | undefined): string {
  return ports === undefined ? '' : ` :${rangeText(ports)}`;
}

function rangeText({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function icmpText({ type, code }: IcmpMatch): string {
  return code === undefined ? `${type}` : `${type}/${code}`;
}
