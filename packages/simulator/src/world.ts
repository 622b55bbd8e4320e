/**
 * A cluster in one thread: nodes, links, clients, oracles and the trace, on one virtual clock. What the nodes are made of, and
 * how messages travel between them, is said by who extends it.
 */
import type { Bundle, ClientId, Effect, EngineConfig, Input, ReplicaId, Signed, SignedBody } from "@narses/core";
import { replicaId } from "@narses/core";
import type { Powers } from "./adversaries/policy.ts";
import type { Application } from "./application.ts";
import type { Answer, SimBlock, State } from "./app.ts";
import { FaultBudget, isAwaited, type Fault } from "./budget.ts";
import { type ClientBytes, type ClientOptions, SimClient } from "./clients/client.ts";
import { type Habit, isServed, needsBytes } from "./clients/habits.ts";
import { HostileClient } from "./clients/hostile.ts";
import { linkId, policyId } from "./coverage/catalogue.ts";
import { Coverage } from "./coverage/coverage.ts";
import { twinWatch } from "./coverage/twin-watch.ts";
import { formatEffect, formatInput } from "./format.ts";
import type { ClientKey, Keyring, Toolkit } from "./keyring.ts";
import { Network } from "./links/network.ts";
import type { SimNode, WatchedDisk, WatchedLog } from "./node.ts";
import type { RunPlan } from "./options.ts";
import { createOracles } from "./oracles/index.ts";
import type { Oracle } from "./oracles/oracle.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import { Trace } from "./trace.ts";
import type { Violation } from "./violation.ts";

/** Network endpoints of clients start here; nodes use their index. */
export const CLIENT_ENDPOINT = 1_000;
/** Time a transport takes to notice a connection lost or made. */
const NOTICE_MAX_US = 20_000;
/** The status of a replica is looked at after every so manyth turn: it is the costliest thing to ask. */
const STATUS_SAMPLING = 16;
/** Behind the name of a node. */
const MARK: Readonly<Record<Fault, string>> = { none: "", liar: "!", skewed: "", wiped: "", amnesiac: "~", rotten: "%" };

/** Counters of what happened, for reports and coverage. */
export interface Counters {
  executedSlots: number;
  viewsEntered: number;
  viewsLeft: number;
  messages: number;
  rejected: number;
  crashes: number;
  stableCheckpoints: number;
  /** What the nemesis did, by name. */
  readonly acts: Map<string, number>;
}

export abstract class World {
  readonly plan: RunPlan;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly trace: Trace;
  readonly coverage: Coverage = new Coverage();
  readonly budget: FaultBudget;
  readonly nodes: SimNode[] = [];
  readonly clients: SimClient[] = [];
  readonly counters: Counters = { executedSlots: 0, viewsEntered: 0, viewsLeft: 0, messages: 0, rejected: 0, crashes: 0, stableCheckpoints: 0, acts: new Map() };
  /** Bundles any replica has seen: material for Byzantine primaries. */
  readonly bundles: Bundle[] = [];
  /** Twins: which of them a node talks to; unset is all. */
  private readonly hidden = new Set<string>();
  private readonly told = new Map<SimNode, Map<ReplicaId, boolean>>();
  protected readonly oracles: readonly Oracle[];
  private readonly noticeRandom: Random;
  private readonly watchTwins: ReturnType<typeof twinWatch> = twinWatch(() => this.coverage.sometimes(policyId("twins")));
  private turns = 0;
  /** Of keys that clients made besides their own. */
  protected readonly owners: Map<ClientId, SimClient> = new Map<ClientId, SimClient>();
  /** What an oracle, or an exception, said while nobody could be told. Ends the run before the next event. */
  failure: Violation | undefined;
  /** Nothing breaks any more. */
  healed = false;
  /** The nemesis lies in wait for something that a node does; one that has struck is gone. */
  readonly ambushes: Set<(node: SimNode, effect: Effect) => void> = new Set<(node: SimNode, effect: Effect) => void>();
  abstract readonly keyring: Keyring;

  constructor(plan: RunPlan, toolkit: Toolkit, application?: Application) {
    this.plan = plan;
    this.random = plan.randomOf?.(`seed ${plan.seed}`) ?? new Random(`seed ${plan.seed}`);
    this.scheduler = new Scheduler(this.random.split("ties"));
    this.network = new Network(this.scheduler, this.random.split("network"), (fault) => this.coverage.sometimes(linkId(fault)));
    this.trace = new Trace(plan.traceLines);
    this.budget = new FaultBudget(plan.byzantine + plan.wipes);
    this.noticeRandom = this.random.split("notice");
    const { n, f } = plan.quorums;
    const allCorrect = plan.byzantine === 0 && plan.habits.length === 0;
    const isCorrect = (id: ReplicaId): boolean => this.correct.some((node) => node.id === id);
    const { parameters, oracles } = plan;
    this.oracles = createOracles({ n, f, parameters, toolkit, allCorrect, isCorrect, now: () => this.scheduler.now, coverage: this.coverage, application, judges: oracles });
  }

  abstract configOf(id: ReplicaId): EngineConfig;
  protected abstract makeNode(index: number, id: ReplicaId, name: string, fault: Fault): SimNode;
  /** From a client to whatever goes by the replica's id. */
  abstract sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void;
  /** Its transport reports that it lost or gained the connection to a peer. */
  protected abstract reportConnection(node: SimNode, peer: ReplicaId, connected: boolean): void;
  /** What operation `i` of a client's bundle carries; `variant` tells two bundles under one request id apart. */
  abstract payload(client: number, variant: number, i: number): Uint8Array;
  abstract readonly clientBytes: ClientBytes | undefined;

  get toolkit(): Toolkit {
    return this.keyring.toolkit;
  }

  get correct(): readonly SimNode[] {
    return this.nodes.filter(({ options }) => isAwaited(options.fault));
  }

  addNode(id: ReplicaId, suffix: string, fault: Fault): SimNode {
    this.budget.spend(id, fault);
    const node = this.makeNode(this.nodes.length, id, `r${id}${suffix}${MARK[fault]}`, fault);
    this.nodes.push(node);
    return node;
  }

  powersOf(node: SimNode, conspiracy: Powers["conspiracy"], label: string): Powers {
    return {
      self: node.id, config: node.options.config, random: this.random.split(`policy ${label}`), signer: node.options.signer, toolkit: this.toolkit,
      status: () => node.status(), bundles: this.bundles, conspiracy,
      observe: () => this.correct.flatMap((other) => {
        const status = other.status();
        return status === undefined ? [] : [{ id: other.id, status }];
      }),
    };
  }

  addClient(wanted: Habit | undefined): SimClient {
    const index = this.clients.length;
    const { n, weak, strong } = this.plan.quorums;
    const { operationsMax, parameters: { fastReads, bundleBytesMax, largeBundleBytes, sessionWindow } } = this.plan;
    // Where messages are values, a habit that needs bytes has a likeness.
    const habit = wanted !== undefined && needsBytes(wanted) && this.clientBytes === undefined ? "two-bundles" : wanted;
    const options: ClientOptions = { index, key: this.keyring.client(index), n, weak, needed: fastReads ? strong : weak, operationsMax, largeBundleBytes, habit };
    const random = this.random.split(`client ${index}`);
    const client = habit === undefined || isServed(habit)
      ? new SimClient(options, this, random)
      : new HostileClient({ ...options, habit, bundleBytesMax, sessionWindow }, this, random);
    this.clients.push(client);
    return client;
  }

  newKey(owner: SimClient): ClientKey {
    const key = this.keyring.client(CLIENT_ENDPOINT + this.owners.size);
    this.owners.set(key.id, owner);
    return key;
  }

  sometimes(id: string): void {
    this.coverage.sometimes(id);
  }

  note(who: SimNode | undefined, text: string): void {
    this.trace.line(this.scheduler.now, who?.name ?? "-", text);
    if (text.startsWith("#")) for (const oracle of this.oracles) oracle.onNote?.(text, who?.name);
  }

  onSubmitted(client: SimClient, bundle: Bundle): void {
    const ridLast = bundle.ridFirst + bundle.operationCount - 1;
    this.trace.line(this.scheduler.now, `c${client.options.index}`, `@ submits ${bundle.digest.slice(0, 6)} (ids ${bundle.ridFirst} … ${ridLast})`);
    this.bundles.push(bundle);
    for (const oracle of this.oracles) oracle.onSubmitted?.(bundle);
  }

  onAccepted(client: SimClient, bundle: Bundle, answer: Answer): void {
    this.trace.line(this.scheduler.now, `c${client.options.index}`, `@ accepts ${bundle.digest.slice(0, 6)} at n${answer.seq}: ${answer.result}`);
    if (!isServed(client.options.habit)) return;
    for (const oracle of this.oracles) oracle.onAccepted?.(bundle, answer);
  }

  /** The nemesis did something. */
  acted(name: string): void {
    this.counters.acts.set(name, (this.counters.acts.get(name) ?? 0) + 1);
  }

  // ── connections ──

  /** The connection between two nodes breaks; both make another one when they notice. */
  resetConnection(_a: number, _b: number): void {
    // messages that are values know no connections
  }

  protected sees(a: SimNode, b: SimNode): boolean {
    return !this.hidden.has(`${a.options.index} ${b.options.index}`);
  }

  /** Whether node `a` and the twin `b` can talk. */
  setSight(a: SimNode, b: SimNode, visible: boolean): void {
    for (const key of [`${a.options.index} ${b.options.index}`, `${b.options.index} ${a.options.index}`]) {
      if (visible) this.hidden.delete(key);
      else this.hidden.add(key);
    }
  }

  private connected(a: SimNode, id: ReplicaId): boolean {
    return this.nodes.some((b) => b.id === id && b.up && this.sees(a, b) && this.linked(a.options.index, b.options.index)
      && !this.network.isCut(a.options.index, b.options.index) && !this.network.isCut(b.options.index, a.options.index));
  }

  /** Whether there is a connection, as far as connections exist. */
  protected linked(_a: number, _b: number): boolean {
    return true;
  }

  /** Tells every node, a little later, which connections it lost or gained. */
  refreshConnections(): void {
    for (const node of this.nodes) {
      for (let i = 0; i < this.plan.quorums.n; i++) {
        const id = replicaId(i);
        if (id !== node.id) this.scheduler.after(this.noticeRandom.int(0, NOTICE_MAX_US), () => this.tellConnection(node, id));
      }
    }
  }

  private tellConnection(node: SimNode, id: ReplicaId): void {
    const held = this.told.get(node);
    if (held === undefined || !node.up) return;
    const now = this.connected(node, id);
    if (held.get(id) === now) return;
    held.set(id, now);
    this.reportConnection(node, id, now);
  }

  // ── watching ──

  onInput(node: SimNode, input: Input): void {
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onInput?.(node, input);
    if (input.type === "transferred" && !node.byzantine) for (const oracle of this.oracles) oracle.onTransferred?.(node, input.stable);
    if (input.type === "tick" || input.type === "own" || input.type === "executed" || input.type === "start") return;
    this.note(node, `< ${formatInput(input)}`);
  }

  onEffect(node: SimNode, effect: Effect): void {
    this.note(node, formatEffect(effect));
    this.count(effect);
    for (const ambush of this.ambushes) ambush(node, effect);
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onEffect?.(node, effect);
  }

  private count(effect: Effect): void {
    if (effect.type === "view-entered") this.counters.viewsEntered++;
    else if (effect.type === "view-left") this.counters.viewsLeft++;
    else if (effect.type === "rejected") this.counters.rejected++;
    else if (effect.type === "truncate") this.counters.stableCheckpoints++;
  }

  onSigned(node: SimNode, signed: Signed<SignedBody>): void {
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onSigned?.(node, signed);
    else if (this.nodes.some((other) => other !== node && other.id === node.id)) this.watchTwins(node.id, signed.body);
  }

  onExecuted(node: SimNode, block: SimBlock, state?: State): void {
    this.counters.executedSlots++;
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onExecuted?.(node, block, state);
  }

  protected started(node: SimNode, disk: WatchedDisk): void {
    this.note(node, `# up: executed n${disk.snapshot.seq}, ${disk.records.length} records in its log`);
    this.told.set(node, new Map());
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onStart?.(node, disk);
    this.refreshConnections();
  }

  protected turned(node: SimNode, disk: WatchedLog): void {
    if (node.byzantine) return;
    for (const oracle of this.oracles) oracle.onTurnEnd?.(node);
    if (this.turns++ % STATUS_SAMPLING !== 0) return;
    const status = node.status();
    if (status !== undefined) for (const oracle of this.oracles) oracle.onTurn?.(node, status, disk);
  }

  /** Judges what can only be judged of the whole. */
  atEnd(): void {
    for (const oracle of this.oracles) oracle.atEnd?.();
  }
}
