/** Asks the replicas where they stand, until Q have told: before a client may be used, and whenever it needs another session. */
import { NarsesError, type Logger, type ReplicaId } from "@narses/core";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import type { ResolvedOptions } from "./options.ts";
import { createTimed, type Pending } from "./pending.ts";
import { parseSessionAnswer, type SessionAnswer } from "./session-choice.ts";
import { clip, listed } from "./text.ts";

export interface OpeningOptions {
  readonly membership: Membership;
  readonly links: Links;
  readonly options: ResolvedOptions;
  readonly signal: AbortSignal | undefined;
  /** Infinity: it goes on until it has succeeded or {@link Opening.fail}. */
  readonly timeoutMs: number;
  /** No answers are needed, only connections. */
  readonly connectOnly: boolean;
  /** Asks a connected replica. */
  readonly ask: (replica: ReplicaId) => Promise<unknown>;
}

export class Opening {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #timeoutMs: number;
  readonly #connectOnly: boolean;
  readonly #ask: OpeningOptions["ask"];
  readonly #pending: Pending<readonly SessionAnswer[]>;
  readonly #answers = new Map<ReplicaId, SessionAnswer>();
  /** Why a replica's last answer was of no use. */
  readonly #failures = new Map<ReplicaId, string>();
  readonly #timers = new Set<unknown>();

  constructor({ membership, links, options, signal, timeoutMs, connectOnly, ask }: OpeningOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#timeoutMs = timeoutMs;
    this.#connectOnly = connectOnly;
    this.#ask = ask;
    this.#pending = createTimed<readonly SessionAnswer[]>({
      timers: options.timers,
      timeoutMs,
      signal,
      timeoutError: () => this.#timeoutError(),
      onGivenUp: () => this.#clearTimers(),
    });
    // It may fail before anybody waits for it.
    this.#pending.promise.catch(() => undefined);
  }

  /** Resolves with the answers of Q replicas. Rejects with NOT_CONNECTED, TIMEOUT or the reason of the signal. */
  get done(): Promise<readonly SessionAnswer[]> {
    return this.#pending.promise;
  }

  /** Asks the replicas that are connected already. */
  start(): void {
    for (const replica of this.#links.connected) this.onConnected(replica);
  }

  fail(reason: unknown): void {
    this.#clearTimers();
    this.#pending.reject(reason);
  }

  /** The replica is asked even when no answer is needed: it learns where this client's replies go. */
  onConnected(replica: ReplicaId): void {
    this.#ask(replica).then(
      (answer) => this.#onAnswer(replica, answer),
      (error: unknown) => this.#onFailure(replica, error instanceof Error ? error.message : String(error)),
    );
    this.#check();
  }

  #onAnswer(replica: ReplicaId, value: unknown): void {
    const answer = parseSessionAnswer(value);
    if (typeof answer === "string") {
      this.#onFailure(replica, `its answer makes no sense: ${answer}`);
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
    const { replicasNeeded } = this.#options;
    if (this.#pending.settled || this.#links.connected.length < replicasNeeded) return;
    if (!this.#connectOnly && this.#answers.size < this.#membership.quorums.strong) return;
    this.#clearTimers();
    this.#pending.resolve([...this.#answers.values()]);
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
    const timeoutMs = this.#timeoutMs;
    const { connected, missing } = this.#links;
    const notReached = missing.map((replica) => `${replica} (${cluster.replicas[replica]?.addresses.join(", ") ?? ""})`).join(", ");
    if (connected.length < this.#options.replicasNeeded) {
      const text =
        `${connected.length} of ${quorums.n} replicas connected within ${timeoutMs} ms, ${this.#options.replicasNeeded} are needed; ` +
        `not reached: ${notReached}; check that they run and that the cluster file has their addresses`;
      return new NarsesError("NOT_CONNECTED", text, { connected, missing, needed: this.#options.replicasNeeded });
    }
    const failures = [...this.#failures].sort(([a], [b]) => a - b).map(([replica, reason]) => `; replica ${replica}: ${reason}`);
    const text =
      `replicas ${listed([...this.#answers.keys()].sort((a, b) => a - b))} told where they stand within ${timeoutMs} ms, ` +
      `${quorums.strong} are needed to choose a session; connected replicas: ${listed(connected)}${failures.join("")}`;
    return new NarsesError("TIMEOUT", text, { connected, missing, needed: quorums.strong });
  }
}

const log = (logger: Logger, replica: ReplicaId, reason: string): void => logger.debug({ replica, reason: clip(reason) }, "replica did not tell where it stands");
