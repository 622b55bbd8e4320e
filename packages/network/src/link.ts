/**
 * Our own sending connection to one replica: dials until it is up, shakes hands, dials again when it breaks. Each side of
 * a pair of replicas owns one link; no connection is ever shared, so there is no simultaneous open to resolve.
 */
import type { Libp2p } from "@libp2p/interface";
import type { Logger } from "@narses/core";
import { describe, reset } from "./describe.ts";
import { decodeHello, encodeHello, helloMismatch, HELLO_BYTES_MAX, type Hello } from "./hello.ts";
import type { Member } from "./members.ts";
import { Wire, type Counters, type WireContext } from "./wire.ts";

/** A link that lived this long was good: the next dial after it is fast again. */
const STEADY_MS = 2_000;
/** A dial younger than this is not replaced when the peer shows itself. */
const DIAL_STALE_MS = 1_000;

interface LinkOptions {
  readonly node: Libp2p;
  readonly context: WireContext;
  readonly member: Member;
  readonly protocol: string;
  readonly own: Hello;
  readonly counters: Counters;
  readonly queueBytesMax: number;
  readonly sendBytesMax: number;
  readonly receiveBytesMax: number;
  readonly logger: Logger;
  /** The link can be used, or no longer can: called on transitions only. `instance` names the peer's process. */
  readonly onUp: (instance: string) => void;
  readonly onDown: () => void;
  readonly onFrame: (frame: Uint8Array) => void;
}

type State = "idle" | "waiting" | "dialling" | "greeting" | "up" | "stopped";

export class Link {
  readonly #options: LinkOptions;
  #state: State = "idle";
  #wire: Wire | undefined;
  #instance: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dial: { readonly abort: AbortController; readonly startedMs: number } | undefined;
  #failures = 0;
  #upSinceMs = 0;
  #problem: string | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get up(): boolean {
    return this.#state === "up";
  }

  /** The peer's process at the other end; undefined while down. */
  get instance(): string | undefined {
    return this.#instance;
  }

  get queuedBytes(): number {
    return this.#wire?.queuedBytes ?? 0;
  }

  /** Why the last attempt failed, or the last connection ended; undefined while up. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    if (this.#state === "idle") this.#wait(0);
  }

  send(frame: Uint8Array): boolean {
    return this.#state === "up" && this.#wire !== undefined && this.#wire.send(frame);
  }

  /** The peer has just shown that it is alive: do not sit out a delay, nor a dial to where nobody answered. */
  poke(): void {
    if (this.#state === "waiting") this.#wait(0);
    else if (this.#state === "dialling" && this.#dial !== undefined && performance.now() - this.#dial.startedMs > DIAL_STALE_MS) {
      this.#failures = 0;
      this.#dial.abort.abort();
    }
  }

  /** Ends the present connection, if any; the link dials again. */
  drop(reason: string): void {
    this.#wire?.close(reason);
  }

  async stop(): Promise<void> {
    const wire = this.#wire;
    this.#state = "stopped";
    clearTimeout(this.#timer);
    this.#dial?.abort.abort();
    await wire?.finish("stopped");
  }

  #wait(ms: number): void {
    this.#state = "waiting";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), ms);
  }

  #retry(reason: string): void {
    if (this.#state === "stopped") return;
    const { redialMsMin, redialMsMax } = this.#options.context.limits;
    // Doubles with every fourth failure: processes started together find each other soon (no wait is a quarter of the time that
    // has passed), and a dead one costs little.
    const delay = Math.min(redialMsMax, redialMsMin * 2 ** Math.min(this.#failures / 4, 20));
    const { logger, member } = this.#options;
    const fields = { replica: member.replica, reason, failures: this.#failures };
    // Once aloud for each reason: a replica that is down for a day is not news a hundred thousand times.
    if (reason === this.#problem) logger.debug(fields, `cannot reach replica ${member.replica}: ${reason}`);
    else logger.info(fields, `cannot reach replica ${member.replica}: ${reason}; dialling again until it answers`);
    this.#problem = reason;
    this.#failures += 1;
    this.#wait(delay * (0.5 + 0.5 * Math.random()));
  }

  /** Never rejects. */
  async #connect(): Promise<void> {
    const { node, member, protocol, context } = this.#options;
    const dial = { abort: new AbortController(), startedMs: performance.now() };
    this.#state = "dialling";
    this.#dial = dial;
    const { signal } = dial.abort;
    let overdue = false;
    const timeout = setTimeout(() => {
      overdue = true;
      dial.abort.abort();
    }, context.limits.dialMs);
    try {
      const connection = await node.dial([...member.addresses], { signal, force: true });
      try {
        const stream = await connection.newStream(protocol, { signal });
        if (this.#stopped()) return reset(connection, "stopped");
        this.#greet(new Wire(context, {
          connection,
          stream,
          counters: this.#options.counters,
          queueBytesMax: this.#options.queueBytesMax,
          sendBytesMax: this.#options.sendBytesMax,
          onClose: (reason) => this.#closed(reason),
        }, HELLO_BYTES_MAX));
      } catch (problem) {
        reset(connection, describe(problem));
        throw problem;
      }
    } catch (problem) {
      // Whoever listens and does not greet: a stopped or hanging process, whose kernel still takes connections; or packets that are lost.
      this.#retry(overdue ? `no answer to a connection for ${context.limits.dialMs / 1_000} s: its process may hang, or the network loses what is sent` : describe(problem));
    } finally {
      clearTimeout(timeout);
      this.#dial = undefined;
    }
  }

  #greet(wire: Wire): void {
    this.#state = "greeting";
    this.#wire = wire;
    wire.onFrame = (frame) => this.#greeted(wire, frame);
    wire.send(encodeHello(this.#options.own));
    wire.run();
  }

  #greeted(wire: Wire, frame: Uint8Array): void {
    const { own, member, logger, context } = this.#options;
    const decoded = decodeHello(frame);
    const refusal = decoded.ok ? helloMismatch(own, decoded.hello, { role: "replica", replica: member.replica }) : decoded.rejection;
    if (!decoded.ok || refusal !== undefined) {
      const reason = refusal?.detail ?? "handshake";
      if (reason !== this.#problem) logger.warn({ replica: member.replica, reason }, `refused replica ${member.replica}: ${reason}`);
      wire.close(reason);
      return;
    }
    wire.open(this.#options.receiveBytesMax);
    wire.onFrame = this.#options.onFrame;
    this.#state = "up";
    this.#upSinceMs = context.clock.ms;
    this.#problem = undefined;
    this.#instance = decoded.hello.instance;
    this.#options.onUp(decoded.hello.instance);
  }

  #closed(reason: string): void {
    const wasUp = this.#state === "up";
    this.#wire = undefined;
    this.#instance = undefined;
    if (wasUp && this.#options.context.clock.ms - this.#upSinceMs >= STEADY_MS) this.#failures = 0;
    this.#retry(reason);
    if (wasUp) this.#options.onDown();
  }

  #stopped(): boolean {
    return this.#state === "stopped";
  }
}
