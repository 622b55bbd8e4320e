/** From the first connection until a client may be used: enough replicas connected, and the first request id known. */
import { NarsesError, type Logger, type ReplicaId } from "@narses/core";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import type { ResolvedOptions } from "./options.ts";
import { createPending, type Pending } from "./pending.ts";
import { nextRequestId, parseSessionAnswer, type SessionAnswer } from "./session-start.ts";
import { clip, listed } from "./text.ts";

export interface OpeningOptions {
  readonly membership: Membership;
  readonly links: Links;
  readonly options: ResolvedOptions;
  readonly signal: AbortSignal | undefined;
  /** Asks a connected replica for the session's state. */
  readonly ask: (replica: ReplicaId) => Promise<unknown>;
}

export class Opening {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #ask: OpeningOptions["ask"];
  readonly #pending: Pending<number>;
  readonly #answers = new Map<ReplicaId, SessionAnswer>();
  /** Why a replica's last answer was of no use. */
  readonly #failures = new Map<ReplicaId, string>();
  readonly #timers = new Set<unknown>();
  #grace: "not started" | "running" | "over" = "not started";

  constructor({ membership, links, options, signal, ask }: OpeningOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#ask = ask;
    this.#pending = createPending<number>({
      timers: options.timers,
      timeoutMs: options.timeouts.connectMs,
      signal,
      timeoutError: () => this.#timeoutError(),
      onGivenUp: () => this.#clearTimers(),
    });
    // It may fail before anybody waits for it.
    this.#pending.promise.catch(() => undefined);
  }

  /** Resolves with the first request id. Rejects with NOT_CONNECTED, TIMEOUT or the reason of the signal. */
  get done(): Promise<number> {
    return this.#pending.promise;
  }

  fail(reason: unknown): void {
    this.#clearTimers();
    this.#pending.reject(reason);
  }

  /** The replica is asked even when the first request id is given: it learns where this client's replies go. */
  onConnected(replica: ReplicaId): void {
    this.#ask(replica).then(
      (answer) => this.#onAnswer(replica, answer),
      (error: unknown) => this.#onFailure(replica, error instanceof Error ? error.message : String(error)),
    );
    this.#check();
  }

  #onAnswer(replica: ReplicaId, value: unknown): void {
    const answer = parseSessionAnswer(value, this.#membership.cluster.parameters.sessionWindow);
    if (typeof answer === "string") {
      this.#onFailure(replica, `its answer is no session state: ${answer}`);
      return;
    }
    this.#failures.delete(replica);
    this.#answers.set(replica, answer);
    this.#check();
  }

  #onFailure(replica: ReplicaId, reason: string): void {
    if (this.#pending.settled) return;
    this.#failures.set(replica, clip(reason));
    log(this.#options.logger, replica, reason);
    this.#after(this.#options.timeouts.retransmitMs, () => {
      if (this.#links.isConnected(replica) && !this.#answers.has(replica)) this.onConnected(replica);
    });
    this.#check();
  }

  #check(): void {
    const { ridStart, replicasNeeded, timeouts } = this.#options;
    const { connected } = this.#links;
    if (this.#pending.settled || connected.length < replicasNeeded) return;
    if (ridStart !== undefined) {
      this.#finish(ridStart);
      return;
    }
    if (this.#answers.size < this.#membership.quorums.strong) return;
    const everyoneSpoke = connected.every((replica) => this.#answers.has(replica) || this.#failures.has(replica));
    if (everyoneSpoke || this.#grace === "over") {
      this.#finish(nextRequestId([...this.#answers.values()], this.#membership.quorums, this.#membership.cluster.parameters.sessionWindow));
    } else if (this.#grace === "not started") {
      this.#grace = "running";
      this.#after(timeouts.sessionGraceMs, () => {
        this.#grace = "over";
        this.#check();
      });
    }
  }

  #finish(ridStart: number): void {
    this.#clearTimers();
    this.#pending.resolve(ridStart);
  }

  #after(ms: number, callback: () => void): void {
    const handle = this.#options.timers.set(ms, () => {
      this.#timers.delete(handle);
      callback();
    });
    this.#timers.add(handle);
  }

  #clearTimers(): void {
    for (const handle of this.#timers) this.#options.timers.clear(handle);
    this.#timers.clear();
  }

  #timeoutError(): NarsesError {
    const { cluster, quorums } = this.#membership;
    const { connectMs } = this.#options.timeouts;
    const { connected, missing } = this.#links;
    const notReached = missing.map((replica) => `${replica} (${cluster.replicas[replica]?.addresses.join(", ") ?? ""})`).join(", ");
    if (connected.length < this.#options.replicasNeeded) {
      const text =
        `${connected.length} of ${quorums.n} replicas connected within ${connectMs} ms, ${this.#options.replicasNeeded} are needed; ` +
        `not reached: ${notReached}; check that they run and that the cluster file has their addresses`;
      return new NarsesError("NOT_CONNECTED", text, { connected, missing, needed: this.#options.replicasNeeded });
    }
    const failures = [...this.#failures].sort(([a], [b]) => a - b).map(([replica, reason]) => `; replica ${replica}: ${reason}`);
    const text =
      `replicas ${listed([...this.#answers.keys()].sort((a, b) => a - b))} told the state of this key's session within ${connectMs} ms, ` +
      `${quorums.strong} are needed to choose a safe request id; connected replicas: ${listed(connected)}${failures.join("")}`;
    return new NarsesError("TIMEOUT", text, { connected, missing, needed: quorums.strong });
  }
}

const log = (logger: Logger, replica: ReplicaId, reason: string): void => logger.debug({ replica, reason: clip(reason) }, "replica did not tell the session's state");
