/**
 * Dropped packets are reported as the kernel logs them, and a flood of them costs little.
 *
 *   a (cali-a) ── host: rules that log and drop
 *
 * Everything is in namespaces of this test's own.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import {
  addNamespace,
  inNamespace,
  namespaceNames,
  namespacePath,
  removeNamespace,
} from '../../src/kernel/network-namespace.ts';
import { type LoggedPacket, type NflogSocket, openNflogSocket } from '../../src/kernel/nflog-socket.ts';
import { type Nft, openNft } from '../../src/kernel/nft.ts';
import { encodeSocketAddress } from '../../src/kernel/socket-address.ts';
import { AF_INET, interfaceIndex, SOCK_DGRAM, sendTo, socket } from '../../src/kernel/system-calls.ts';
import { formatIp, ip as parsed } from '../../src/net/ip.ts';

const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const PREFIX = `muslin-test-nflog-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const HOST = namespacePath(`${PREFIX}host`);
const A = namespacePath(`${PREFIX}a`);
/** When waiting has become pointless. */
const PATIENCE_MS = 30_000;
const FLOOD = 100_000;

const RULES = `
add table inet rules
add chain inet rules INPUT { type filter hook input priority 0; }
add rule inet rules INPUT udp dport 7001 log prefix "DPI0|GlobalNetworkPolicy deny-all" group 1 drop
add rule inet rules INPUT icmpv6 type echo-request log prefix "DRI|default" group 1 drop
add chain inet rules OUTPUT { type filter hook output priority 0; }
add rule inet rules OUTPUT tcp dport 7002 log prefix "DPE1|NetworkPolicy default/b" group 2 drop
`;

describe('logged packets', { skip }, () => {
  let nft: Nft;
  let sockets: NflogSocket[] = [];
  let packets: LoggedPacket[] = [];
  let lost = 0;

  before(() => {
    for (const name of ['host', 'a']) {
      addNamespace(PREFIX + name);
      inside(name, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_dad=0');
      inside(name, 'ip', 'link', 'set', 'lo', 'up');
    }
    inside('host', 'ip', 'link', 'add', 'cali-a', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${PREFIX}a`);
    for (const [name, device, number] of [
      ['host', 'cali-a', 1],
      ['a', 'eth0', 2],
    ] as const) {
      inside(name, 'ip', 'addr', 'add', `10.9.1.${number}/24`, 'dev', device);
      inside(name, 'ip', 'addr', 'add', `fd00:9::${number}/64`, 'dev', device, 'nodad');
      inside(name, 'ip', 'link', 'set', device, 'up');
    }
    nft = openNft(HOST);
    nft.run(RULES);
  });
  after(() => {
    nft?.close();
    for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  });
  afterEach(() => {
    for (const socket of sockets) socket.close();
    sockets = [];
    packets = [];
    lost = 0;
  });

  const open = (groups: readonly number[]): void => {
    sockets.push(
      openNflogSocket(HOST, groups, (read, more) => {
        packets.push(...read);
        lost += more;
      }),
    );
  };

  test('come with prefix, devices, addresses and ports, from both groups', async () => {
    open([1, 2]);
    const index = inNamespace(HOST, () => interfaceIndex('cali-a'));
    const began = Date.now();
    flood(7001, 1);
    tryInside('a', 'ping', '-c', '1', '-W', '0.1', 'fd00:9::1');
    tryInside('host', 'timeout', '0.1', 'bash', '-c', 'echo > /dev/tcp/10.9.1.2/7002');
    await until(() => packets.length >= 3);
    const told = packets.map(({ group, prefix, inIndex, outIndex, head }) => [
      group,
      prefix,
      inIndex,
      outIndex,
      head && [head.protocol, formatIp(head.source), formatIp(head.destination), head.destinationPort, head.icmpType],
    ]);
    assert.deepEqual(told.slice(0, 3), [
      [1, 'DPI0|GlobalNetworkPolicy deny-all', index, undefined, [17, '10.9.1.2', '10.9.1.1', 7001, undefined]],
      [1, 'DRI|default', index, undefined, [58, 'fd00:9::2', 'fd00:9::1', undefined, 128]],
      [2, 'DPE1|NetworkPolicy default/b', undefined, index, [6, '10.9.1.1', '10.9.1.2', 7002, undefined]],
    ]);
    for (const { timeMs, group } of packets) {
      if (group === 1 && timeMs !== undefined) assert.ok(Math.abs(timeMs - began) < PATIENCE_MS, `${timeMs}`);
    }
    assert.equal(lost, 0);
  });

  test('a group has one listener, and is free again when that one has gone', async () => {
    open([1]);
    assert.throws(() => open([2, 1]), { name: 'KernelError', code: 'EPERM', message: /group 1/ });
    for (const socket of sockets) socket.close();
    open([2, 1]);
    flood(7001, 1);
    await until(() => packets.length === 1);
  });

  test(`of a flood of ${FLOOD} few are read, and the rest is counted`, async (context) => {
    open([1]);
    const memory = process.memoryUsage().rss;
    const processor = process.cpuUsage();
    // The first tenth lies in the receive buffer before anybody reads it.
    for (let sent = 0; sent < FLOOD; sent += 10_000) {
      flood(7001, 10_000);
      await eventLoopTurn();
    }
    const { user, system } = process.cpuUsage(processor);
    // What was lost at the end is known when one more has come.
    const total = (): number => packets.length + lost;
    let more = 0;
    await until(() => {
      if (total() < FLOOD) {
        flood(7001, 1);
        more += 1;
      }
      return total() >= FLOOD;
    });
    await until(() => total() >= FLOOD + more);
    assert.equal(total(), FLOOD + more);
    assert.ok(lost > 0);
    const grown = (process.memoryUsage().rss - memory) / 1e6;
    const ms = (user + system) / 1000;
    context.diagnostic(
      `${packets.length} read, ${lost} lost, ${grown.toFixed(1)} MB, ${ms.toFixed(0)} ms with sending`,
    );
    assert.ok(packets.length < FLOOD / 2, `${packets.length} read`);
  });
});

/** Sends so many datagrams from a to the host. */
function flood(port: number, count: number): void {
  const fd = inNamespace(A, () => socket(AF_INET, SOCK_DGRAM, 0));
  const to = encodeSocketAddress({ address: parsed('10.9.1.1'), port, scope: 0 });
  try {
    for (let number = 0; number < count; number++) sendTo(fd, Uint8Array.of(1), to);
  } finally {
    closeSync(fd);
  }
}

async function until(condition: () => boolean): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    await eventLoopTurn();
    assert.ok(performance.now() - start < PATIENCE_MS, 'the condition does not come');
  }
}

function inside(name: string, command: string, ...rest: string[]): void {
  execFileSync('ip', ['netns', 'exec', PREFIX + name, command, ...rest], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** For what is dropped, and so fails. */
function tryInside(name: string, command: string, ...rest: string[]): void {
  assert.throws(() => execFileSync('ip', ['netns', 'exec', PREFIX + name, command, ...rest], { stdio: 'ignore' }));
}
