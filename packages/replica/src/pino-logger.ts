/** pino behind the interface of `core`. */
import type { Logger } from "@narses/core";
import { pino, type LoggerOptions } from "pino";

/** JSON lines on standard output, with the replica in each. */
export function createPinoLogger(options: LoggerOptions = {}): Logger {
  const log = pino({ level: "info", base: null, timestamp: pino.stdTimeFunctions.isoTime, ...options });
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
  };
}
