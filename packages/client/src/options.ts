/** What `connect` takes, its defaults and its limits. */
import {
  NarsesError,
  bytesEqual,
  fromHex,
  toHex,
  type ClientTransport,
  type ClusterConfig,
  type Logger,
  type Quorums,
  type SigningKey,
} from "@narses/core";
import { TIMER_MS_MAX, systemTimers, type Timers } from "./timers.ts";

/** Milliseconds. */
export interface Timeouts {
  /** Until `connect` gives up. */
  readonly connectMs: number;
  /** After this long without a request the replicas are asked whether the session is still open, before anything is sent in it. */
  readonly sessionIdleMs: number;
  /** An operation's default; `timeoutMs` of the call overrides it. Infinity: no limit. */
  readonly operationMs: number;
  /** A control call's default. Infinity: no limit. */
  readonly callMs: number;
  /** A replica's answer to a fast read; later the question is ordered. */
  readonly fastReadMs: number;
  /** Silence after which a bundle goes to all replicas, or longer when answers take longer lately; doubles with each further silence. */
  readonly retransmitMs: number;
  /** The doubling ends here. */
  readonly retransmitMaxMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  connectMs: 10_000,
  sessionIdleMs: 10_000,
  operationMs: 30_000,
  callMs: 5_000,
  fastReadMs: 250,
  retransmitMs: 500,
  retransmitMaxMs: 4_000,
};

/** Bounds of one client; reaching one has the outcome named. */
export interface Limits {
  /** Signed bundles without an answer; further operations wait in the queue and share bundles. 1 … 64, default 4. */
  readonly bundlesInFlight: number;
  /** Operations sent and unanswered; further ones wait in the queue. At most, and by default, parameters.sessionWindow. */
  readonly outstanding: number;
  /** Operations waiting; one more is refused with OVERLOADED. Default 10 × outstanding. */
  readonly queuedOperations: number;
  /** Payload bytes waiting; more is refused with OVERLOADED. Default 64 MiB. */
  readonly queuedBytes: number;
  /** Control calls without an answer; one more is refused with OVERLOADED. The same number of fast reads; one more is ordered. Default 64. */
  readonly calls: number;
}

export interface ConnectOptions {
  readonly cluster: ClusterConfig;
  readonly key: SigningKey;
  readonly transport: ClientTransport;
  /**
   * Number of the first session, never used with this key before. Without it the replicas are asked (see session-choice.ts).
   * For a key that was never used, 0 will do until the cluster evicts sessions.
   */
  readonly session?: number;
  /**
   * "any" (default): every operation takes effect as soon as it can; one that was sent earlier may come later, for example when a primary fails in
   * between. "fifo": in the order of submission, whatever happens, and still with many under way.
   */
  readonly order?: "any" | "fifo";
  /** Connected replicas that `connect` waits for, 1 … n. Default Q. */
  readonly replicasNeeded?: number;
  readonly timeouts?: Partial<Timeouts>;
  readonly limits?: Partial<Limits>;
  readonly timers?: Timers;
  /** Seed of the retransmission jitter. Default: from the public key, so that clients spread. */
  readonly jitterSeed?: number;
  readonly logger?: Logger;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
}

export interface ResolvedOptions {
  readonly cluster: ClusterConfig;
  readonly key: SigningKey;
  readonly transport: ClientTransport;
  readonly session: number | undefined;
  readonly fifo: boolean;
  readonly replicasNeeded: number;
  readonly timeouts: Timeouts;
  readonly limits: Limits;
  readonly timers: Timers;
  readonly jitterSeed: number;
  readonly logger: Logger;
}

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function integer(name: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`connect: ${name} must be an integer from ${min} to ${max}, got ${String(value)}`);
  }
  return value;
}

/** @throws RangeError unless a delay is from 0 to 2^31 − 1 milliseconds, or Infinity (no limit). */
export function checkTimeoutMs(name: string, value: number): number {
  if (value === Number.POSITIVE_INFINITY || (value >= 0 && value <= TIMER_MS_MAX)) return value;
  throw new RangeError(`${name} must be from 0 to ${TIMER_MS_MAX} milliseconds, or Infinity, got ${String(value)}`);
}

function resolveTimeouts(given: Partial<Timeouts>): Timeouts {
  const timeouts = { ...DEFAULT_TIMEOUTS, ...given };
  for (const name of ["connectMs", "sessionIdleMs", "operationMs", "callMs", "fastReadMs"] as const) checkTimeoutMs(`connect: timeouts.${name}`, timeouts[name]);
  integer("timeouts.retransmitMs", timeouts.retransmitMs, 1, TIMER_MS_MAX);
  integer("timeouts.retransmitMaxMs", timeouts.retransmitMaxMs, timeouts.retransmitMs, TIMER_MS_MAX);
  return timeouts;
}

function resolveLimits(given: Partial<Limits>, sessionWindow: number): Limits {
  const outstanding = integer("limits.outstanding", given.outstanding ?? sessionWindow, 1, sessionWindow);
  return {
    bundlesInFlight: integer("limits.bundlesInFlight", given.bundlesInFlight ?? 4, 1, 64),
    outstanding,
    queuedOperations: integer("limits.queuedOperations", given.queuedOperations ?? 10 * outstanding, 1, 1 << 24),
    queuedBytes: integer("limits.queuedBytes", given.queuedBytes ?? 64 << 20, 1, Number.MAX_SAFE_INTEGER),
    calls: integer("limits.calls", given.calls ?? 64, 1, 65_536),
  };
}

function resolveOrder(order: string): boolean {
  if (order === "any" || order === "fifo") return order === "fifo";
  throw new RangeError(`connect: order must be "any" or "fifo", got ${JSON.stringify(order)}`);
}

function checkKey(cluster: ClusterConfig, key: SigningKey): void {
  if (key.publicKey.length !== 32) throw new TypeError(`connect: key.publicKey must be 32 bytes, got ${key.publicKey.length}`);
  if (cluster.clients === "listed" && !cluster.clientKeys.some((listed) => bytesEqual(fromHex(listed), key.publicKey))) {
    throw new NarsesError(
      "CONFIG_INVALID",
      `cluster "${cluster.name}" admits listed clients only, and this key (${toHex(key.publicKey)}) is not in its clientKeys; use a listed key`,
      { field: "clientKeys", publicKey: toHex(key.publicKey) },
    );
  }
}

/** @throws RangeError or TypeError for a wrong option, NarsesError CONFIG_INVALID when the cluster does not admit the key. */
export function resolveOptions(options: ConnectOptions, quorums: Quorums): ResolvedOptions {
  const { cluster, key, transport } = options;
  checkKey(cluster, key);
  const seedOfKey = new DataView(key.publicKey.buffer, key.publicKey.byteOffset, 4).getUint32(0);
  return {
    cluster,
    key,
    transport,
    session: options.session === undefined ? undefined : integer("session", options.session, 0, Number.MAX_SAFE_INTEGER),
    fifo: resolveOrder(options.order ?? "any"),
    replicasNeeded: integer("replicasNeeded", options.replicasNeeded ?? quorums.strong, 1, quorums.n),
    timeouts: resolveTimeouts(options.timeouts ?? {}),
    limits: resolveLimits(options.limits ?? {}, cluster.parameters.sessionWindow),
    timers: options.timers ?? systemTimers,
    jitterSeed: integer("jitterSeed", options.jitterSeed ?? seedOfKey, 0, 0xffff_ffff),
    logger: options.logger ?? silent,
  };
}
