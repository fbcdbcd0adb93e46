import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkBears, messageOf } from './golden.suite.ts';
import { decodeNflogMessage, encodeNflogBind } from './nflog.ts';

/** Of Linux 6.18: a datagram from 127.0.0.1 to port 9999, logged on its way in by `log prefix "DPI0|x" group 1`. */
const LOGGED =
  'a40000000004000000000000000000000200000108000100080001000b000a00445049307c78000008000400000000011000080000060000' +
  '000000000000000006000f000304000006001100000e0000120010000000000000000000000000000800000014000300000000006b03de83' +
  '0000000000030db508000c0000000000220009004500001edc094000401160c37f0000017f0000019918270f000afe1d780a0000';

test('a logged packet is read with group, prefix, device, time and number', () => {
  const logged = decodeNflogMessage(messageOf(LOGGED));
  assert.ok(logged !== undefined);
  const { payload, ...rest } = logged;
  assert.equal(payload.length, 30);
  assert.deepEqual(rest, {
    group: 1,
    prefix: 'DPI0|x',
    inIndex: 1,
    outIndex: undefined,
    timeMs: 0x6b03de83 * 1000 + 0x30db5 / 1000,
    sequence: 0,
  });
});

test('a group is bound with all its settings in one message', () => {
  const { type, body } = encodeNflogBind({
    group: 2,
    copyBytes: 96,
    batchPackets: 32,
    batchHundredths: 5,
    batchBytes: 16384,
  });
  assert.equal(type, 0x0401);
  assert.equal(
    Buffer.from(body).toString('hex'),
    // struct nfgenmsg; command, mode, buffer length, timeout, threshold, flags.
    '00000002 0500010001000000 0a000200000000600200 0000 0800030000004000 0800040000000005 0800050000000020 0600060000010000'.replaceAll(
      ' ',
      '',
    ),
  );
});

test('messages cut off, changed, and of others are no exceptions', () => {
  checkBears(decodeNflogMessage);
  checkBears(decodeNflogMessage, [LOGGED]);
});
