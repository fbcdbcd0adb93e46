/**
 * The packet filters' part of a purge: our nftables tables, our chains and rules in both variants of iptables, our ipsets.
 *
 * All of them are looked at, whichever the agent used last. A table of nftables goes at once; of iptables a table's jumps to us and our
 * chains go in one transaction; sets go when no rule names them any more. What is in nobody's way stays with its owner.
 */

import { parseIpsetSave } from '../../felix/dataplane/iptables/ipset.ts';
import { removalPlan } from '../../felix/dataplane/iptables/plan.ts';
import { countForeignRules, isOwnChain, parseSave } from '../../felix/dataplane/iptables/save.ts';
import { ownTables, sweepScript } from '../../felix/dataplane/nftables/own-tables.ts';
import { removalScript, sleepScript } from '../../felix/dataplane/nftables/script.ts';
import type { Iptables } from '../../kernel/iptables.ts';
import { openIptables } from '../../kernel/iptables.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Nft } from '../../kernel/nft.ts';
import { openNft } from '../../kernel/nft.ts';
import { readNftChains, readNftTables } from '../../kernel/nft-tables.ts';
import type { Family } from '../../net/ip.ts';
import type { NftChain, NftFamily } from '../../net/nft-objects.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';

const FAMILIES: readonly Family[] = [4, 6];
const NFT_FAMILIES: Readonly<Record<Family, NftFamily>> = { 4: 'ip', 6: 'ip6' };

/** In this thread's network namespace. What the machine has no programs for, it has no rules of. */
export function filterParts(): PurgePart[] {
  const nft = ifThere(() => openNft());
  const variants = (['nft', 'legacy'] as const).flatMap((variant) => {
    return ifThere(() => openIptables({ namespacePath: undefined, variant, countForeignRules })) ?? [];
  });
  return [
    nftablesPart(nft),
    ...variants.map((iptables) => iptablesPart(iptables, nft)),
    ...variants.slice(0, 1).map(setsPart),
  ];
}

function nftablesPart(nft: Nft | undefined): PurgePart {
  const tables = () => ownTables(readNftTables());
  return {
    list: () => tables().map((name) => ({ kind: 'nft table', name, detail: 'with all that is in it' })),
    remove: () => {
      const names = tables();
      if (names.length === 0) return;
      const engine = nft ?? openNft(); // which says what is missing
      for (const table of names) for (const script of [sleepScript(table), removalScript(table)]) engine.run(script);
    },
    close: () => nft?.close(),
  };
}

function iptablesPart(iptables: Iptables, nft: Nft | undefined): PurgePart {
  return {
    list: () => FAMILIES.flatMap((family) => ownRules(iptables, family)),
    remove: () => {
      for (const family of FAMILIES) {
        const text = savedRules(iptables, family);
        const none = { 4: undefined, 6: undefined };
        iptables.run(removalPlan({ rules: { ...none, [family]: text }, sets: '' }).steps);
        if (iptables.variant === 'nft' && nft !== undefined && text !== undefined) sweep(nft, family, text);
      }
    },
    close: () => iptables.close(),
  };
}

/** A row for each chain of ours, and for each rule of ours in others' chains. */
function ownRules(iptables: Iptables, family: Family): OwnedObject[] {
  const text = savedRules(iptables, family);
  if (text === undefined) return [];
  return [...parseSave(text)].flatMap(([table, { chains, others }]) => {
    const place = `iptables-${iptables.variant} ${NFT_FAMILIES[family]} ${table}`;
    const jumps = [...others].flatMap(([name, rules]) =>
      rules.flatMap((rule): OwnedObject[] =>
        rule === undefined ? [] : [{ kind: 'iptables rule', name: `${place} ${name}`, detail: rule.text }],
      ),
    );
    const own = [...chains].map(([name, rules]) => {
      return { kind: 'iptables chain', name: `${place} ${name}`, detail: `${rules.length} rules` };
    });
    return [...jumps, ...own];
  });
}

/** Undefined where others have made a table that iptables cannot read, in which then nothing of ours can be. */
function savedRules(iptables: Iptables, family: Family): string | undefined {
  try {
    return iptables.save(family);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'EOPNOTSUPP') throw error;
    const isOurs = (chain: NftChain) => chain.family === NFT_FAMILIES[family] && isOwnChain(chain.name);
    if (readNftChains().some(isOurs)) throw error;
    return undefined;
  }
}

/** Takes away what iptables' nft variant has made for us and leaves. That somebody has put a rule there meanwhile is as good. */
function sweep(nft: Nft, family: Family, before: string): void {
  const tables = new Map(
    readNftTables().flatMap((table) => (table.family === NFT_FAMILIES[family] ? [[table.name, table]] : [])),
  );
  for (const [name, { others }] of parseSave(before)) {
    const touched = [...others].filter(([, rules]) => rules.some((rule) => rule !== undefined)).map(([chain]) => chain);
    const table = tables.get(name);
    if (table === undefined) continue;
    try {
      nft.run(sweepScript(table, new Set(touched), readNftChains()));
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'EBUSY') throw error;
    }
  }
}

function setsPart(iptables: Iptables): PurgePart {
  const sets = () => [...parseIpsetSave(iptables.saveSets())];
  return {
    list: () => sets().map(([name, { members }]) => ({ kind: 'ipset', name, detail: `${members.size} members` })),
    remove: () => {
      const none = { 4: undefined, 6: undefined };
      iptables.run(removalPlan({ rules: none, sets: iptables.saveSets() }).steps);
    },
  };
}

function ifThere<Thing>(open: () => Thing): Thing | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof KernelError && ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT'].includes(error.code))
      return undefined;
    throw error;
  }
}
