/** Records what a transport reports, and waits for it: no test sleeps. */
import type { ClientConnection, Logger, LogFields, ReplicaId, TransportHandlers } from "@narses/core";

export const DEADLINE_MS = 10_000;

/** Re-checks a condition whenever something happens. */
export class Watch {
  #waiters = new Set<() => void>();

  changed(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }

  /** Resolves when `condition` holds after some change; rejects, saying `what` was awaited, after the deadline. */
  until(what: string, condition: () => boolean, ms: number = DEADLINE_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#waiters.delete(check);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(check);
        reject(new Error(`waited ${ms} ms in vain for ${what}`));
      }, ms);
      this.#waiters.add(check);
      check();
    });
  }
}

export class Probe extends Watch implements TransportHandlers {
  readonly frames: { from: ReplicaId; frame: Uint8Array }[] = [];
  readonly clientFrames: { client: ClientConnection; frame: Uint8Array }[] = [];
  readonly transitions: string[] = [];
  readonly connected = new Set<ReplicaId>();
  readonly gone: ClientConnection[] = [];
  /** Called for each frame, before it is recorded. */
  onFrame: (from: ReplicaId, frame: Uint8Array) => void = () => undefined;

  onPeerFrame = (from: ReplicaId, frame: Uint8Array): void => {
    this.onFrame(from, frame);
    this.frames.push({ from, frame });
    this.changed();
  };

  onPeer = (replica: ReplicaId, connected: boolean): void => {
    this.transitions.push(`${connected ? "+" : "-"}${replica}`);
    if (connected) this.connected.add(replica);
    else this.connected.delete(replica);
    this.changed();
  };

  onClientFrame = (client: ClientConnection, frame: Uint8Array): void => {
    this.clientFrames.push({ client, frame });
    this.changed();
  };

  onClientGone = (client: ClientConnection): void => {
    this.gone.push(client);
    this.changed();
  };

  // The client side's names for the same things
  get asClient(): { onFrame: (from: ReplicaId, frame: Uint8Array) => void; onReplica: (replica: ReplicaId, connected: boolean) => void } {
    return { onFrame: this.onPeerFrame, onReplica: this.onPeer };
  }

  framesFrom(replica: ReplicaId): Uint8Array[] {
    return this.frames.filter(({ from }) => from === replica).map(({ frame }) => frame);
  }

  untilConnected(...replicas: readonly ReplicaId[]): Promise<void> {
    return this.until(`connections to ${replicas.join(", ")}`, () => replicas.every((replica) => this.connected.has(replica)));
  }
}

export class LogProbe extends Watch implements Logger {
  readonly lines: string[] = [];

  debug = (fields: LogFields, message: string): void => this.#add("debug", fields, message);
  info = (fields: LogFields, message: string): void => this.#add("info", fields, message);
  warn = (fields: LogFields, message: string): void => this.#add("warn", fields, message);
  error = (fields: LogFields, message: string): void => this.#add("error", fields, message);

  /** Resolves when a line matches. */
  untilLine(pattern: RegExp, ms?: number): Promise<void> {
    return this.until(`a log line like ${String(pattern)}`, () => this.lines.some((line) => pattern.test(line)), ms).catch((problem: unknown) => {
      throw new TypeError(`${String(problem)}; got\n${this.lines.join("\n")}`);
    });
  }

  #add(level: string, _fields: LogFields, message: string): void {
    this.lines.push(`${level}: ${message}`);
    this.changed();
  }
}
