/** DEL while the store is away: what is noted for later, and whose device goes now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Log } from '../../lib/log.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { deviceOf, endpointNameOf } from './attachment-names.ts';
import { Attachments } from './attachments.ts';
import type { CniWork } from './cni-server.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const WEB = { containerId: 'web', interfaceName: 'eth0' };

function endpoint(networkName: string): WorkloadEndpoint {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: endpointNameOf('a', WEB),
      namespace: 'shop',
      annotations: { 'cni.muslin.io/network': networkName },
    },
    spec: { orchestrator: 'cni', node: 'a', containerID: 'web', endpoint: 'eth0', interfaceName: deviceOf(WEB) },
  } as unknown as WorkloadEndpoint; // what else there is does not matter here
}

const ROWS: readonly (readonly [what: string, known: readonly WorkloadEndpoint[], goes: boolean])[] = [
  ['its own interface goes', [endpoint('net')], true],
  ['an interface that nobody has told of goes', [], true],
  ['another network’s interface stays', [endpoint('other')], false],
];
for (const [what, known, goes] of ROWS) {
  test(`while the store is away, DEL is noted, and ${what}`, async () => {
    const noted: string[] = [];
    const removed: string[] = [];
    const attachments = new Attachments({
      ...{ node: 'a', log: SILENT, knownEndpoints: () => known },
      felix: { storeState: () => ({ ready: false, reason: '', storeAway: 'no connection' }), linkChanged: () => {} },
      kernel: { link: (name: string) => ({ name, index: 7 }), removeLink: (index: number) => removed.push(`${index}`) },
      queue: () => ({ add: ({ networkName }: { networkName: string }) => noted.push(networkName) }),
    } as unknown as ConstructorParameters<typeof Attachments>[0]); // what DEL does not use is not there
    const work = { command: 'DEL', ...WEB, networkName: 'net', netns: undefined } as CniWork;
    assert.deepEqual(await attachments.carryOut(work), { result: undefined });
    assert.deepEqual([noted, removed], [['net'], goes ? ['7'] : []]);
  });
}
