/**
 * The smallest virtual machine: a process that holds the far end of a tap device and speaks Ethernet frames itself.
 *
 * It has an address of each family and the gateway's MAC once it has asked for it, answers whoever asks for its own MAC (ARP,
 * NDP) and whoever pings it, and counts what it gets, so that a test sees what a guest would see: without this project's code
 * on its side of the wire. RFC 826, 791, 792, 4861, 4443.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { inNamespace } from '../../src/kernel/network-namespace.ts';
import type { Poll } from '../../src/kernel/system-calls.ts';
import { pollReadable } from '../../src/kernel/system-calls.ts';
import { openTap } from '../../src/kernel/tap.ts';
import type { Ip } from '../../src/net/ip.ts';
import { formatIp, ip, ipFromBytes, sameIp } from '../../src/net/ip.ts';
import { macBytes, macFromBytes, parseMac } from '../../src/net/mac.ts';

const ETHERNET = { length: 14, ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const ARP = { request: 1, reply: 2 } as const;
const ICMP = { protocol: 1, echoRequest: 8, echoReply: 0 } as const;
const ICMPV6 = { protocol: 58, echoRequest: 128, echoReply: 129, solicitation: 135, advertisement: 136 } as const;
const FRAME_BYTES_MAX = 65536;
const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);

export class FrameMachine {
  readonly #fd: number;
  readonly #poll: Poll;
  readonly #mac: Uint8Array;
  readonly #addresses: readonly Ip[];
  /** MACs that were told, by address in text. */
  readonly neighbours = new Map<string, string>();
  /** Who has answered our echo requests, in the order of their answers. */
  readonly echoReplies: string[] = [];
  /** Who has sent us echo requests, all of which are answered. */
  readonly echoRequests: string[] = [];

  /** Opens the tap `device` of the namespace at `path`. */
  constructor(path: string, device: string, mac: string, addresses: readonly string[]) {
    this.#mac = macBytes(parseMac(mac)!);
    this.#addresses = addresses.map(ip);
    this.#fd = inNamespace(path, () => openTap(device));
    this.#poll = pollReadable(this.#fd, () => this.#read());
  }

  /** The machine is switched off; the device stays. */
  close(): void {
    this.#poll.close();
    closeSync(this.#fd);
  }

  /** Asks who has `address`; the answer gets into `neighbours`. */
  ask(address: string): void {
    const target = ip(address);
    if (target.family === 4) {
      this.#send(BROADCAST, ETHERNET.arp, this.#arp(ARP.request, new Uint8Array(6), target));
      return;
    }
    // To all nodes instead of the solicited-node group, which is as good; with our MAC as option 1.
    const body = Uint8Array.of(0, 0, 0, 0, ...target.bytes, 1, 1, ...this.#mac);
    const group = ip('ff02::1');
    this.#sendIcmpv6(Uint8Array.of(0x33, 0x33, ...group.bytes.subarray(12)), group, ICMPV6.solicitation, body);
  }

  /** Sends an echo request by way of the gateway; the answer gets into `echoReplies`. */
  ping(destination: string, gateway: string): void {
    const mac = macBytes(parseMac(this.neighbours.get(gateway)!)!);
    const target = ip(destination);
    const body = Uint8Array.of(0x4d, 0x55, 0, 1, ...new TextEncoder().encode('muslin'));
    if (target.family === 4) this.#sendIcmp(mac, target, ICMP.echoRequest, body);
    else this.#sendIcmpv6(mac, target, ICMPV6.echoRequest, body);
  }

  #read(): void {
    const buffer = new Uint8Array(FRAME_BYTES_MAX);
    for (;;) {
      let length: number;
      try {
        length = readSync(this.#fd, buffer);
      } catch (error) {
        // EAGAIN: no more frames; EIO, EBADFD: the device is down or gone.
        if (error instanceof Error && 'code' in error) return;
        throw error;
      }
      const frame = buffer.slice(0, length);
      const type = (frame[12]! << 8) | frame[13]!;
      const packet = frame.subarray(ETHERNET.length);
      if (type === ETHERNET.arp) this.#onArp(packet);
      else if (type === ETHERNET.ipv4) this.#onIpv4(frame.subarray(6, 12), packet);
      else if (type === ETHERNET.ipv6) this.#onIpv6(frame.subarray(6, 12), packet);
    }
  }

  #onArp(packet: Uint8Array): void {
    const senderMac = packet.subarray(8, 14);
    const sender = ipFromBytes(packet.subarray(14, 18));
    const isOurs = this.#own(ipFromBytes(packet.subarray(24, 28)));
    if (packet[7] === ARP.reply) this.neighbours.set(formatIp(sender), macFromBytes(senderMac));
    else if (isOurs) this.#send(senderMac, ETHERNET.arp, this.#arp(ARP.reply, senderMac, sender));
  }

  #onIpv4(sender: Uint8Array, packet: Uint8Array): void {
    const source = ipFromBytes(packet.subarray(12, 16));
    const isOurs = this.#own(ipFromBytes(packet.subarray(16, 20)));
    const message = packet.subarray((packet[0]! & 15) * 4, (packet[2]! << 8) | packet[3]!);
    if (!isOurs || packet[9] !== ICMP.protocol) return;
    if (message[0] === ICMP.echoReply) this.echoReplies.push(formatIp(source));
    if (message[0] !== ICMP.echoRequest) return;
    this.echoRequests.push(formatIp(source));
    this.#sendIcmp(sender, source, ICMP.echoReply, message.subarray(4));
  }

  #onIpv6(sender: Uint8Array, packet: Uint8Array): void {
    const source = ipFromBytes(packet.subarray(8, 24));
    const message = packet.subarray(40);
    if (packet[6] !== ICMPV6.protocol) return;
    const target = message.length < 24 ? undefined : ipFromBytes(message.subarray(8, 24));
    switch (message[0]) {
      case ICMPV6.advertisement: {
        if (target !== undefined) this.neighbours.set(formatIp(target), macFromBytes(message.subarray(26, 32)));
        break;
      }
      case ICMPV6.solicitation: {
        if (target === undefined || !this.#own(target)) return;
        // Solicited, override; our MAC is option 2.
        const body = Uint8Array.of(0x60, 0, 0, 0, ...target.bytes, 2, 1, ...this.#mac);
        this.#sendIcmpv6(sender, source, ICMPV6.advertisement, body);
        break;
      }
      case ICMPV6.echoReply:
        this.echoReplies.push(formatIp(source));
        break;
      case ICMPV6.echoRequest:
        this.echoRequests.push(formatIp(source));
        this.#sendIcmpv6(sender, source, ICMPV6.echoReply, message.subarray(4));
        break;
      default:
    }
  }

  #own(address: Ip): boolean {
    return this.#addresses.some((own) => sameIp(own, address));
  }

  #source(family: 4 | 6): Ip {
    return this.#addresses.find((address) => address.family === family)!;
  }

  #arp(operation: number, mac: Uint8Array, address: Ip): Uint8Array {
    const own = this.#source(4);
    return Uint8Array.of(0, 1, 8, 0, 6, 4, 0, operation, ...this.#mac, ...own.bytes, ...mac, ...address.bytes);
  }

  #sendIcmp(mac: Uint8Array, destination: Ip, type: number, body: Uint8Array): void {
    const message = withChecksum(Uint8Array.of(type, 0, 0, 0, ...body), 2, new Uint8Array(0));
    const length = 20 + message.length;
    const addresses = [...this.#source(4).bytes, ...destination.bytes];
    const head = Uint8Array.of(0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, ICMP.protocol, 0, 0, ...addresses);
    this.#send(mac, ETHERNET.ipv4, Uint8Array.of(...withChecksum(head, 10, new Uint8Array(0)), ...message));
  }

  #sendIcmpv6(mac: Uint8Array, destination: Ip, type: number, body: Uint8Array): void {
    const length = 4 + body.length;
    const addresses = [...this.#source(6).bytes, ...destination.bytes];
    const pseudoHeader = Uint8Array.of(...addresses, 0, 0, length >> 8, length & 255, 0, 0, 0, ICMPV6.protocol);
    const message = withChecksum(Uint8Array.of(type, 0, 0, 0, ...body), 2, pseudoHeader);
    const head = Uint8Array.of(0x60, 0, 0, 0, length >> 8, length & 255, ICMPV6.protocol, 255, ...addresses);
    this.#send(mac, ETHERNET.ipv6, Uint8Array.of(...head, ...message));
  }

  #send(mac: Uint8Array, type: number, packet: Uint8Array): void {
    writeSync(this.#fd, Uint8Array.of(...mac, ...this.#mac, type >> 8, type & 255, ...packet));
  }
}

/** The Internet checksum (RFC 1071) over `prefix` and `bytes`, put into the place of `bytes` that is for it. */
function withChecksum(bytes: Uint8Array, place: number, prefix: Uint8Array): Uint8Array {
  const all = Uint8Array.of(...prefix, ...bytes, 0);
  let sum = 0;
  for (let index = 0; index + 1 < all.length; index += 2) sum += (all[index]! << 8) | all[index + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(place, ~sum & 0xffff);
  return bytes;
}
