/** A cluster in one thread: nodes, links, clients, oracles and the trace, on one virtual clock. */
import type { Bundle, ClientId, Effect, EngineConfig, Input, PeerMessage, ReplicaId, Signed, SignedBody, StableCheckpoint } from "@narses/core";
import { epoch, mintVerified, replicaId } from "@narses/core";
import type { Outgoing, Powers } from "./adversaries/policy.ts";
import { type Answer, GENESIS, type SimBlock, type State } from "./app.ts";
import { SimClient } from "./client.ts";
import { formatEffect, formatInput } from "./format.ts";
import { createKeyring, type Keyring, type Toolkit } from "./keyring.ts";
import { Network } from "./network.ts";
import { SimNode } from "./node.ts";
import type { RunPlan } from "./options.ts";
import { createOracles } from "./oracles/index.ts";
import type { Oracle } from "./oracles/oracle.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import type { SignedAnswer } from "./shell.ts";
import { Trace } from "./trace.ts";

/** Network endpoints of clients start here; nodes use their index. */
const CLIENT_ENDPOINT = 1_000;
/** Time a transport takes to notice a connection lost or made. */
const NOTICE_MAX_US = 20_000;
/** The status of a replica is looked at after every so manyth turn: it is the costliest thing to ask. */
const STATUS_SAMPLING = 16;

/** Counters of what happened, for reports and coverage. */
export interface Counters {
  executedSlots: number;
  viewsEntered: number;
  viewsLeft: number;
  messages: number;
  rejected: number;
  crashes: number;
  stableCheckpoints: number;
}

export class World {
  readonly plan: RunPlan;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly keyring: Keyring;
  readonly toolkit: Toolkit;
  readonly trace: Trace;
  readonly nodes: SimNode[] = [];
  readonly clients: SimClient[] = [];
  readonly counters: Counters = { executedSlots: 0, viewsEntered: 0, viewsLeft: 0, messages: 0, rejected: 0, crashes: 0, stableCheckpoints: 0 };
  /** Bundles any replica has seen: material for Byzantine primaries. */
  readonly bundles: Bundle[] = [];
  /** Twins: which of them a node talks to; unset is all. */
  private readonly hidden = new Set<string>();
  private readonly told = new Map<SimNode, Map<ReplicaId, boolean>>();
  private readonly oracles: readonly Oracle[];
  private readonly noticeRandom: Random;
  /** States of correct replicas at checkpoints, by root. */
  private readonly states = new Map<string, State>();
  private turns = 0;

  constructor(plan: RunPlan) {
    this.plan = plan;
    this.random = new Random(`seed ${plan.seed}`);
    this.scheduler = new Scheduler(this.random.split("ties"));
    this.network = new Network(this.scheduler, this.random.split("network"));
    this.keyring = createKeyring(`seed ${plan.seed}`, plan.quorums.n);
    this.toolkit = this.keyring.toolkit;
    this.trace = new Trace(plan.traceLines);
    this.noticeRandom = this.random.split("notice");
    const { n, f } = plan.quorums;
    const allCorrect = plan.byzantine === 0 && plan.equivocatingClients === 0;
    this.oracles = createOracles({ n, f, parameters: plan.parameters, toolkit: this.toolkit, allCorrect, now: () => this.scheduler.now });
  }

  get correct(): readonly SimNode[] {
    return this.nodes.filter((node) => !node.byzantine);
  }

  configOf(id: ReplicaId): EngineConfig {
    return { self: id, epoch: epoch(0), quorums: this.plan.quorums, parameters: this.plan.parameters, genesisRoot: GENESIS.hash };
  }

  addNode(id: ReplicaId, suffix: string, byzantine: boolean): SimNode {
    const index = this.nodes.length;
    const name = `r${id}${suffix}${byzantine ? "!" : ""}`;
    const random = this.random.split(`node ${name}`);
    const { clockSkewMaxMs, syncMeanUs, executionMeanUs, checkpointMeanUs, mergeVotes } = this.plan;
    const node = new SimNode({
      index, id, name, byzantine, mergeVotes, syncMeanUs, executionMeanUs, checkpointMeanUs, config: this.configOf(id), signer: this.keyring.signer(id),
      clockOffsetMs: random.int(-clockSkewMaxMs, clockSkewMaxMs) / 2,
    }, this, random);
    this.nodes.push(node);
    return node;
  }

  powersOf(node: SimNode, conspiracy: Powers["conspiracy"], label: string): Powers {
    return {
      self: node.id, config: node.options.config, random: this.random.split(`policy ${label}`), signer: node.options.signer, toolkit: this.toolkit,
      status: () => node.shell?.status(), bundles: this.bundles, conspiracy,
      observe: () => this.correct.flatMap(({ id, shell }) => (shell === undefined ? [] : [{ id, status: shell.status() }])),
    };
  }

  addClient(equivocates: boolean): SimClient {
    const index = this.clients.length;
    const { n, weak, strong } = this.plan.quorums;
    const options = { index, key: this.keyring.client(index), n, needed: this.plan.parameters.fastReads ? strong : weak, operationsMax: this.plan.operationsMax, equivocates };
    const client = new SimClient(options, this, this.random.split(`client ${index}`));
    this.clients.push(client);
    return client;
  }

  note(who: SimNode | undefined, text: string): void {
    this.trace.line(this.scheduler.now, who?.name ?? "-", text);
  }

  // ── messages ──

  /** From a node, through its policies if it is Byzantine, to every node that goes by the id. */
  route(from: SimNode, to: ReplicaId, message: PeerMessage): void {
    let out: readonly Outgoing[] = [{ to, message }];
    for (const policy of from.policies) out = out.flatMap((one) => policy.outgoing?.(one) ?? [one]);
    for (const one of out) {
      for (const target of this.nodes) {
        if (target.id === one.to && target.id !== from.id && this.sees(from, target)) this.transmit(from, target, one.message);
      }
    }
  }

  private transmit(from: SimNode, to: SimNode, message: PeerMessage): void {
    this.counters.messages++;
    this.network.send(from.options.index, to.options.index, () => {
      if (!to.up) return;
      const problem = this.toolkit.verifyPeer(message);
      if (problem !== undefined) return to.deliver({ type: "misbehaviour", replica: from.id, rejection: problem });
      for (const policy of to.policies) if (policy.incoming?.(from.id, message) === false) return;
      to.deliver({ type: "message", from: from.id, message: mintVerified(message) });
    });
  }

  routeAnswer(from: SimNode, client: ClientId, answer: SignedAnswer): void {
    const target = this.clients.find((c) => c.options.key.id === client);
    if (target === undefined) return;
    // A Byzantine replica lies to clients too.
    const told: SignedAnswer = from.byzantine && from.policies.length > 0 ? { ...answer, answer: { ...answer.answer, result: "a lie" } } : answer;
    this.network.send(from.options.index, CLIENT_ENDPOINT + target.options.index, () => target.onAnswer(from.id, told));
  }

  sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void {
    for (const node of this.nodes) {
      if (node.id !== to) continue;
      this.network.send(CLIENT_ENDPOINT + client.options.index, node.options.index, () => {
        if (!node.up) return;
        node.shell?.request(bundle);
        node.wake();
      });
    }
  }

  onSubmitted(client: SimClient, bundle: Bundle): void {
    const ridLast = bundle.ridFirst + bundle.operations.length - 1;
    this.trace.line(this.scheduler.now, `c${client.options.index}`, `@ submits ${bundle.digest.slice(0, 6)} (ids ${bundle.ridFirst} … ${ridLast})`);
    this.bundles.push(bundle);
    for (const oracle of this.oracles) oracle.onSubmitted?.(bundle);
  }

  onAccepted(client: SimClient, bundle: Bundle, answer: Answer): void {
    this.trace.line(this.scheduler.now, `c${client.options.index}`, `@ accepts ${bundle.digest.slice(0, 6)} at n${answer.seq}: ${answer.result}`);
    if (client.options.equivocates) return;
    for (const oracle of this.oracles) oracle.onAccepted?.(bundle, answer);
  }

  // ── connections ──

  private sees(a: SimNode, b: SimNode): boolean {
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
    return this.nodes.some((b) => b.id === id && b.up && this.sees(a, b)
      && !this.network.isCut(a.options.index, b.options.index) && !this.network.isCut(b.options.index, a.options.index));
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
    node.deliver({ type: "peer", replica: id, connected: now });
  }

  // ── watching ──

  onInput(node: SimNode, input: Input): void {
    if (input.type === "transferred" && !node.byzantine) for (const oracle of this.oracles) oracle.onTransferred?.(node, input.stable);
    if (input.type === "tick" || input.type === "own" || input.type === "executed" || input.type === "start") return;
    this.note(node, `< ${formatInput(input)}`);
  }

  onEffect(node: SimNode, effect: Effect): void {
    this.note(node, formatEffect(effect));
    this.count(effect);
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
  }

  onExecuted(node: SimNode, block: SimBlock, state: State): void {
    this.counters.executedSlots++;
    if (node.byzantine) return;
    if (block.header.seq % this.plan.parameters.checkpointInterval === 0) this.states.set(block.hash, state);
    for (const oracle of this.oracles) oracle.onExecuted?.(node, block, state);
  }

  stateAt({ root }: StableCheckpoint): State | undefined {
    return this.states.get(root);
  }

  onStart(node: SimNode): void {
    this.note(node, `# up: executed n${node.disk.snapshot.seq}, ${node.disk.records.length} records in its log`);
    this.told.set(node, new Map());
    if (!node.byzantine) for (const oracle of this.oracles) oracle.onStart?.(node, node.disk);
    this.refreshConnections();
  }

  /** Judges what can only be judged of the whole. */
  atEnd(): void {
    for (const oracle of this.oracles) oracle.atEnd?.();
  }

  onTurn(node: SimNode): void {
    if (node.byzantine) return;
    for (const oracle of this.oracles) oracle.onTurnEnd?.(node);
    if (this.turns++ % STATUS_SAMPLING !== 0) return;
    const status = node.shell?.status();
    if (status !== undefined) for (const oracle of this.oracles) oracle.onTurn?.(node, status, node.disk);
  }
}
