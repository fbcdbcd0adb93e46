/**
 * What code says while it runs, as an interface only.
 *
 * A line is a short sentence that does not change, and the data beside it: `log.info('session established', {peer})`.
 * State changes are one line each: who, from what, to what, why. The writer behind it (node/log.ts) makes JSON lines of it
 * and strikes out secrets; pure rooms return what they have to say as outputs rather than log.
 */
export type LogData = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, data?: LogData): void;
  info(message: string, data?: LogData): void;
  warn(message: string, data?: LogData): void;
  error(message: string, data?: LogData): void;
  /** A log that adds `data` to each of its lines. */
  child(data: LogData): Log;
}
