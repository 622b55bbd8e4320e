/** A cluster of engines in small shells: messages are values, disks are lists. Several times faster than whole replicas, and synchronous. */
import type { Bundle, ClientId, EngineConfig, PeerMessage, ReplicaId, StableCheckpoint } from "@narses/core";
import { epoch, mintVerified } from "@narses/core";
import type { Outgoing } from "./adversaries/policy.ts";
import { GENESIS, type SimBlock, type State } from "./app.ts";
import { isJudged, type Fault } from "./budget.ts";
import { FORGED_REPLY } from "./coverage/catalogue.ts";
import type { SimClient } from "./clients/client.ts";
import { EngineNode } from "./engine-node.ts";
import { createKeyring, type Keyring } from "./keyring.ts";
import type { SimNode } from "./node.ts";
import type { RunPlan } from "./options.ts";
import type { SignedAnswer } from "./shell.ts";
import { CLIENT_ENDPOINT, World } from "./world.ts";

/** Messages are values here: what one counts for on a slow link. */
const MESSAGE_BYTES = 400;

/** Other results, that could be right: all liars tell the same. */
const lieOf = (result: string): string => result.split(" ").map((word) => {
  const [rid, count] = word.split(":");
  return `${rid}:${Number(count) + 1 || 1}`;
}).join(" ");

export class EngineWorld extends World {
  readonly keyring: Keyring;
  /** States of correct replicas at checkpoints, by root. */
  private readonly states = new Map<string, State>();
  private readonly byNode = new Map<SimNode, EngineNode>();

  constructor(plan: RunPlan) {
    const keyring = createKeyring(`seed ${plan.seed}`, plan.quorums.n);
    super(plan, keyring.toolkit);
    this.keyring = keyring;
  }

  configOf(id: ReplicaId): EngineConfig {
    return { self: id, epoch: epoch(0), quorums: this.plan.quorums, parameters: this.plan.parameters, genesisRoot: GENESIS.hash };
  }

  protected makeNode(index: number, id: ReplicaId, name: string, fault: Fault): SimNode {
    const random = this.random.split(`node ${name}`);
    const { clockSkewMaxMs, syncMeanUs, executionMeanUs, checkpointMeanUs, mergeVotes } = this.plan;
    const node = new EngineNode({
      index, id, name, fault, byzantine: !isJudged(fault), mergeVotes, syncMeanUs, executionMeanUs, checkpointMeanUs, config: this.configOf(id), signer: this.keyring.signer(id),
      clockOffsetMs: random.int(-clockSkewMaxMs, clockSkewMaxMs) / 2,
    }, this, random);
    this.byNode.set(node, node);
    return node;
  }

  payload(client: number, variant: number, i: number): Uint8Array {
    return Uint8Array.of(client & 255, variant, i & 255);
  }

  /** From a node, through its policies if it is Byzantine, to every node that goes by the id. */
  route(from: EngineNode, to: ReplicaId, message: PeerMessage): void {
    let out: readonly Outgoing[] = [{ to, message }];
    for (const policy of from.policies) out = out.flatMap((one) => policy.outgoing?.(one) ?? [one]);
    for (const one of out) {
      for (const target of this.byNode.values()) {
        if (target.id === one.to && target.id !== from.id && this.sees(from, target)) this.transmit(from, target, one.message);
      }
    }
  }

  private transmit(from: EngineNode, to: EngineNode, message: PeerMessage): void {
    this.counters.messages++;
    this.network.send(from.options.index, to.options.index, MESSAGE_BYTES, () => {
      if (!to.up) return;
      const problem = this.toolkit.verifyPeer(message);
      if (problem !== undefined) return to.deliver({ type: "misbehaviour", replica: from.id, rejection: problem });
      for (const policy of to.policies) if (policy.incoming?.(from.id, message) === false) return;
      to.deliver({ type: "message", from: from.id, message: mintVerified(message) });
    });
  }

  routeAnswer(from: EngineNode, client: ClientId, answer: SignedAnswer): void {
    const target = this.clients.find((c) => c.options.key.id === client) ?? this.owners.get(client);
    if (target === undefined) return;
    // A Byzantine replica lies to clients too.
    const lies = from.byzantine && from.policies.length > 0;
    if (lies) this.coverage.sometimes(FORGED_REPLY);
    const told: SignedAnswer = lies ? { ...answer, answer: { ...answer.answer, result: lieOf(answer.answer.result) } } : answer;
    this.network.send(from.options.index, CLIENT_ENDPOINT + target.options.index, MESSAGE_BYTES, () => target.onAnswer(from.id, told));
  }

  get clientBytes(): undefined {
    return undefined;
  }

  sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void {
    for (const node of this.byNode.values()) {
      if (node.id !== to) continue;
      this.network.send(CLIENT_ENDPOINT + client.options.index, node.options.index, MESSAGE_BYTES, () => {
        if (!node.up) return;
        node.shell?.request(bundle);
        node.wake();
      });
    }
  }

  protected reportConnection(node: SimNode, replica: ReplicaId, connected: boolean): void {
    this.byNode.get(node)?.deliver({ type: "peer", replica, connected });
  }

  override onExecuted(node: SimNode, block: SimBlock, state?: State): void {
    if (!node.byzantine && state !== undefined && block.header.seq % this.plan.parameters.checkpointInterval === 0) this.states.set(block.hash, state);
    super.onExecuted(node, block, state);
  }

  stateAt({ root }: StableCheckpoint): State | undefined {
    return this.states.get(root);
  }

  onStart(node: EngineNode): void {
    this.started(node, node.disk);
  }

  onTurn(node: EngineNode): void {
    this.turned(node, node.disk);
  }
}
