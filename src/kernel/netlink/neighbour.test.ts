import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { ip } from '../../net/ip.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { WORKLOAD_HOST_MAC } from '../../net/mac.ts';
import { checkBears, checkSameAs, KERNEL_SAYS, messageOf } from './golden.suite.ts';
import {
  decodeForwarding,
  decodeNeighbour,
  decodeNeighbourProxy,
  encodeForwardingDump,
  encodeForwardingPut,
  encodeForwardingRemove,
  encodeNeighbourProxyAdd,
  encodeNeighbourPut,
  encodeNeighbourRemove,
  encodeNeighboursDump,
} from './neighbour.ts';

const index = ifIndex(3);
const gateway = { index, address: ip('169.254.1.1'), mac: WORKLOAD_HOST_MAC, permanent: true };

it('a neighbour is put as iproute2 puts it', () => {
  const { type, flags, body } = encodeNeighbourPut(gateway);
  assert.deepEqual([type, flags], [28, 0x500]);
  const head = '300000001c000505568b036b00000000';
  checkSameAs(body, 12, `${head}02000000030000008000000008000100a9fe01010a000200eeeeeeeeeeee0000`);
});

it('a proxy is added as iproute2 adds it', () => {
  const { type, flags, body } = encodeNeighbourProxyAdd(index, gateway.address);
  // iproute2 asks for EXCL, too, which the kernel does not look at for proxies.
  assert.deepEqual([type, flags], [28, 0x400]);
  checkSameAs(body, 12, '240000001c000506568b036b0000000002000000030000008000080008000100a9fe0101');
});

it('a neighbour that may age is put as reachable', () => {
  const { body } = encodeNeighbourPut({ ...gateway, permanent: false });
  assert.equal(toHex(body.subarray(8, 12)), '02000000');
});

it('neighbours and proxies are dumped apart', () => {
  assert.equal(toHex(encodeNeighboursDump(false).body), '000000000000000000000000');
  assert.equal(toHex(encodeNeighboursDump(true).body), '000000000000000000000800');
});

it('entries as the kernel describes them: neighbours, proxies, its own', () => {
  const rows: [keyof typeof KERNEL_SAYS, unknown, unknown][] = [
    ['neighbour', gateway, undefined],
    ['proxy', undefined, { index, address: ip('169.254.1.2') }],
    ['neighbourNoArp', undefined, undefined],
    ['address4', undefined, undefined],
  ];
  for (const [name, neighbour, proxy] of rows) {
    assert.deepEqual(decodeNeighbour(messageOf(KERNEL_SAYS[name])), neighbour, name);
    assert.deepEqual(decodeNeighbourProxy(messageOf(KERNEL_SAYS[name])), proxy, name);
  }
});

it('a neighbour is removed by its device and address', () => {
  const { type, flags, body } = encodeNeighbourRemove(index, gateway.address);
  assert.deepEqual([type, flags, toHex(body)], [29, 0, '02000000030000000000000008000100a9fe0101']);
});

it('forwarding entries are as "bridge fdb" writes them, and read back', () => {
  const entry = { index, mac: WORKLOAD_HOST_MAC, destination: ip('10.0.0.7') };
  const put = encodeForwardingPut(entry);
  assert.deepEqual([put.type, put.flags], [28, 0x500]);
  // AF_BRIDGE, permanent and without ARP, NTF_SELF.
  assert.equal(toHex(put.body), '0700000003000000c00002000a000200eeeeeeeeeeee000008000100' + '0a000007');
  assert.deepEqual(decodeForwarding({ ...put, sequence: 1, portId: 1 }), entry);
  const remove = encodeForwardingRemove(entry);
  assert.deepEqual([remove.type, remove.flags], [29, 0]);
  assert.equal(toHex(encodeForwardingDump().body), '070000000000000000000000');
  assert.equal(decodeForwarding(messageOf(KERNEL_SAYS.neighbour)), undefined);
  checkBears(decodeForwarding);
});

it('what is written is read back', () => {
  const entry = { ...gateway, address: ip('fe80::1') };
  const { type, flags, body } = encodeNeighbourPut(entry);
  assert.deepEqual(decodeNeighbour({ type, flags, sequence: 1, portId: 1, body }), entry);
});

it('cut off or changed anywhere, reading does not throw', () => {
  checkBears(decodeNeighbour);
  checkBears(decodeNeighbourProxy);
});
