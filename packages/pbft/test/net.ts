/**
 * A cluster of engines on a network measured in ticks: real engines, no signatures, disks that are instant. A test says how long
 * each message takes (or that it is lost), who is down, and what a faulty replica does to what it sends.
 */
import {
  type Effect, type Input, mintVerified, type OwnMessage, type Parameters, type PeerMessage, type ReplicaId, replicaId, type SeqNum, type Signed, type SignedBody, type StableCheckpoint,
  type View,
} from "@narses/core";
import { createEngine } from "../src/index.ts";
import { bundle, configOf, EPOCH, rootOf, tools, WALL_MS } from "./helpers.ts";

/** Ticks a message takes; undefined: lost. */
export type Delay = (at: { readonly from: number; readonly to: number; readonly tick: number; readonly message: PeerMessage }) => number | undefined;

export interface NetOptions {
  readonly n?: number;
  readonly f?: number;
  readonly parameters?: Partial<Parameters>;
  readonly delay?: Delay;
  /** Milliseconds by which a replica's wall clock is off. */
  readonly clock?: (id: number) => number;
}

const TICK_MS = 10;
const TRANSFER_TICKS = 4;

export class Net {
  tick = 0;
  readonly engines: readonly ReturnType<typeof createEngine>[];
  readonly down = new Set<number>();
  readonly effects: { readonly id: number; readonly tick: number; readonly effect: Effect }[] = [];
  /** Slots executed, by replica: the digests in order. */
  readonly executed: readonly Extract<Effect, { type: "execute" }>[][];
  delay: Delay;
  private readonly options: NetOptions;
  /** The state transfer under way, by replica. */
  private readonly transfers = new Map<number, { readonly target: StableCheckpoint; readonly at: number }>();
  private readonly arrivals = new Map<number, { readonly to: number; readonly input: Input }[]>();

  constructor(options: NetOptions = {}) {
    const { n = 4, f, parameters } = options;
    this.options = options;
    this.delay = options.delay ?? (() => 1);
    this.executed = Array.from({ length: n }, () => []);
    this.engines = Array.from({ length: n }, (_, id) => createEngine(configOf(id, n, { statusIntervalTicks: 5, ...parameters }, f), tools));
    this.engines.forEach((_, id) => this.input(id, { type: "start", wallMs: this.wallMs(id) }));
  }

  get ids(): readonly number[] {
    return this.engines.map((_, id) => id);
  }

  view(id: number): View {
    return this.status(id).view;
  }

  status(id: number): ReturnType<ReturnType<typeof createEngine>["status"]> {
    return (this.engines[id] as ReturnType<typeof createEngine>).status();
  }

  /** A client's bundle reaches these replicas (all of them). */
  request(name: string, ids: readonly number[] = this.ids): void {
    for (const id of ids) this.input(id, { type: "request", bundle: mintVerified(bundle(name)) });
  }

  /** Whether replica `id` has executed this bundle. */
  has(id: number, name: string): boolean {
    return this.executed[id]?.some(({ batch }) => batch?.bundles.some((b) => b.digest === bundle(name).digest)) ?? false;
  }

  /** Lets time pass; stops early when `until` holds. Returns the ticks it took. */
  run(ticks: number, until: () => boolean = () => false): number {
    for (let passed = 0; passed < ticks; passed++) {
      if (until()) return passed;
      this.tick++;
      for (const { to, input } of this.arrivals.get(this.tick) ?? []) this.input(to, input);
      this.arrivals.delete(this.tick);
      for (const [id, { target, at }] of [...this.transfers]) if (at <= this.tick) this.install(id, target);
      for (const id of this.ids) this.input(id, { type: "tick", wallMs: this.wallMs(id) });
    }
    return ticks;
  }

  send(from: number, to: number, message: PeerMessage): void {
    const wait = this.delay({ from, to, tick: this.tick, message });
    if (wait === undefined) return;
    const at = this.tick + Math.max(1, wait);
    const list = this.arrivals.get(at) ?? [];
    this.arrivals.set(at, [...list, { to, input: { type: "message", from: replicaId(from), message: mintVerified(message) } }]);
  }

  private wallMs(id: number): number {
    return WALL_MS + this.tick * TICK_MS + (this.options.clock?.(id) ?? 0);
  }

  input(id: number, first: Input): void {
    const inputs: Input[] = [first];
    for (let input = inputs.shift(); input !== undefined; input = inputs.shift()) {
      if (this.down.has(id)) return;
      if (input.type === "message" && this.engines[id]?.screen(input.message) !== undefined) continue;
      const effects = this.engines[id]?.step(input) ?? [];
      const votes = effects.flatMap((e) => (e.type === "vote" ? [e.vote] : []));
      if (votes.length > 0) inputs.push(this.say(id, { type: "votes", epoch: EPOCH, sender: replicaId(id), votes }));
      for (const effect of effects) {
        this.effects.push({ id, tick: this.tick, effect });
        inputs.push(...this.perform(replicaId(id), effect));
      }
    }
  }

  /** Signs, sends to every other replica, and gives back as `own`. */
  private say(id: number, body: SignedBody, batch?: Extract<PeerMessage, { type: "pre-prepare" }>["batch"]): Input {
    const signed = { body, bytes: new Uint8Array(4) };
    const message = { type: body.type, signed, ...(batch && { batch }) } as PeerMessage;
    for (const to of this.ids) if (to !== id) this.send(id, to, message);
    return { type: "own", signed: signed as OwnMessage };
  }

  private perform(id: ReplicaId, effect: Effect): readonly Input[] {
    const head = { epoch: EPOCH, sender: id };
    const sign = <B extends SignedBody>(body: B): Signed<B> => ({ body, bytes: new Uint8Array(4) });
    switch (effect.type) {
      case "pre-prepare":
        return [this.say(id, { ...head, type: "pre-prepare", view: effect.view, seq: effect.seq, digest: effect.digest }, effect.batch)];
      case "checkpoint":
        return [this.say(id, { ...head, type: "checkpoint", seq: effect.seq, root: effect.root })];
      case "view-change":
        return [this.say(id, { ...head, type: "view-change", view: effect.view, stable: effect.stable, prepared: effect.prepared })];
      case "new-view": {
        const prePrepares = effect.proposals.map(({ seq, digest }) => sign({ ...head, type: "pre-prepare" as const, view: effect.view, seq, digest }));
        return [this.say(id, { ...head, type: "new-view", view: effect.view, viewChanges: effect.viewChanges, prePrepares })];
      }
      case "send":
        for (const to of effect.to === "all" ? this.ids : [effect.to]) if (to !== id) this.send(id, to, effect.message);
        return [];
      case "send-decisions":
        for (const { seq, certificate, batch } of this.executed[id] ?? []) {
          if (seq >= effect.first && seq <= effect.last) this.send(id, effect.to, { type: "decision", certificate, batch });
        }
        return [];
      case "transfer":
        this.transfers.set(id, { target: effect.target, at: this.tick + TRANSFER_TICKS });
        return [];
      case "execute":
        return this.execute(id, effect, effect.seq);
      default:
        return [];
    }
  }

  private execute(id: number, effect: Extract<Effect, { type: "execute" }>, seq: SeqNum): readonly Input[] {
    this.executed[id]?.push(effect);
    const done: Input = { type: "executed", seq, obsolete: [] };
    return effect.checkpoint ? [done, { type: "checkpointed", seq, root: rootOf(seq) }] : [done];
  }

  /** State as of a certified checkpoint, from whoever executed that far. */
  private install(id: number, stable: StableCheckpoint): void {
    const donor = this.executed.find((list) => list.some(({ seq }) => seq === stable.seq));
    if (donor === undefined) throw new RangeError(`nobody executed the certified checkpoint ${stable.seq}`);
    this.transfers.delete(id);
    const covered = donor.filter(({ seq }) => seq <= stable.seq);
    this.executed[id]?.splice(0, Infinity, ...covered);
    const obsolete = covered.flatMap(({ batch }) => batch?.bundles.map(({ digest }) => digest) ?? []);
    this.input(id, { type: "transferred", stable, obsolete });
  }

  /** The safety side of every story: no two replicas executed different batches at one number. @throws otherwise. */
  agree(): void {
    const decided = new Map<number, string>();
    for (const list of this.executed) for (const { seq, certificate } of list) {
      if ((decided.get(seq) ?? certificate.digest) !== certificate.digest) throw new RangeError(`two digests are executed at ${seq}`);
      decided.set(seq, certificate.digest);
    }
  }
}
