/** Logging: a limiter for lines a peer can provoke, and errors as text. */
import { NarsesError, type LogFields, type Logger } from "@narses/core";
import { LOG_INTERVAL_MS } from "./limits.ts";

export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** The same logger with `fields` in every line. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    debug: (more, message) => logger.debug({ ...fields, ...more }, message),
    info: (more, message) => logger.info({ ...fields, ...more }, message),
    warn: (more, message) => logger.warn({ ...fields, ...more }, message),
    error: (more, message) => logger.error({ ...fields, ...more }, message),
  };
}

/** Stack of an error, or whatever else was thrown as text; never throws. */
export function describeError(error: unknown): string {
  try {
    if (error instanceof NarsesError) return `${error.code}: ${error.stack ?? error.message}`;
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return "an error that has no text";
  }
}

export interface LogLimiter {
  /** Calls `write` with the number of lines left out since the last one for `key`, unless that one was just now. */
  line(key: string, write: (leftOut: number) => void): void;
}

/** Keys must come from a closed set (codes, message types): they are never forgotten. */
export function createLogLimiter(nowMs: () => number): LogLimiter {
  const seen = new Map<string, { atMs: number; leftOut: number }>();
  return {
    line(key, write) {
      const entry = seen.get(key);
      const now = nowMs();
      if (entry !== undefined && now - entry.atMs < LOG_INTERVAL_MS) {
        entry.leftOut++;
        return;
      }
      seen.set(key, { atMs: now, leftOut: 0 });
      write(entry?.leftOut ?? 0);
    },
  };
}
