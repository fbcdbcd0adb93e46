/**
 * The writer behind lib/log: JSON lines on stderr, where systemd's journal or a lab's log file takes them.
 *
 * Fields that may hold a secret are struck out by name, wherever in a line's data they stand; so a password in a resource
 * that somebody logs whole does not reach the disk. Lines are written at once, since the last ones before a crash are the
 * ones that matter.
 */
import type { Logger } from 'pino';
import { destination, pino } from 'pino';
import type { Log } from '../lib/log.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const SECRET_FIELDS = ['password', 'token', 'secret', 'key', 'privateKey'];

/** A log of component `name` on stderr. */
export function openLog(name: string, level: LogLevel): Log {
  const writer = pino(
    {
      name,
      level,
      base: { name },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '***' },
    },
    destination({ fd: 2, sync: true }),
  );
  return wrap(writer);
}

function wrap(writer: Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'child'>): Log {
  return {
    debug: (message, data = {}) => writer.debug(data, message),
    info: (message, data = {}) => writer.info(data, message),
    warn: (message, data = {}) => writer.warn(data, message),
    error: (message, data = {}) => writer.error(data, message),
    child: (data) => wrap(writer.child(data)),
  };
}
