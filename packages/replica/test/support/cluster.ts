/** A cluster with real keys and the real codec, and what its members can sign. */
import {
  DEFAULT_PARAMETERS, epoch, quorums, replicaId, requestId, seqNum, SIGNATURE_SUITE, toHex, view,
  type Batch, type Bundle, type Checkpoint, type ClusterConfig, type CommitCertificate, type Digest, type Operation, type Parameters,
  type PreparedCertificate, type PrePrepare, type Signed, type SignedBody, type SigningKey, type StableCheckpoint, type VerifyingKey, type ViewChange,
  type Vote, type VoteRef, type Votes,
} from "@narses/core";
import { deriveReplicaSeeds, hasher, sha256, signingKeyFromSeed, verifyingKey } from "@narses/crypto";
import { clusterId as clusterIdOf, createCodec, encodePayload, type Codec } from "@narses/wire";

const seedOf = (name: string): Uint8Array => sha256(new TextEncoder().encode(name));

export const clientKey = (name = "client"): SigningKey => signingKeyFromSeed(seedOf(`test client ${name}`));

export const apply = (value: unknown): Operation => ({ kind: "apply", payload: encodePayload(value) });
export const query = (value: unknown): Operation => ({ kind: "query", payload: encodePayload(value) });

export interface TestCluster {
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly codec: Codec;
  readonly signingKeys: readonly SigningKey[];
  readonly networkSeeds: readonly Uint8Array[];
  readonly replicaKeys: readonly VerifyingKey[];
  readonly strong: number;
  sign<B extends SignedBody>(body: B): Signed<B>;
  bundle(operations: readonly Operation[], options?: { readonly key?: SigningKey; readonly ridFirst?: number; readonly ackLow?: number; readonly session?: number; readonly fifo?: boolean }): Bundle;
  batch(bundles: readonly Bundle[], timestampMs?: number): Batch;
  prePrepare(seq: number, digest: Digest, options?: { readonly view?: number; readonly sender?: number }): Signed<PrePrepare>;
  votes(sender: number, votes: readonly Vote[]): Signed<Votes>;
  prepared(seq: number, digest: Digest, inView?: number): PreparedCertificate;
  committed(seq: number, digest: Digest, inView?: number): CommitCertificate;
  checkpoint(sender: number, seq: number, root: Digest): Signed<Checkpoint>;
  stable(seq: number, root: Digest): StableCheckpoint;
  viewChange(sender: number, to: number, parts: { readonly stable: StableCheckpoint; readonly prepared: readonly PreparedCertificate[] }): Signed<ViewChange>;
}

export function testCluster(n = 4, options: { readonly parameters?: Partial<Parameters>; readonly clients?: readonly SigningKey[]; readonly genesis?: unknown; readonly addresses?: readonly string[] } = {}): TestCluster {
  const seeds = Array.from({ length: n }, (_, i) => deriveReplicaSeeds(seedOf(`test replica ${i}`)));
  const signingKeys = seeds.map(({ signing }) => signingKeyFromSeed(signing));
  const cluster: ClusterConfig = {
    version: 1, name: "test", epoch: epoch(0), f: quorums(n).f, signatureSuite: SIGNATURE_SUITE,
    replicas: seeds.map(({ signing, network }, i) => ({
      id: replicaId(i), publicKey: toHex(signingKeyFromSeed(signing).publicKey), networkKey: toHex(signingKeyFromSeed(network).publicKey),
      addresses: [options.addresses?.[i] ?? `/ip4/127.0.0.1/tcp/${7100 + i}`],
    })),
    clients: options.clients === undefined ? "open" : "listed",
    clientKeys: (options.clients ?? []).map((key) => toHex(key.publicKey)),
    parameters: { ...DEFAULT_PARAMETERS, ...options.parameters },
    genesis: options.genesis ?? null,
  };
  const clusterId = clusterIdOf(hasher, cluster);
  const codec = createCodec({ hasher, clusterId, epoch: cluster.epoch, replicas: n, parameters: cluster.parameters });
  return buildTools({ cluster, clusterId, codec, signingKeys, networkSeeds: seeds.map(({ network }) => network) });
}

type Base = Pick<TestCluster, "cluster" | "clusterId" | "codec" | "signingKeys" | "networkSeeds">;

function buildTools(base: Base): TestCluster {
  const { cluster, codec, signingKeys } = base;
  const n = cluster.replicas.length;
  const { strong } = quorums(n, cluster.f);
  const sign = <B extends SignedBody>(body: B): Signed<B> => {
    const unsigned = codec.unsigned(body);
    return codec.seal(body, unsigned, (signingKeys[body.sender] as SigningKey).sign(codec.signingInput(unsigned)));
  };
  const author = (sender: number): { epoch: typeof cluster.epoch; sender: ReturnType<typeof replicaId> } => ({ epoch: cluster.epoch, sender: replicaId(sender) });
  const ref = (sender: number, vote: Vote): VoteRef => ({ frame: tools.votes(sender, [vote]), index: 0 });
  const tools: TestCluster = {
    ...base, strong, sign,
    replicaKeys: signingKeys.map((key) => verifyingKey(key.publicKey)),
    bundle: (operations, { key = clientKey(), ridFirst = 1, ackLow = 0, session = 0, fifo = false } = {}) =>
      codec.makeBundle({ key, session, ridFirst: requestId(ridFirst), ackLow, operations, fifo }),
    batch: (bundles, timestampMs = 1_000) => codec.makeBatch(cluster.epoch, timestampMs, bundles),
    prePrepare: (seq, digest, { view: v = 0, sender = v % n } = {}) => sign({ type: "pre-prepare", ...author(sender), view: view(v), seq: seqNum(seq), digest }),
    votes: (sender, votes) => sign({ type: "votes", ...author(sender), votes }),
    prepared: (seq, digest, inView = 0) => ({
      prePrepare: tools.prePrepare(seq, digest, { view: inView }),
      prepares: Array.from({ length: n }, (_, i) => i).filter((i) => i !== inView % n).slice(0, strong - 1)
        .map((i) => ref(i, { phase: "prepare", view: view(inView), seq: seqNum(seq), digest })),
    }),
    committed: (seq, digest, inView = 0) => ({
      view: view(inView), seq: seqNum(seq), digest,
      commits: Array.from({ length: strong }, (_, i) => ref(i, { phase: "commit", view: view(inView), seq: seqNum(seq), digest })),
    }),
    checkpoint: (sender, seq, root) => sign({ type: "checkpoint", ...author(sender), seq: seqNum(seq), root }),
    stable: (seq, root) => ({ seq: seqNum(seq), root, proof: seq === 0 ? [] : Array.from({ length: strong }, (_, i) => tools.checkpoint(i, seq, root)) }),
    viewChange: (sender, to, { stable, prepared }) => sign({ type: "view-change", ...author(sender), view: view(to), stable, prepared }),
  };
  return tools;
}
