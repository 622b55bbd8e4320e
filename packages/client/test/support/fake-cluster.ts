/**
 * A cluster without consensus: the first request for a bundle that reaches an honest replica orders it, and every replica
 * answers with real signatures, Merkle paths and bytes. Tests turn single replicas into liars.
 */
import {
  DEFAULT_PARAMETERS,
  NULL_DIGEST,
  SIGNATURE_SUITE,
  assert,
  digest,
  epoch,
  fromHex,
  primaryOf,
  quorums,
  replicaId,
  seqNum,
  toHex,
  view,
  type Block,
  type BlockHeader,
  type Bundle,
  type ClusterConfig,
  type CommitCertificate,
  type Digest,
  type Outcome,
  type Parameters,
  type Quorums,
  type ReplicaId,
  type Reply,
  type Signed,
  type SignedBody,
  type SigningKey,
  type Votes,
} from "@narses/core";
import { hasher, merklePath, merkleRoot, signingKeyFromSeed } from "@narses/crypto";
import { blockHash, clusterId, createCodec, decodePayload, encodePayload, encodeResult, resultLeaf, type Codec } from "@narses/wire";
import { FakeTransport } from "./fake-transport.ts";

const utf8 = new TextEncoder();

export const keyOf = (label: string): SigningKey => signingKeyFromSeed(hasher.sha256(utf8.encode(label)));

export interface FakeClusterOptions {
  readonly n?: number;
  readonly f?: number;
  readonly parameters?: Partial<Parameters>;
  readonly clients?: ClusterConfig["clients"];
  readonly clientKeys?: readonly string[];
}

export function clusterConfig(options: FakeClusterOptions = {}): ClusterConfig {
  const n = options.n ?? 4;
  return {
    version: 1,
    name: "fake",
    epoch: epoch(0),
    f: options.f ?? Math.floor((n - 1) / 3),
    signatureSuite: SIGNATURE_SUITE,
    replicas: Array.from({ length: n }, (_, i) => ({
      id: replicaId(i),
      publicKey: toHex(keyOf(`replica ${i}`).publicKey),
      networkKey: toHex(keyOf(`network ${i}`).publicKey),
      addresses: [`/ip4/127.0.0.1/tcp/${7100 + i}`],
    })),
    clients: options.clients ?? "open",
    clientKeys: options.clientKeys ?? [],
    parameters: { ...DEFAULT_PARAMETERS, ...options.parameters },
    genesis: null,
  };
}

const notExecuted = (code: string): Uint8Array => encodeResult({ status: "not-executed", code, message: "for a reason" });

/** What a replica sends instead of its honest reply; undefined: nothing. */
export type Lie = (reply: Reply, cluster: FakeCluster, replica: ReplicaId) => Reply | undefined;

interface Ordered {
  readonly block: Block;
  readonly index: number;
}

export class FakeCluster {
  readonly config: ClusterConfig;
  readonly quorums: Quorums;
  readonly codec: Codec;
  readonly keys: readonly SigningKey[];
  readonly transport: FakeTransport;
  readonly blocks: Block[] = [];
  /** Operation payloads in order of execution. */
  readonly executed: unknown[] = [];
  /** Replicas that receive and never answer nor order. */
  readonly silent = new Set<number>();
  readonly lies = new Map<number, Lie>();
  /** While true, requests are received and not ordered. */
  holding = false;
  /** The replicas' view, as their replies say. */
  view = 0;
  /** Answers to the control call `session`. */
  sessions: (replica: ReplicaId, session: unknown) => unknown = () => ({ seq: 0 });
  /** Answers to all other control calls; undefined: none. */
  calls: (replica: ReplicaId, method: string, params: unknown) => { ok: boolean; value: unknown } | undefined = () => undefined;
  /** What executing an operation gives; may throw `{ code, message }`. */
  apply: (operation: unknown, kind: string) => unknown = (operation) => operation;
  /** Id of the last control call each replica received. */
  readonly lastCall = new Map<number, number>();
  /** Bundles that are answered OUT_OF_ORDER, and can be ordered again. */
  early: (bundle: Bundle) => boolean = () => false;
  /** Why nothing of a bundle that is ordered is executed. */
  refusing: (bundle: Bundle) => string | undefined = () => undefined;
  readonly #ordered = new Map<Digest, Ordered>();
  readonly #held: Bundle[] = [];

  constructor(options: FakeClusterOptions = {}) {
    this.config = clusterConfig(options);
    this.quorums = quorums(this.config.replicas.length, this.config.f);
    this.codec = createCodec({
      hasher,
      clusterId: clusterId(hasher, this.config),
      epoch: this.config.epoch,
      replicas: this.quorums.n,
      parameters: this.config.parameters,
    });
    this.keys = this.config.replicas.map((_, i) => keyOf(`replica ${i}`));
    this.transport = new FakeTransport(this.quorums.n, (to, frame) => this.#receive(to, frame));
    const empty = digest(toHex(merkleRoot([])));
    const stateRoot = digest("11".repeat(32));
    this.blocks.push({
      header: { seq: seqNum(0), parent: NULL_DIGEST, timestampMs: 0, batchDigest: NULL_DIGEST, bundleRoot: empty, resultRoot: empty, stateRoot },
      batch: undefined,
      results: [],
      certificate: undefined,
    });
  }

  sign<B extends SignedBody>(replica: number, body: B, key: SigningKey = this.key(replica)): Signed<B> {
    const unsigned = this.codec.unsigned(body);
    return this.codec.seal(body, unsigned, key.sign(this.codec.signingInput(unsigned)));
  }

  key(replica: number): SigningKey {
    const key = this.keys[replica];
    if (key === undefined) throw new RangeError(`no replica ${replica}`);
    return key;
  }

  outcome(replica: number, header: BlockHeader): Signed<Outcome> {
    return this.sign(replica, { type: "outcome", epoch: this.config.epoch, sender: replicaId(replica), seq: header.seq, block: blockHash(hasher, header) });
  }

  hash(seq: number): Digest {
    const block = this.blocks[seq];
    if (block === undefined) throw new RangeError(`no block ${seq}`);
    return blockHash(hasher, block.header);
  }

  /** The bundles the client has sent, each once, in order. */
  bundles(): readonly Bundle[] {
    const seen = new Map<Digest, Bundle>();
    for (const { frame } of this.transport.sent) {
      const decoded = this.codec.decodeClient(frame);
      if (decoded.ok && decoded.value.type === "request") seen.set(decoded.value.bundle.digest, decoded.value.bundle);
    }
    return [...seen.values()];
  }

  /** To whom each request frame went, in order. */
  requests(): readonly { readonly to: ReplicaId; readonly digest: Digest; readonly frame: Uint8Array }[] {
    return this.transport.sent.flatMap(({ to, frame }) => {
      const decoded = this.codec.decodeClient(frame);
      return decoded.ok && decoded.value.type === "request" ? [{ to, digest: decoded.value.bundle.digest, frame }] : [];
    });
  }

  /** Orders what was held, one bundle a block, or all in one. */
  release(together = false): void {
    this.holding = false;
    const held = this.#held.splice(0);
    const batches = together ? [held] : held.map((bundle) => [bundle]);
    for (const batch of batches) this.order(batch);
  }

  /** Decides a block with these bundles; every replica answers. */
  order(bundles: readonly Bundle[]): Block {
    const early = bundles.filter((bundle) => this.early(bundle));
    const block = this.makeBlock(bundles);
    this.blocks.push(block);
    bundles.forEach((bundle, index) => this.#ordered.set(bundle.digest, { block, index }));
    for (const bundle of bundles) for (const replica of this.#speakers()) this.#answer(replica, bundle);
    for (const { digest } of early) this.#ordered.delete(digest);
    return block;
  }

  makeBlock(bundles: readonly Bundle[]): Block {
    const seq = seqNum(this.blocks.length);
    const batch = this.codec.makeBatch(this.config.epoch, 1_000 * seq, bundles);
    const results = bundles.map((bundle) => {
      const code = this.early(bundle) ? "OUT_OF_ORDER" : this.refusing(bundle);
      return bundle.operations.map(({ payload, kind }) => (code === undefined ? this.#execute(payload, kind) : notExecuted(code)));
    });
    const header: BlockHeader = {
      seq,
      parent: this.hash(seq - 1),
      timestampMs: 1_000 * seq,
      batchDigest: batch.digest,
      bundleRoot: digest(toHex(merkleRoot(bundles.map((bundle) => fromHex(bundle.digest))))),
      resultRoot: digest(toHex(merkleRoot(leaves(bundles, results)))),
      stateRoot: digest("22".repeat(32)),
    };
    return { header, batch, results, certificate: this.certificate(header) };
  }

  certificate(header: BlockHeader, signers: readonly number[] = [...this.keys.keys()].slice(0, this.quorums.strong)): CommitCertificate {
    const { seq, batchDigest } = header;
    const vote = { phase: "commit" as const, view: view(0), seq, digest: batchDigest };
    const commits = signers.map((replica) => {
      const body: Votes = { type: "votes", epoch: this.config.epoch, sender: replicaId(replica), votes: [{ ...vote, phase: "prepare" }, vote] };
      return { frame: this.sign(replica, body), index: 1 };
    });
    return { view: vote.view, seq, digest: batchDigest, commits };
  }

  /** The honest reply of a replica to an ordered bundle. */
  reply(replica: ReplicaId, bundle: Bundle): Reply {
    const ordered = this.#ordered.get(bundle.digest);
    if (ordered === undefined) throw new RangeError(`bundle ${bundle.digest} is not ordered`);
    const { block, index } = ordered;
    const bundles = block.batch?.bundles ?? [];
    return {
      client: bundle.client,
      bundleDigest: bundle.digest,
      view: view(this.view),
      header: block.header,
      outcome: this.outcome(replica, block.header),
      leafIndex: index,
      leafCount: bundles.length,
      path: merklePath(leaves(bundles, block.results), index),
      results: block.results[index] ?? [],
    };
  }

  sendReply(replica: ReplicaId, reply: Reply): void {
    this.transport.receive(replica, this.codec.encodeToClient({ type: "reply", reply }));
  }

  refuse(replica: number, bundleDigest: Digest, code: string, detail: string): void {
    this.transport.receive(replicaId(replica), this.codec.encodeToClient({ type: "refused", bundleDigest, code, detail }));
  }

  /** Answers the last control call of a replica. */
  answerCall(replica: number, value: unknown): void {
    const id = this.lastCall.get(replica) ?? 0;
    this.transport.receive(replicaId(replica), this.codec.encodeToClient({ type: "call-result", id, ok: true, value: encodePayload(value) }));
  }

  get primary(): ReplicaId {
    return primaryOf(view(this.view), this.quorums.n);
  }

  #speakers(): ReplicaId[] {
    return this.config.replicas.map(({ id }) => id).filter((id) => !this.silent.has(id) && this.transport.connected.has(id));
  }

  #answer(replica: ReplicaId, bundle: Bundle): void {
    const honest = this.reply(replica, bundle);
    const lie = this.lies.get(replica);
    const reply = lie === undefined ? honest : lie(honest, this, replica);
    if (reply !== undefined) this.sendReply(replica, reply);
  }

  #receive(to: ReplicaId, frame: Uint8Array): void {
    const decoded = this.codec.decodeClient(frame);
    assert(decoded.ok, "the client sends well-formed frames");
    const message = decoded.value;
    if (message.type === "call") this.lastCall.set(to, message.id);
    if (this.silent.has(to)) return;
    if (message.type === "call") {
      const params = decodePayload(message.params);
      const answer = message.method === "session" ? { ok: true, value: this.sessions(to, ((params.ok ? params.value : {}) as { session?: unknown }).session) } : this.calls(to, message.method, params.ok ? params.value : undefined);
      if (answer?.value === undefined) return;
      this.transport.receive(to, this.codec.encodeToClient({ type: "call-result", id: message.id, ok: answer.ok, value: encodePayload(answer.value) }));
      return;
    }
    const { bundle } = message;
    if (this.#ordered.has(bundle.digest)) this.#answer(to, bundle);
    else if (!this.holding) this.order([bundle]);
    else if (!this.#held.some((held) => held.digest === bundle.digest)) this.#held.push(bundle);
  }

  #execute(payload: Uint8Array, kind: string): Uint8Array {
    const operation = decodePayload(payload);
    if (!operation.ok) return encodeResult({ status: "not-executed", code: "OPERATION_MALFORMED", message: operation.rejection.detail });
    this.executed.push(operation.value);
    try {
      return encodeResult({ status: "ok", value: this.apply(operation.value, kind) });
    } catch (error) {
      const { code, message, data } = error as { code: string; message: string; data?: Record<string, unknown> };
      if (code === "NOT_EXECUTED") return encodeResult({ status: "not-executed", code: message, message: "no" });
      return encodeResult({ status: "rejected", code, message, data: data ?? {} });
    }
  }
}

export const leaves = (bundles: readonly Bundle[], results: readonly (readonly Uint8Array[])[]): Uint8Array[] =>
  bundles.map((bundle, i) => resultLeaf(hasher, bundle.digest, results[i] ?? []));
