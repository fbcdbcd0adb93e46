/**
 * What a device's driver does in the kernel's place, such as cutting large packets into segments: switched off by name.
 *
 * The names are those of `ethtool --show-features`; which there are, and in which order, the kernel is asked. Everything happens
 * in the network namespace of the calling thread.
 *
 * Source: linux/ethtool.h, linux/sockios.h. Called by bpf/ipip-programs.ts.
 */
import { closeSync } from 'node:fs';
import { textOf } from './netlink/message.ts';
import { AF_INET, addressOf, control, SOCK_CLOEXEC, SOCK_DGRAM, socket } from './system-calls.ts';

const SIOCETHTOOL = 0x8946;
const COMMAND = { strings: 0x1b, counts: 0x37, setFeatures: 0x3b } as const;
/** ETH_SS_FEATURES, and the length of a name (ETH_GSTRING_LEN). */
const FEATURE_NAMES = 4;
const NAME_LENGTH = 32;
/** struct ifreq, and where its pointer is. */
const IFREQ = { length: 40, pointer: 16 } as const;

/** Switches off all features whose name is meant; what the device cannot change stays. Throws KernelError. */
export function switchOffFeatures(device: string, isMeant: (feature: string) => boolean): void {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    const off = featureNames(fd, device).flatMap((name, bit) => (isMeant(name) ? [bit] : []));
    const words = off.length === 0 ? 0 : Math.floor(Math.max(...off) / 32) + 1;
    // struct ethtool_sfeatures: of each 32 features which are meant, and which of these are to be on: none.
    const request = new Uint32Array(2 + 2 * words);
    request.set([COMMAND.setFeatures, words]);
    for (const bit of off) {
      const place = 2 + 2 * Math.floor(bit / 32);
      request[place] = ((request[place] ?? 0) | (1 << (bit % 32))) >>> 0;
    }
    ask(fd, device, new Uint8Array(request.buffer));
  } finally {
    closeSync(fd);
  }
}

function featureNames(fd: number, device: string): string[] {
  // struct ethtool_sset_info: command, reserved, a mask of 64 bits, and a count for each of its bits.
  const counts = Uint32Array.of(COMMAND.counts, 0, 1 << FEATURE_NAMES, 0, 0);
  ask(fd, device, new Uint8Array(counts.buffer));
  const count = counts[4] ?? 0;
  const names = new Uint8Array(12 + count * NAME_LENGTH);
  new Uint32Array(names.buffer, 0, 3).set([COMMAND.strings, FEATURE_NAMES, count]);
  ask(fd, device, names);
  return Array.from({ length: count }, (_, index) => textOf(names.subarray(12 + index * NAME_LENGTH)) ?? '');
}

/** The kernel reads and writes `request`. */
function ask(fd: number, device: string, request: Uint8Array): void {
  const ifreq = new Uint8Array(IFREQ.length);
  ifreq.set(new TextEncoder().encode(device));
  new DataView(ifreq.buffer).setBigUint64(IFREQ.pointer, addressOf(request), true);
  control(`features of ${device}`, fd, SIOCETHTOOL, ifreq);
}
