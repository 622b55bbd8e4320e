/** The client: connects the transport's frames to sessions and calls, and is what an application holds. */
import {
  InvariantViolation,
  NarsesError,
  assertNever,
  verdict,
  type ClientId,
  type Operation,
  type Rejection,
  type ReplicaId,
} from "@narses/core";
import { hasher } from "@narses/crypto";
import { clientIdOf } from "@narses/wire";
import { fastAnswer, type Answered, type OrderedAnswer, type QueryOptions } from "./answer.ts";
import { encodeOperation, splitIntoUnits } from "./bundle-size.ts";
import { Calls, type CallOptions } from "./calls.ts";
import { fastRead, type Agreed } from "./fast-read.ts";
import { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import { Opening, type OpeningOptions } from "./opening.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Submitted } from "./unit.ts";
import { RejectionCounter, type RejectionCounts } from "./rejections.ts";
import { chooseSession, randomPart } from "./session-choice.ts";
import { staleRead, type ReadOptions, type StaleAnswer } from "./stale-read.ts";
import { Session, type SessionStatus, type SubmitOptions } from "./session.ts";

export interface ClientStatus extends SessionStatus {
  readonly client: ClientId;
  /** Ascending. */
  readonly connected: readonly ReplicaId[];
  /** Ascending. */
  readonly missing: readonly ReplicaId[];
  readonly callsWaiting: number;
  /** What was not believed, by replica and reason. */
  readonly rejected: Readonly<Record<number, RejectionCounts>>;
}

export interface Client {
  readonly id: ClientId;
  /**
   * Has `operation` (any msgpack value) ordered and executed, exactly once.
   * @throws NarsesError APP_REJECTED or NOT_EXECUTED when it was ordered in vain (certified: `data` has code, message, receipt,
   * seq, block), NOT_EXECUTED when W replicas refuse to order it (`data` has code, refusals), IN_DOUBT when the cluster evicted
   * the session before the answer came, REQUEST_TOO_LARGE, OVERLOADED, TIMEOUT, CLOSED; `signal.reason` when aborted; TypeError
   * or RangeError for a value that msgpack cannot carry.
   */
  submit(operation: unknown, options?: SubmitOptions): Promise<Submitted>;
  /**
   * A linearizable read: as `submit`, but the state machine's `query` answers. Ordered unless `consistency` says "fast"; an answer
   * says which of the two it is, and at which slot.
   */
  query(question: unknown, options?: QueryOptions & { readonly consistency?: "ordered" }): Promise<OrderedAnswer>;
  query(question: unknown, options: QueryOptions): Promise<Answered>;
  /**
   * The value of a key of the application's state after some block, proven by one replica and believed because of the proof: stale by
   * up to a checkpoint interval, and portable. A key, not a question: see the state machine for where it keeps what.
   * @throws NarsesError UNAVAILABLE when nobody proves a state that is new enough, CLOSED; `signal.reason` when aborted.
   */
  read(key: string, options?: ReadOptions): Promise<StaleAnswer>;
  /**
   * Submits operations that execute in the order given, in as few bundles as they fit, one bundle after the other. The
   * answers are in that order; each is judged alone. When one may still execute (TIMEOUT, abort, CLOSED) the bundles after
   * it are not sent, and share its reason.
   * @throws NarsesError REQUEST_TOO_LARGE before anything is sent.
   */
  submitMany(operations: readonly unknown[], options?: SubmitOptions): Promise<readonly PromiseSettledResult<Submitted>[]>;
  /**
   * Asks one replica; its answer is not certified by any other.
   * @throws NarsesError CALL_FAILED, NOT_CONNECTED, TIMEOUT, OVERLOADED, CLOSED; `signal.reason` when aborted.
   */
  call(replica: number, method: string, params?: unknown, options?: CallOptions): Promise<unknown>;
  status(): ClientStatus;
  /** Outstanding operations reject with CLOSED; those already sent may still execute. Safe to call again. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const FINAL_CODES: ReadonlySet<string> = new Set(["APP_REJECTED", "NOT_EXECUTED", "IN_DOUBT"]);

/** Is the fate of the operation settled, so that it cannot execute later? */
const isFinal = (reason: unknown): boolean => reason instanceof NarsesError && FINAL_CODES.has(reason.code);

export class ConnectedClient implements Client {
  readonly id: ClientId;
  readonly #membership: Membership;
  readonly #options: ResolvedOptions;
  readonly #links: Links;
  readonly #calls: Calls;
  readonly #rejections = new RejectionCounter();
  /** Who is asking the replicas where they stand. */
  readonly #openings = new Set<Opening>();
  #session: Session | undefined;
  #fastReads = 0;
  #fastTurn = 0;
  #closed: Error | undefined;
  #stopped: Promise<void> | undefined;

  constructor(membership: Membership, options: ResolvedOptions) {
    this.id = clientIdOf(hasher, options.key.publicKey);
    this.#membership = membership;
    this.#options = options;
    this.#links = new Links(options.transport, membership.replicas);
    this.#calls = new Calls({
      membership,
      links: this.#links,
      timers: options.timers,
      timeoutMs: options.timeouts.callMs,
      max: options.limits.calls,
    });
  }

  /** Once, before anything else. Stops the transport when it fails. */
  async open(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const { session: given, timeouts } = this.#options;
    const opening = this.#ask(undefined, { timeoutMs: timeouts.connectMs, signal, connectOnly: given !== undefined });
    try {
      this.#options.transport
        .start({ onFrame: (from, frame) => this.#onFrame(from, frame), onReplica: (replica, connected) => this.#onReplica(replica, connected) })
        .catch((error: unknown) => opening.fail(error));
      const answers = await opening.done;
      const session = given ?? chooseSession(answers, this.#membership.quorums, randomPart());
      this.#session = new Session({
        membership: this.#membership,
        links: this.#links,
        options: this.#options,
        session,
        ask: (current, timeoutMs) => {
          const asking = this.#ask(current, { timeoutMs, signal: undefined, connectOnly: false });
          asking.start();
          return asking.done;
        },
        onForged: (from, reason) => this.#reject(from, reason),
      });
      this.#options.logger.info({ client: this.id, connected: this.#links.connected.length, session }, "connected");
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async submit(operation: unknown, options: SubmitOptions = {}): Promise<Submitted> {
    return this.#submitOne("apply", operation, options);
  }

  query(question: unknown, options?: QueryOptions & { readonly consistency?: "ordered" }): Promise<OrderedAnswer>;
  query(question: unknown, options: QueryOptions): Promise<Answered>;
  async query(question: unknown, options: QueryOptions = {}): Promise<Answered> {
    const agreed = options.consistency === "fast" ? await this.#readFast(question, options.signal) : undefined;
    if (agreed !== undefined && typeof agreed !== "string") return fastAnswer(agreed);
    const submitted = await this.#submitOne("query", question, options);
    return { ...submitted, consistency: "ordered", ...(agreed !== undefined && { fallback: agreed }) };
  }

  async submitMany(operations: readonly unknown[], options: SubmitOptions = {}): Promise<readonly PromiseSettledResult<Submitted>[]> {
    const encoded = operations.map((operation) => encodeOperation("apply", operation));
    const { parameters } = this.#membership.cluster;
    const operationsMax = Math.min(parameters.bundleOperationsMax, this.#options.limits.outstanding);
    const units = splitIntoUnits(encoded, { operationsMax, bundleBytesMax: parameters.bundleBytesMax });
    const answers: PromiseSettledResult<Submitted>[] = [];
    for (const unit of units) {
      const open = answers.find((answer) => answer.status === "rejected" && !isFinal(answer.reason));
      answers.push(...(open === undefined ? await this.#openSession().enqueue(unit, options) : unit.map(() => open)));
    }
    return answers;
  }

  async call(replica: number, method: string, params: unknown = {}, options: CallOptions = {}): Promise<unknown> {
    const to = this.#membership.replicas[replica];
    if (to === undefined) throw new RangeError(`replica must be from 0 to ${this.#membership.quorums.n - 1}, got ${replica}`);
    if (this.#closed !== undefined) throw this.#closed;
    return this.#calls.call(to, method, params, options);
  }

  status(): ClientStatus {
    return {
      client: this.id,
      ...this.#openSession().status(),
      connected: this.#links.connected,
      missing: this.#links.missing,
      callsWaiting: this.#calls.size,
      rejected: this.#rejections.snapshot(),
    };
  }

  close(): Promise<void> {
    this.#shut(new NarsesError("CLOSED", "the client was closed; connect again to go on"));
    this.#stopped ??= this.#options.transport.stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async read(key: string, options: ReadOptions = {}): Promise<StaleAnswer> {
    if (this.#closed !== undefined) throw this.#closed;
    const { connected } = this.#links;
    const { signal } = options;
    const first = this.#fastTurn++ % Math.max(1, connected.length);
    return staleRead({
      membership: this.#membership,
      key,
      wanted: options,
      replicas: [...connected.slice(first), ...connected.slice(0, first)],
      ask: (replica) => this.#calls.call(replica, "prove", { key }, signal === undefined ? {} : { signal }),
      nowMs: () => this.#options.timers.now(),
      onInvalid: (replica, problem) => this.#reject(replica, { code: "CERTIFICATE_INVALID", detail: `stale read: ${problem}` }),
    });
  }

  /** What Q replicas agree on, or why the question must be ordered. @throws CLOSED; `signal.reason` when aborted. */
  async #readFast(question: unknown, signal: AbortSignal | undefined): Promise<Agreed | string> {
    const { quorums, cluster } = this.#membership;
    const { timeouts, limits } = this.#options;
    const { payload } = encodeOperation("query", question);
    if (!cluster.parameters.fastReads) return "this cluster has no fast reads";
    if (this.#fastReads >= limits.calls) return `${this.#fastReads} fast reads are without an answer`;
    signal?.throwIfAborted();
    this.#fastReads++;
    const agreed = await fastRead({
      quorums,
      connected: this.#links.connected,
      turn: this.#fastTurn++,
      ask: (replica, full) => this.#calls.ask(replica, "read", { question: payload, full }, { timeoutMs: timeouts.fastReadMs, ...(signal && { signal }) }),
      onInvalid: (replica, problem) => this.#reject(replica, { code: "CERTIFICATE_INVALID", detail: `fast read: ${problem}` }),
    });
    this.#fastReads--;
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    return agreed;
  }

  async #submitOne(kind: Operation["kind"], value: unknown, options: SubmitOptions): Promise<Submitted> {
    const operation = encodeOperation(kind, value);
    const { parameters } = this.#membership.cluster;
    const [unit] = splitIntoUnits([operation], { operationsMax: 1, bundleBytesMax: parameters.bundleBytesMax });
    const [answer] = await this.#openSession().enqueue(unit ?? [], options);
    if (answer === undefined) throw new InvariantViolation("one operation makes one unit");
    if (answer.status === "rejected") throw answer.reason;
    return answer.value;
  }

  #openSession(): Session {
    if (this.#session === undefined) throw new InvariantViolation("the client is used before it is open");
    return this.#session;
  }

  #ask(session: number | undefined, how: Pick<OpeningOptions, "timeoutMs" | "signal" | "connectOnly">): Opening {
    const opening = new Opening({
      membership: this.#membership,
      links: this.#links,
      options: this.#options,
      ...how,
      ask: (replica) => this.#askReplica(replica, session),
    });
    this.#openings.add(opening);
    opening.done.catch(() => undefined).finally(() => this.#openings.delete(opening));
    if (this.#closed !== undefined) opening.fail(this.#closed);
    return opening;
  }

  #askReplica(replica: ReplicaId, session: number | undefined): Promise<unknown> {
    return this.#calls.ask(replica, "session", { client: this.id, ...(session !== undefined && { session }) }, {});
  }

  #onReplica(replica: ReplicaId, connected: boolean): void {
    if (this.#closed !== undefined || !this.#links.isMember(replica) || !this.#links.change(replica, connected)) return;
    this.#options.logger.debug({ replica, connected }, connected ? "replica connected" : "replica disconnected");
    if (!connected) {
      this.#calls.onDisconnected(replica);
      this.#session?.onDisconnected(replica);
      return;
    }
    for (const opening of this.#openings) opening.onConnected(replica);
    // The replica learns again where this client's replies go.
    if (this.#openings.size === 0) {
      this.#askReplica(replica, undefined).catch((error: unknown) => this.#options.logger.debug({ replica, error: String(error) }, "replica did not tell where it stands"));
    }
    this.#session?.onConnected(replica);
  }

  #onFrame(from: ReplicaId, frame: Uint8Array): void {
    if (this.#closed !== undefined || !this.#links.isMember(from) || this.#session?.isLate(from, frame) === true) return;
    const decoded = this.#membership.codec.decodeToClient(frame);
    if (!decoded.ok) {
      this.#reject(from, decoded.rejection);
      return;
    }
    const message = decoded.value;
    switch (message.type) {
      case "reply":
        this.#believing(from, (session) => session.onReply(from, message.reply));
        return;
      case "executed":
        this.#believing(from, (session) => session.onExecuted(from, message.bundleDigest, message.seq, message.leafIndex));
        return;
      case "refused":
        this.#session?.onRefused(from, message.bundleDigest, message.code, message.detail);
        return;
      case "call-result":
        if (!this.#calls.onResult(from, message.id, message.ok, message.value)) {
          this.#reject(from, { code: "UNSOLICITED", detail: `result of call ${message.id}, which nobody waits for` });
        }
        return;
      default:
        assertNever(message);
    }
  }

  /** Hands the session a word of `from` that may complete an answer. */
  #believing(from: ReplicaId, tell: (session: Session) => Rejection | undefined | void): void {
    if (this.#session === undefined) return;
    try {
      const reason = tell(this.#session);
      if (reason !== undefined) this.#reject(from, reason);
    } catch (error) {
      if (!(error instanceof InvariantViolation)) throw error;
      this.#options.logger.error({ replica: from, error: error.message }, "the cluster contradicts itself: client stopped");
      this.#shut(error);
      this.close().catch((failure: unknown) => this.#options.logger.warn({ error: String(failure) }, "the transport did not stop"));
    }
  }

  /** Logged when the count is a power of two: a replica cannot fill the log. */
  #reject(from: ReplicaId, reason: Rejection): void {
    const count = this.#rejections.count(from, reason);
    if (!Number.isInteger(Math.log2(count))) return;
    const log = verdict(reason) === "misbehaviour" ? "warn" : "debug";
    this.#options.logger[log]({ replica: from, code: reason.code, detail: reason.detail, count }, "message not believed");
  }

  #shut(reason: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    for (const opening of this.#openings) opening.fail(reason);
    this.#session?.close(reason);
    this.#calls.close(reason);
  }
}
