/**
 * A peer of a scripted world that speaks in prefixes and attributes, and remembers what it was told.
 *
 * `routes` is the table that a faithful peer would have, made from the bytes that the speaker has sent on its connection;
 * `words` is what was said since the last asking, in order. So a test can say both what a peer must know and what it must
 * not be bothered with. Whatever stands in a message is read, LOCAL_PREF from an external speaker, too: a test must be
 * able to see it.
 */
import assert from 'node:assert/strict';
import { cidr, formatCidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { ip } from '../net/ip.ts';
import type { ConnectionId } from './contract.ts';
import { encodeEndOfRib, encodeForSending, UpdateWriter } from './export/update-writer.ts';
import { openFrom, type ScriptedWorld } from './scripted-peer.suite.ts';
import { PrefixTable } from './table/prefix-table.ts';
import type { PathAttributes } from './wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';
import type { Capabilities } from './wire/capabilities.ts';
import { describeNotification, isBgpError } from './wire/errors.ts';
import {
  decodeNotification,
  EXTENDED_MESSAGE_BYTES_MAX,
  KEEPALIVE,
  MESSAGE_BYTES_MAX,
  MESSAGE_TYPE,
  MessageFramer,
} from './wire/message.ts';
import { prefixesIn } from './wire/nlri.ts';
import { decodeRefresh, encodeRefresh, type RefreshKind } from './wire/route-refresh.ts';
import { UpdateDecoder } from './wire/update.ts';

export interface TalkerOptions {
  readonly asn?: number;
  readonly routerId?: string;
  readonly capabilities?: Partial<Capabilities>;
  readonly localAddress?: string;
  readonly device?: string;
}

export class Talker {
  readonly connection: ConnectionId;
  readonly #world: ScriptedWorld;
  readonly #address: Ip;
  readonly #asn: number;
  readonly #capabilities: Partial<Capabilities>;
  readonly #decoder: UpdateDecoder;
  readonly #framer = new MessageFramer();
  readonly #table = new Map<string, PathAttributes>();
  #words: string[] = [];
  #read = 0;
  /** How long the messages were. */
  readonly lengths: number[] = [];

  constructor(world: ScriptedWorld, address: string, options: TalkerOptions = {}) {
    const { asn = 64512, routerId, capabilities = {}, localAddress, device } = options;
    this.#world = world;
    this.#address = ip(address);
    this.#asn = asn;
    this.#capabilities = capabilities;
    this.#framer.messageBytesMax = EXTENDED_MESSAGE_BYTES_MAX;
    const several = (capabilities.addPath ?? []).filter(({ receive }) => receive).map(({ family }) => family);
    this.#decoder = new UpdateDecoder({
      asnBytes: this.#asnBytes,
      external: false,
      peerAsn: 0,
      enforceFirstAs: false,
      role: undefined,
      families: [4, 6],
      addPathReceive: several,
      ipv4OverIpv6: true,
    });
    const open = openFrom(routerId ?? (this.#address.family === 4 ? address : '9.9.9.9'), capabilities, asn);
    this.connection = world.establish(address, open, { localAddress, device });
  }

  /** What it has been told and not been told to forget, by prefix ("172.17.9.0/24", "172.17.9.0/24#2" with a path identifier). */
  routes(): ReadonlyMap<string, PathAttributes> {
    this.#listen();
    return this.#table;
  }

  /** The prefixes of `routes`, in order. */
  prefixes(): string[] {
    return [...this.routes().keys()].sort();
  }

  /** The attributes of the only route that it was told. */
  only(): PathAttributes {
    const [attributes, second] = [...this.routes().values()];
    assert.ok(attributes !== undefined && second === undefined, `${this.#table.size} routes`);
    return attributes;
  }

  /** What was said since the last time: "+172.17.9.0/24", "-172.17.9.0/24", "end 4", "refresh begin 4", "cease … (6/4)", "closed". */
  words(): string[] {
    this.#listen();
    const words = this.#words;
    this.#words = [];
    return words;
  }

  announce(prefixes: readonly string[], more: Partial<PathAttributes> = {}, pathId = 0): void {
    const family = cidr(prefixes[0] ?? '').address.family;
    const isExternal = this.#asn !== 64512;
    const own = isExternal ? { asPath: [this.#asn] } : { localPreference: 100 };
    const attributes = { ...PLAIN_ATTRIBUTES, nextHop: this.#address, ...own, ...more };
    const encoded = encodeForSending(attributes, family, this.#asnBytes, EXTENDED_MESSAGE_BYTES_MAX);
    assert.ok(encoded !== undefined);
    this.#write(family, prefixes, pathId, (writer, rows, ids) => writer.announce(encoded, rows, ids));
  }

  withdraw(prefixes: readonly string[], pathId = 0): void {
    const family = cidr(prefixes[0] ?? '').address.family;
    this.#write(family, prefixes, pathId, (writer, rows, ids) => writer.withdraw(rows, ids));
  }

  endOfRib(...families: readonly Family[]): void {
    for (const family of families) this.say(encodeEndOfRib(family));
  }

  refresh(family: Family, kind: RefreshKind): void {
    this.say(encodeRefresh({ family, kind }));
  }

  keepalive(): void {
    this.say(KEEPALIVE);
  }

  say(bytes: Uint8Array): void {
    this.#world.receive(this.connection, bytes);
  }

  /** Its connection is lost without a word. */
  vanish(): void {
    this.#world.tell({ kind: 'closed', connection: this.connection, reason: 'lost' });
  }

  get #asnBytes(): 2 | 4 {
    return 'fourOctetAsn' in this.#capabilities && this.#capabilities.fourOctetAsn === undefined ? 2 : 4;
  }

  #write(
    family: Family,
    prefixes: readonly string[],
    pathId: number,
    write: (writer: UpdateWriter, rows: number[], pathIds: number[]) => void,
  ): void {
    const table = new PrefixTable(family);
    const { extendedMessages = false } = this.#capabilities;
    const messageBytesMax = extendedMessages ? EXTENDED_MESSAGE_BYTES_MAX : MESSAGE_BYTES_MAX;
    const hasPathIds = this.#capabilities.addPath?.some((row) => row.family === family && row.send) === true;
    const writer = new UpdateWriter(table, messageBytesMax, hasPathIds);
    const rows = prefixes.map((prefix) => table.addPrefix(cidr(prefix)));
    write(
      writer,
      rows,
      rows.map(() => pathId),
    );
    this.say(writer.take());
  }

  #listen(): void {
    const { outputs } = this.#world;
    for (; this.#read < outputs.length; this.#read++) {
      const output = outputs[this.#read];
      if (output?.kind === 'close' && output.connection === this.connection) this.#words.push('closed');
      if (output?.kind !== 'send' || output.connection !== this.connection) continue;
      for (const { type, body } of this.#framer.push(output.bytes).frames) this.#hear(type, body);
    }
  }

  #hear(type: number, body: Uint8Array): void {
    this.lengths.push(body.length + 19);
    if (type === MESSAGE_TYPE.notification) {
      const { code, subcode, data } = decodeNotification(body);
      this.#words.push(describeNotification(code, subcode, data));
    } else if (type === MESSAGE_TYPE.routeRefresh) {
      const refresh = decodeRefresh(body, true);
      assert.ok(refresh !== undefined && !isBgpError(refresh));
      this.#words.push(`refresh ${refresh.kind} ${refresh.family}`);
    } else if (type === MESSAGE_TYPE.update) this.#learn(body);
  }

  #learn(body: Uint8Array): void {
    const update = this.#decoder.decode(body);
    assert.ok(!isBgpError(update));
    assert.deepEqual(update.problems, []);
    if (update.endOfRib !== undefined) this.#words.push(`end ${update.endOfRib}`);
    const name = ({ prefix, pathId }: ReturnType<typeof prefixesIn>[number]): string =>
      formatCidr(prefix) + (pathId === undefined ? '' : `#${pathId}`);
    for (const range of update.withdrawn) {
      for (const entry of prefixesIn(body, range)) {
        this.#words.push(`-${name(entry)}`);
        this.#table.delete(name(entry));
      }
    }
    for (const { range, attributes } of update.announced) {
      for (const entry of prefixesIn(body, range)) {
        this.#words.push(`+${name(entry)}`);
        this.#table.set(name(entry), attributes);
      }
    }
  }
}
