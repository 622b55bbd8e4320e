/** Every bound of the transport, with its outcome. All are options; the defaults suit a LAN and a loopback mesh alike. */
import { FRAME_BYTES_MAX, NarsesError } from "@narses/core";

export interface NetworkLimits {
  /** Largest frame to or from a replica. Announced larger: the connection is dropped. Sent larger: `send` returns false. */
  readonly replicaFrameBytesMax: number;
  /** Largest frame a client may send. Announced larger: the connection is dropped. */
  readonly clientFrameBytesMax: number;
  /** Bytes waiting for one replica. Full: the new frame is dropped and counted. */
  readonly replicaQueueBytesMax: number;
  /** Bytes waiting for one client connection, or in a client for one replica. Full: the new frame is dropped and counted. */
  readonly clientQueueBytesMax: number;
  /** Bytes waiting for all clients together. Full: as above. */
  readonly clientQueueBytesTotalMax: number;
  /** Bytes of unfinished frames of all clients together. Full: the connection that needs more is dropped. */
  readonly clientPartialBytesTotalMax: number;
  /** Connections of keys that are not in the cluster file. Full: new ones are refused. */
  readonly clientConnectionsMax: number;
  /** Connections one host may open in a second; more are refused before any cryptography. */
  readonly connectionsPerSecondMax: number;
  /** Connections in the middle of their noise handshake. Full: new ones are refused. */
  readonly pendingConnectionsMax: number;
  /** TCP, noise and yamux together must be up within this time. */
  readonly dialMs: number;
  /** From the open stream to the accepted handshake frame. */
  readonly handshakeMs: number;
  /** A frame must be complete this long after its first byte, plus one second for each FRAME_RATE_MIN bytes of its length. */
  readonly frameMs: number;
  /** A ping follows this much silence of our own. */
  readonly pingMs: number;
  /** A peer silent for this long, or one that takes nothing for this long while frames wait, is disconnected. */
  readonly silenceMs: number;
  /** First delay before another dial; doubles with each failure, with jitter down to half. */
  readonly redialMsMin: number;
  /** The doubling ends here. */
  readonly redialMsMax: number;
}

/** Bytes a second: the slowest link on which a large frame is still waited for (0.5 Mbit/s). */
export const FRAME_RATE_MIN: number = 64 << 10;

export const DEFAULT_LIMITS: NetworkLimits = {
  replicaFrameBytesMax: FRAME_BYTES_MAX,
  clientFrameBytesMax: 8 << 20,
  replicaQueueBytesMax: 64 << 20,
  clientQueueBytesMax: 8 << 20,
  clientQueueBytesTotalMax: 256 << 20,
  clientPartialBytesTotalMax: 256 << 20,
  clientConnectionsMax: 1_000,
  connectionsPerSecondMax: 1_000,
  pendingConnectionsMax: 256,
  dialMs: 15_000,
  handshakeMs: 5_000,
  frameMs: 30_000,
  pingMs: 5_000,
  silenceMs: 20_000,
  redialMsMin: 50,
  redialMsMax: 1_000,
};

/**
 * Fills in defaults and checks the relations between limits.
 * @throws NarsesError CONFIG_INVALID naming the limit.
 */
export function resolveLimits(given: Partial<NetworkLimits> = {}): NetworkLimits {
  const limits: NetworkLimits = { ...DEFAULT_LIMITS, ...given };
  const invalid = (field: string, problem: string): NarsesError =>
    new NarsesError("CONFIG_INVALID", `network limits: ${field} ${problem}`, { field: `limits.${field}` });
  for (const [field, value] of Object.entries(limits) as [string, number][]) {
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(field, `must be an integer of at least 1, got ${String(value)}`);
  }
  // A queue that cannot hold the largest frame (and its 4-byte length) would never send it.
  if (limits.replicaQueueBytesMax < limits.replicaFrameBytesMax + 4) {
    throw invalid("replicaQueueBytesMax", `must hold at least one frame: replicaFrameBytesMax + 4 = ${limits.replicaFrameBytesMax + 4}`);
  }
  if (limits.replicaFrameBytesMax > 0x7fff_ffff) throw invalid("replicaFrameBytesMax", "must be below 2 GiB");
  if (limits.clientFrameBytesMax > 0x7fff_ffff) throw invalid("clientFrameBytesMax", "must be below 2 GiB");
  if (limits.silenceMs < 2 * limits.pingMs) throw invalid("silenceMs", `must be at least twice pingMs = ${limits.pingMs}`);
  if (limits.redialMsMax < limits.redialMsMin) throw invalid("redialMsMax", `must be at least redialMsMin = ${limits.redialMsMin}`);
  return limits;
}

/** A shared pool of bytes. */
export class Budget {
  readonly max: number;
  #used = 0;

  constructor(max: number) {
    this.max = max;
  }

  get used(): number {
    return this.#used;
  }

  /** False, and nothing taken, when the pool does not have `bytes` left. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.max) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}
