/**
 * What a session remembers for the people who ask about it.
 *
 * The last events in a ring of fixed size, the last NOTIFICATION in words, and counters. Texts that come from a peer are
 * cut, so that what one session can make us keep is bounded.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Instant } from '../../lib/clock.ts';
import type { SessionState } from '../contract.ts';
import type { MessageCounts, NotificationView, SessionLogEntry } from '../observe/views.ts';
import type { BgpError } from '../wire/errors.ts';
import { describeNotification } from '../wire/errors.ts';
import { HEADER_BYTES, lengthAt } from '../wire/message.ts';

/** Several establishments and losses with all their steps; 2000 peers of it are a few MB. */
const ENTRIES_MAX = 50;
/** A shutdown communication of 255 bytes with what stands before it. */
const TEXT_CHARACTERS_MAX = 400;

/** A text, or what makes it: the log of a session that nobody asks about is never written out. */
export type LogText = string | (() => string);

interface StateChange {
  readonly from: SessionState;
  readonly to: SessionState;
}

interface Entry {
  readonly at: Instant;
  readonly text: LogText;
  readonly from: SessionState | undefined;
  readonly to: SessionState | undefined;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_COUNTS: MessageCounts = { opens: 0, updates: 0, notifications: 0, keepalives: 0, refreshes: 0, bytes: 0 };

const COUNTER_OF: readonly (keyof MessageCounts | undefined)[] = [
  undefined,
  'opens',
  'updates',
  'notifications',
  'keepalives',
  'refreshes',
];

export class SessionLog {
  /** How often the session came up, and how often it ended after that. */
  established = 0;
  flaps = 0;
  readonly #entries: Entry[] = [];
  /** Where the next entry goes once the ring is full. */
  #next = 0;
  #lastNotification: (Omit<NotificationView, 'agoMs'> & { readonly at: Instant }) | undefined;
  readonly #sent: Mutable<MessageCounts> = { ...NO_COUNTS };
  readonly #received: Mutable<MessageCounts> = { ...NO_COUNTS };

  note(now: Instant, text: LogText, change?: StateChange): void {
    const kept = typeof text === 'string' ? text.slice(0, TEXT_CHARACTERS_MAX) : text;
    const entry = { at: now, text: kept, from: change?.from, to: change?.to };
    if (this.#entries.length < ENTRIES_MAX) this.#entries.push(entry);
    else {
      this.#entries[this.#next] = entry;
      this.#next = (this.#next + 1) % ENTRIES_MAX;
    }
  }

  /** Keeps what was said last. */
  notification(
    now: Instant,
    direction: NotificationView['direction'],
    { code, subcode, data }: Pick<BgpError, 'code' | 'subcode' | 'data'>,
  ): void {
    const text = describeNotification(code, subcode, data).slice(0, TEXT_CHARACTERS_MAX);
    this.#lastNotification = { direction, code, subcode, text, at: now };
  }

  /** Counts the messages in bytes that go out; whole messages, one after the other. */
  countSent(bytes: Uint8Array): void {
    this.#sent.bytes += bytes.length;
    for (let offset = 0; offset + HEADER_BYTES <= bytes.length; ) {
      count(this.#sent, byteAt(bytes, offset + HEADER_BYTES - 1));
      offset += Math.max(lengthAt(bytes, offset), HEADER_BYTES);
    }
  }

  countReceived(type: number, bodyBytes: number): void {
    this.#received.bytes += HEADER_BYTES + bodyBytes;
    count(this.#received, type);
  }

  get sent(): MessageCounts {
    return { ...this.#sent };
  }

  get received(): MessageCounts {
    return { ...this.#received };
  }

  lastNotification(now: Instant): NotificationView | undefined {
    if (this.#lastNotification === undefined) return undefined;
    const { at, ...rest } = this.#lastNotification;
    return { ...rest, agoMs: Math.round(now - at) };
  }

  /** The oldest first. */
  entries(now: Instant): SessionLogEntry[] {
    const ordered = [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)];
    return ordered.map(({ at, text, from, to }) => {
      const change = from === undefined ? '' : `${from} → ${to}: `;
      return { agoMs: Math.round(now - at), text: `${change}${textOf(text)}`.slice(0, TEXT_CHARACTERS_MAX) };
    });
  }
}

export function textOf(text: LogText): string {
  return typeof text === 'string' ? text : text();
}

function count(counts: Mutable<MessageCounts>, type: number): void {
  const counter = COUNTER_OF[type];
  if (counter !== undefined) counts[counter] += 1;
}
