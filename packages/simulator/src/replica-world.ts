/** A cluster of whole replicas, as they ship: frames of the real wire format travel between them. */
import {
  epoch, fromHex, isStateMessage, toHex,
  type Block, type Bundle, type ClusterConfig, type Digest, type EngineConfig, type PeerMessage, type ReplicaId, type Reply, type StateMessage,
} from "@narses/core";
import { hasher, merkleRoot, merkleVerify } from "@narses/crypto";
import { silentLogger } from "@narses/replica/core";
import { blockHash, clusterId, createCodec, decodePayload, encodePayload, encodeResult, resultLeaf, type Codec } from "@narses/wire";
import type { Outgoing } from "./adversaries/policy.ts";
import { type Application, COUNTER } from "./application.ts";
import { isJudged, type Fault } from "./budget.ts";
import { FORGED_REPLY, SWAPPED_BODY } from "./coverage/catalogue.ts";
import type { ClientBytes, SimClient } from "./clients/client.ts";
import { fakeCryptography, realCryptography, type Cryptography } from "./cryptography.ts";
import { BlockReader, resultLine } from "./executed-block.ts";
import { Connections } from "./links/connections.ts";
import type { SimNode, WatchedDisk, WatchedLog } from "./node.ts";
import type { RunPlan } from "./options.ts";
import { ReplicaNode } from "./replica-node.ts";
import type { OutgoingFrame, ReplicaNodeWorld } from "./replica-node-world.ts";
import type { Random } from "./random.ts";
import type { SignedAnswer } from "./shell.ts";
import { Violation } from "./violation.ts";
import { createWireKeyring, type WireKeyring } from "./wire-keyring.ts";
import { CLIENT_ENDPOINT, World } from "./world.ts";

interface Setting {
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly codec: Codec;
  readonly cryptography: Cryptography;
  readonly keyring: WireKeyring;
}

/** Bits of the state's page number: few pages, so that each checkpoint costs little and pages are shared. */
const BUCKET_BITS = 6;
const RESTART_MEAN_US = 50_000;
const GARBAGE_CHANCE = 0.002;
/** The code of a call that failed. */
function codeOf(value: Uint8Array): string {
  const decoded = decodePayload(value);
  const code = decoded.ok && typeof decoded.value === "object" && decoded.value !== null && "code" in decoded.value ? decoded.value.code : undefined;
  return typeof code === "string" ? code : "";
}

const LIE: Uint8Array = encodeResult({ status: "ok", value: "a lie" });

function settingOf(plan: RunPlan, genesis: unknown): Setting {
  const name = `seed ${plan.seed}`;
  const cryptography = plan.realCrypto ? realCryptography(name) : fakeCryptography(name);
  const signingKeys = Array.from({ length: plan.quorums.n }, (_, id) => cryptography.signingKey(`replica ${id}`));
  const cluster: ClusterConfig = {
    version: 1, name, epoch: epoch(0), f: plan.quorums.f, signatureSuite: "ed25519-strict", clients: "open", clientKeys: [], parameters: plan.parameters, genesis,
    replicas: signingKeys.map(({ publicKey }, id) => ({ id: id as ReplicaId, publicKey: toHex(publicKey), networkKey: toHex(publicKey), addresses: [] })),
  };
  const ofCluster = clusterId(hasher, cluster);
  const codec = createCodec({ hasher, clusterId: ofCluster, epoch: cluster.epoch, replicas: plan.quorums.n, parameters: plan.parameters });
  return { cluster, clusterId: ofCluster, codec, cryptography, keyring: createWireKeyring(codec, cryptography, signingKeys) };
}

export class ReplicaWorld extends World implements ReplicaNodeWorld {
  readonly keyring: WireKeyring;
  readonly parts: ReplicaNodeWorld["parts"];
  private readonly setting: Setting;
  private readonly connections: Connections;
  private readonly garbage: Random;
  private readonly application: Application;
  /** Chance for operations, by client. */
  private readonly operationRandoms = new Map<number, Random>();
  private readonly byNode = new Map<SimNode, ReplicaNode>();
  private readonly reader = new BlockReader();
  /** Open connections: by client and node. */
  private readonly clientLinks = new Map<string, { receive(frame: Uint8Array): void }>();
  private readonly submitted = new Map<Digest, Bundle>();
  /** Hash of block 0, once any replica has made it. */
  private genesisRoot: Digest | undefined;
  private calls = 0;
  readonly clientBytes: ClientBytes = {
    send: (client, to, frame) => {
      for (const node of this.byNode.values()) if (node.id === to) this.sendToNode(client, node, frame);
    },
    call: (client, to, method, params) => this.clientBytes.send(client, to, this.setting.codec.encodeClient({ type: "call", id: ++this.calls, method, params })),
  };

  /** @param application undefined: the simulator's own. */
  constructor(plan: RunPlan, application?: Application) {
    const setting = settingOf(plan, (application ?? COUNTER).genesis);
    super(plan, setting.keyring.toolkit, application ?? COUNTER);
    this.application = application ?? COUNTER;
    this.setting = setting;
    this.keyring = setting.keyring;
    this.garbage = this.random.split("garbage");
    const byIndex = (index: number): ReplicaNode | undefined => [...this.byNode.values()][index];
    this.connections = new Connections({
      network: this.network, scheduler: this.scheduler, random: this.random.split("connections"),
      deliver: (from, to, frame) => {
        const sender = byIndex(from);
        if (sender !== undefined) byIndex(to)?.receive(sender.id, frame);
      },
      changed: () => this.refreshConnections(), note: (text) => this.note(undefined, text),
    });
    const { cluster, codec, cryptography } = setting;
    this.parts = {
      cluster, codec, hasher, clusterId: setting.clusterId, app: this.application.app, localQueries: true, logger: silentLogger, verifyingKey: cryptography.verifyingKey,
      replicaKeys: setting.keyring.signingKeys.map(({ publicKey }) => cryptography.verifyingKey(publicKey)),
    };
  }

  configOf(self: ReplicaId): EngineConfig {
    const { quorums, parameters } = this.plan;
    const genesis = (): Digest => this.genesisRoot ?? this.setting.clusterId;
    return {
      self, epoch: epoch(0), quorums, parameters,
      get genesisRoot() {
        return genesis();
      },
    };
  }

  protected makeNode(index: number, id: ReplicaId, name: string, fault: Fault): SimNode {
    const random = this.random.split(`node ${name}`);
    const { clockSkewMaxMs, driftMax, syncMeanUs, executionMeanUs, checkpointMeanUs } = this.plan;
    const signingKey = this.keyring.signingKeys[id];
    if (signingKey === undefined) throw new RangeError(`there is no replica ${id}`);
    const node = new ReplicaNode({
      index, id, name, fault, byzantine: !isJudged(fault), syncMeanUs, executionMeanUs, checkpointMeanUs, signingKey, bucketBits: BUCKET_BITS, config: this.configOf(id),
      signer: this.keyring.signer(id), clockOffsetMs: random.int(-clockSkewMaxMs, clockSkewMaxMs) / 2,
      clockRate: 1 + (random.float() * 2 - 1) * driftMax,
    }, this, random);
    this.byNode.set(node, node);
    return node;
  }

  payload(client: number): Uint8Array {
    let random = this.operationRandoms.get(client);
    if (random === undefined) this.operationRandoms.set(client, (random = this.random.split(`operations ${client}`)));
    try {
      return encodePayload(this.application.operation(random, client));
    } catch (error) {
      const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      throw new Violation("crash", "application", `operation(random, ${client}) gives no operation: ${what}`, { cause: error });
    }
  }

  // ── between replicas ──

  outgoing(from: ReplicaNode, to: ReplicaId, frame: Uint8Array): readonly OutgoingFrame[] {
    if (from.policies.length === 0) return [{ to, frame }];
    const decoded = this.setting.codec.decodePeer(frame);
    if (!decoded.ok) return [{ to, frame }];
    if (isStateMessage(decoded.value)) return this.outgoingState(from, to, decoded.value);
    const message: PeerMessage = decoded.value;
    let out: readonly Outgoing[] = [{ to, message }];
    for (const policy of from.policies) out = out.flatMap((one) => policy.outgoing?.(one) ?? [one]);
    return out.flatMap((one) => {
      const bytes = one.message === message ? frame : this.encode(one.message);
      return bytes === undefined ? [] : [{ to: one.to, frame: bytes }];
    });
  }

  private outgoingState(from: ReplicaNode, to: ReplicaId, message: StateMessage): readonly OutgoingFrame[] {
    let out: readonly StateMessage[] = [message];
    for (const policy of from.policies) out = out.flatMap((one) => policy.state?.(to, one) ?? [one]);
    return out.flatMap((one) => {
      const frame = this.encode(one);
      return frame === undefined ? [] : [{ to, frame }];
    });
  }

  /** To every node that goes by the id and is to be seen. */
  transmit(from: ReplicaNode, to: ReplicaId, frame: Uint8Array): void {
    for (const target of this.byNode.values()) {
      if (target.id !== to || target.id === from.id || !this.sees(from, target)) continue;
      this.counters.messages++;
      if (this.plan.streams) this.stream(from, target, frame);
      else this.network.send(from.options.index, target.options.index, frame.length, () => target.receive(from.id, frame));
    }
  }

  private stream(from: ReplicaNode, target: ReplicaNode, frame: Uint8Array): void {
    this.connections.send(from.options.index, target.options.index, frame);
    if (from.options.fault !== "liar" || !this.garbage.chance(GARBAGE_CHANCE)) return;
    // Bytes that are no frame, or announce one that nobody may send.
    const bytes = Uint8Array.from({ length: this.garbage.int(1, 200) }, () => this.garbage.int(0, 255));
    this.connections.garble(from.options.index, target.options.index, bytes);
  }

  flush(from: ReplicaNode): void {
    if (this.plan.streams) this.connections.flush(from.options.index, this.nodes.length);
  }

  onDown(node: ReplicaNode): void {
    this.connections.lose(node.options.index, this.nodes.length);
  }

  override resetConnection(a: number, b: number): void {
    if (this.plan.streams) this.connections.reset(a, b, "reset");
  }

  protected override linked(a: number, b: number): boolean {
    return this.connections.isUp(a, b);
  }

  encode(message: PeerMessage | StateMessage): Uint8Array | undefined {
    try {
      return this.setting.codec.encodePeer(message);
    } catch {
      return undefined; // a policy made up what no bytes can say
    }
  }

  protected reportConnection(node: SimNode, replica: ReplicaId, connected: boolean): void {
    this.byNode.get(node)?.connection(replica, connected);
  }

  // ── clients ──

  sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void {
    this.submitted.set(bundle.digest, bundle);
    for (const node of this.byNode.values()) if (node.id === to) this.sendToNode(client, node, bundle.bytes);
  }

  private sendToNode(client: SimClient, node: ReplicaNode, frame: Uint8Array): void {
    const { index } = client.options;
    this.network.send(CLIENT_ENDPOINT + index, node.options.index, frame.length, () => this.clientLinks.get(`${index} ${node.name}`)?.receive(frame));
  }

  /** Every client connects, and asks where its session stands: from then on replies come back over this connection. */
  private connectClients(node: ReplicaNode): void {
    for (const client of this.clients) {
      const { index, key } = client.options;
      const deliver = (frame: Uint8Array): void => {
        const told = node.byzantine && node.policies.length > 0 ? this.lie(node, frame) : frame;
        this.network.send(node.options.index, CLIENT_ENDPOINT + index, told.length, () => this.toClient(client, node, told));
      };
      this.clientLinks.set(`${index} ${node.name}`, node.openClient(`client ${index}`, deliver));
      const params = encodePayload({ client: key.id });
      this.sendToNode(client, node, this.setting.codec.encodeClient({ type: "call", id: ++this.calls, method: "session", params }));
    }
  }

  private toClient(client: SimClient, from: ReplicaNode, frame: Uint8Array): void {
    const decoded = this.setting.codec.decodeToClient(frame);
    if (!decoded.ok) return;
    const message = decoded.value;
    switch (message.type) {
      case "executed":
        return client.onNotice(from.id, message.bundleDigest, message.seq);
      case "refused":
        return from.byzantine ? undefined : client.onRefused(message.code);
      case "call-result":
        return message.ok || from.byzantine ? undefined : client.onRefused(codeOf(message.value));
      case "reply": {
        const answer = this.answerOf(message.reply);
        if (answer !== undefined) client.onAnswer(from.id, answer);
      }
    }
  }

  /** What a reply says, if it adds up: its leaf is under the header's root, and the header is the block it signs. */
  private answerOf({ header, outcome, view, bundleDigest, leafIndex, leafCount, path, results }: Reply): SignedAnswer | undefined {
    const bundle = this.submitted.get(bundleDigest);
    const block = blockHash(hasher, header);
    if (bundle === undefined || outcome.body.block !== block || outcome.body.seq !== header.seq || results.length !== bundle.operationCount) return undefined;
    const leaf = resultLeaf(hasher, bundleDigest, results);
    if (!merkleVerify(leaf, leafIndex, leafCount, path, fromHex(header.resultRoot))) return undefined;
    const ridLast = bundle.ridFirst + bundle.operationCount - 1;
    return { answer: { bundle: bundleDigest, ridLast, seq: header.seq, block, result: resultLine(bundle.ridFirst, results) }, outcome, view };
  }

  /** A Byzantine replica lies to clients too: another result, in a block that was never made, under its own signature; or only other results. */
  private lie(node: ReplicaNode, frame: Uint8Array): Uint8Array {
    const { codec } = this.setting;
    const decoded = codec.decodeToClient(frame);
    if (!decoded.ok || decoded.value.type !== "reply") return frame;
    const { reply } = decoded.value;
    const results = reply.results.map(() => LIE);
    if (this.garbage.chance(0.3)) {
      this.coverage.sometimes(SWAPPED_BODY);
      return codec.encodeToClient({ type: "reply", reply: { ...reply, results } });
    }
    this.coverage.sometimes(FORGED_REPLY);
    const leaf = resultLeaf(hasher, reply.bundleDigest, results);
    const header = { ...reply.header, resultRoot: toHex(merkleRoot([leaf])) as Digest };
    const outcome = node.options.signer.sign({ ...reply.outcome.body, block: blockHash(hasher, header) });
    return codec.encodeToClient({ type: "reply", reply: { ...reply, header, outcome, results, leafIndex: 0, leafCount: 1, path: [] } });
  }

  // ── watching ──

  onStart(node: ReplicaNode, disk: WatchedDisk): void {
    this.genesisRoot ??= node.head?.head;
    this.started(node, disk);
  }

  onListening(node: ReplicaNode): void {
    this.connectClients(node);
  }

  onTurn(node: ReplicaNode, log: WatchedLog): void {
    this.turned(node, log);
  }

  onBlock(node: ReplicaNode, block: Block, hash: Digest): void {
    this.onExecuted(node, this.reader.read(block, hash));
  }

  /** Somebody starts it again. */
  onExit(node: ReplicaNode): void {
    this.refreshConnections();
    this.scheduler.after(this.random.split(`restart ${node.name} ${this.scheduler.now}`).exponential(RESTART_MEAN_US), () => node.start());
  }

  fail(violation: Violation): void {
    this.failure ??= violation;
  }
}
