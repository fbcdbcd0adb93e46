/**
 * The store's part of a purge: what this node has there, which other hosts would take for in use.
 *
 * Its endpoints, the addresses that it holds wherever they lie, its blocks, its report on policies, and the tunnels' addresses in its
 * Node resource, by which others would send. What operators have written stays: also that resource itself. Each removal is a transaction on what was just read; when somebody was faster the next
 * round reads anew.
 */
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import { TUNNEL_KINDS } from '../../felix/desired/tunnels.ts';
import { ownerOf } from '../../ipam/block.ts';
import { planReleaseAddress, planReleaseBlock } from '../../ipam/release.ts';
import type { Survey } from '../../ipam/survey.ts';
import { allocationsOf } from '../../ipam/survey.ts';
import { blockAffinityName, keyOf, resourceKey } from '../../model/resource-key.ts';
import type { Store } from '../../store/store.ts';
import { STATUS_PREFIX } from '../../store/store.ts';
import { carryOut, readSurvey } from '../addresses/address-survey.ts';
import { readNode, tunnelOfNode, writeTunnel } from '../tunnels/tunnel-node.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';

/** `node`: the name of this host in the store. */
export function storePart(store: Store, node: string): PurgePart {
  const report = `${STATUS_PREFIX}${node}`;
  return {
    list: async () => {
      const own = ownRecords(await readSurvey(store), node);
      const hasReport = (await store.get(report)) !== undefined;
      const tunnels = await tunnelsBorne(store, node);
      return [
        ...own.endpoints.map(({ metadata }) => object('endpoint', `${metadata.namespace}/${metadata.name}`)),
        ...own.allocations.map(({ text, holder }) => object('address', text, `held by ${holder.handleId}`)),
        ...own.blocks.map(({ spec }) => object('block', spec.cidr, `of node ${node}`)),
        ...own.affinities.map(({ metadata }) => object('affinity', metadata.name)),
        ...tunnels.map((kind) => object('tunnel address', `${kind} in Node ${node}`)),
        ...(hasReport ? [object('report', report)] : []),
      ];
    },
    remove: async () => {
      const survey = await readSurvey(store);
      const remove = (key: string) => store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
      for (const kind of await tunnelsBorne(store, node)) await writeTunnel(store, node, kind, undefined);
      for (const endpoint of ownRecords(survey, node).endpoints) await remove(keyOf(endpoint));
      const { allocations, blocks } = ownRecords(survey, node);
      // What was carried out changes the block that the next one stands on, so it is looked up each time.
      for (const { address, block, holder } of allocations) {
        const present = survey.block(block.spec.cidr);
        if (present === undefined) continue;
        const { plan } = planReleaseAddress(present, survey.handle(holder.handleId), address);
        if (!(await carryOut(store, survey, plan))) return;
      }
      for (const { spec } of blocks) {
        const present = survey.block(spec.cidr);
        if (present === undefined) continue;
        const name = blockAffinityName(node, spec.cidr);
        const affinity = survey.affinity(resourceKey({ kind: 'BlockAffinity', name }));
        if (!(await carryOut(store, survey, planReleaseBlock(present, affinity)))) return;
      }
      for (const affinity of ownRecords(survey, node).affinities) await remove(keyOf(affinity));
      if ((await store.get(report)) !== undefined) await remove(report);
    },
  };
}

async function tunnelsBorne(store: Store, name: string): Promise<TunnelKind[]> {
  const node = await readNode(store, name);
  return node === undefined ? [] : TUNNEL_KINDS.filter((kind) => tunnelOfNode(node, kind) !== undefined);
}

function ownRecords(survey: Survey, node: string) {
  return {
    endpoints: survey.all('WorkloadEndpoint').filter(({ spec }) => spec.node === node),
    allocations: allocationsOf(survey.all('IPAMBlock')).filter(({ holder }) => holder.secondary['node'] === node),
    blocks: survey.all('IPAMBlock').filter((block) => ownerOf(block) === node),
    affinities: survey.all('BlockAffinity').filter(({ spec }) => spec.node === node),
  };
}

function object(kind: string, name: string, detail = ''): OwnedObject {
  return { kind, name, detail };
}
