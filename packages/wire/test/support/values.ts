/** fast-check arbitraries of valid values of every type that has a layout. */
import fc from "fast-check";
import {
  digest,
  NODES_PER_FETCH_MAX,
  PAGES_PER_FETCH_MAX,
  NULL_DIGEST,
  replicaId,
  requestId,
  seqNum,
  toHex,
  view,
  type Batch,
  type Block,
  type BlockHeader,
  type Bundle,
  type Checkpoint,
  type ClientId,
  type ClientMessage,
  type CommitCertificate,
  type Digest,
  type LogRecord,
  type NewView,
  type Outcome,
  type PeerMessage,
  type PreparedCertificate,
  type PrePrepare,
  type Receipt,
  type ReplicaToClientMessage,
  type Reply,
  type Signed,
  type StableCheckpoint,
  type StateMessage,
  type StatePage,
  type StatePart,
  type ViewChange,
  type VoteRef,
  type Votes,
} from "@narses/core";
import { codec, EPOCH, fakeKey, PARAMETERS, REPLICAS, sign } from "./cluster.ts";

type Arb<T> = fc.Arbitrary<T>;

/** Ordinary objects, as decoders make them. */
const record = <T extends object>(model: { [K in keyof T]: Arb<T[K]> }): Arb<T> => fc.record(model, { noNullPrototype: true }) as Arb<T>;

const MAX = Number.MAX_SAFE_INTEGER;
/** Small values and both ends of the range, also around the 32-bit halves of a u64. */
const u53 = (min: number): Arb<number> => fc.oneof(fc.integer({ min, max: 40 }), fc.constantFrom(2 ** 32 - 1, 2 ** 32, MAX), fc.maxSafeNat().map((x) => Math.max(x, min)));

export const arbDigest: Arb<Digest> = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => digest(toHex(bytes)));
const arbView = u53(0).map(view);
const arbSeq = u53(1).map(seqNum);
const arbSender = fc.nat(REPLICAS - 1).map(replicaId);

// ── signed by replicas ───────────────────────────────────────────────────────────────────────────────────────────

export const arbPrePrepare: Arb<Signed<PrePrepare>> = record({ sender: arbSender, view: arbView, seq: arbSeq, digest: arbDigest })
  .map((fields) => sign({ type: "pre-prepare", epoch: EPOCH, ...fields }));

const arbVote = record({ phase: fc.constantFrom("prepare" as const, "commit" as const), view: arbView, seq: arbSeq, digest: arbDigest });

export const arbVotes: Arb<Signed<Votes>> = record({ sender: arbSender, votes: fc.array(arbVote, { minLength: 1, maxLength: 5 }) })
  .map((fields) => sign({ type: "votes", epoch: EPOCH, ...fields }));

export const arbCheckpoint: Arb<Signed<Checkpoint>> = record({ sender: arbSender, seq: arbSeq, root: arbDigest })
  .map((fields) => sign({ type: "checkpoint", epoch: EPOCH, ...fields }));

export const arbOutcome: Arb<Signed<Outcome>> = record({ sender: arbSender, seq: arbSeq, block: arbDigest })
  .map((fields) => sign({ type: "outcome", epoch: EPOCH, ...fields }));

export const arbStable: Arb<StableCheckpoint> = fc.oneof(
  arbDigest.map((root) => ({ seq: seqNum(0), root, proof: [] })),
  record({ seq: arbSeq, root: arbDigest, proof: fc.array(arbCheckpoint, { minLength: 1, maxLength: REPLICAS }) }),
);

/** References into a few frames, so that certificates share them. */
const refsOf = (frames: readonly Signed<Votes>[]): Arb<VoteRef[]> =>
  fc.array(
    fc.constantFrom(...frames).chain((frame) => fc.nat(frame.body.votes.length - 1).map((index) => ({ frame, index }))),
    { maxLength: REPLICAS },
  );

const arbFrames = fc.array(arbVotes, { minLength: 1, maxLength: 4 });

const arbPreparedOf = (frames: readonly Signed<Votes>[]): Arb<PreparedCertificate> => record({ prePrepare: arbPrePrepare, prepares: refsOf(frames) });

export const arbPrepared: Arb<PreparedCertificate> = arbFrames.chain(arbPreparedOf);

const bySeq = (a: { readonly body: PrePrepare }, b: { readonly body: PrePrepare }): number => a.body.seq - b.body.seq;

export const arbPreparedList: Arb<PreparedCertificate[]> = arbFrames.chain((frames) =>
  fc
    .uniqueArray(arbPreparedOf(frames), { maxLength: 4, selector: (p) => p.prePrepare.body.seq })
    .map((list) => list.sort((a, b) => bySeq(a.prePrepare, b.prePrepare))),
);

export const arbCommitCertificate: Arb<CommitCertificate> = arbFrames.chain((frames) =>
  record({ view: arbView, seq: arbSeq, digest: arbDigest, commits: refsOf(frames) }),
);

export const arbViewChange: Arb<Signed<ViewChange>> = record({ sender: arbSender, view: u53(1).map(view), stable: arbStable, prepared: arbPreparedList })
  .map((fields) => sign({ type: "view-change", epoch: EPOCH, ...fields }));

const arbViewChanges = fc
  .uniqueArray(arbViewChange, { maxLength: REPLICAS, selector: (s) => s.body.sender })
  .map((list) => list.sort((a, b) => a.body.sender - b.body.sender));

const arbPrePrepares = fc.uniqueArray(arbPrePrepare, { maxLength: 4, selector: (s) => s.body.seq }).map((list) => list.sort(bySeq));

export const arbNewView: Arb<Signed<NewView>> = record({ sender: arbSender, view: u53(1).map(view), viewChanges: arbViewChanges, prePrepares: arbPrePrepares })
  .map((fields) => sign({ type: "new-view", epoch: EPOCH, ...fields }));

// ── clients' bundles and batches ─────────────────────────────────────────────────────────────────────────────────

const arbOperation = record({ kind: fc.constantFrom("apply" as const, "query" as const), payload: fc.uint8Array({ maxLength: 24 }) });

export const arbBundle: Arb<Bundle> = record({ key: fc.nat(9), session: u53(0), ridFirst: u53(1), ack: fc.nat(30), operations: fc.array(arbOperation, { minLength: 1, maxLength: 4 }) })
  .map(({ key, session, ridFirst, ack, operations }) => {
    const rid = Math.min(ridFirst, MAX - operations.length);
    return codec.makeBundle({ key: fakeKey(key), session, ridFirst: requestId(rid), ackLow: Math.min(ack, rid - 1), operations });
  });

export const arbBatch: Arb<Batch> = record({ timestampMs: u53(0), bundles: fc.array(arbBundle, { maxLength: 4 }) })
  .map(({ timestampMs, bundles }) => codec.makeBatch(EPOCH, timestampMs, bundles));

const arbProposal = fc.tuple(arbPrePrepare, arbBatch).map(([signed, batch]) => ({ signed: sign({ ...signed.body, digest: batch.digest }), batch }));

/** Some bundles in place, the others by their digests; always one of those. */
const arbCompact = fc.tuple(arbPrePrepare, u53(0), fc.array(fc.tuple(arbBundle, fc.boolean()), { minLength: 1, maxLength: 4 })).map(([signed, timestampMs, bundles]) => {
  const { digest } = codec.makeBatch(EPOCH, timestampMs, bundles.map(([bundle]) => bundle));
  return { signed: sign({ ...signed.body, digest }), timestampMs, bundles: bundles.map(([bundle, named], i) => (named || i === 0 ? bundle.digest : bundle)) };
});

/** A certificate for a batch, or for none. */
const arbDecided = fc
  .tuple(arbCommitCertificate, fc.option(arbBatch, { nil: undefined }))
  .map(([certificate, batch]) => ({ certificate: { ...certificate, digest: batch?.digest ?? NULL_DIGEST }, batch }));

// ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────

const arbStatus = record({
  view: arbView,
  active: fc.boolean(),
  stableSeq: u53(0).map(seqNum),
  executedSeq: u53(0).map(seqNum),
  slots: fc.uint8Array({ maxLength: 20, max: 7 }),
  viewChanges: fc.oneof(fc.constant(new Uint8Array()), fc.uint8Array({ minLength: 1, maxLength: 1, max: 2 ** REPLICAS - 1 })),
});

export const arbPeer: { readonly [T in PeerMessage["type"]]: Arb<Extract<PeerMessage, { type: T }>> } = {
  "pre-prepare": arbProposal.map((fields) => ({ type: "pre-prepare", ...fields })),
  "compact-pre-prepare": arbCompact.map((fields) => ({ type: "compact-pre-prepare", ...fields })),
  votes: arbVotes.map((signed) => ({ type: "votes", signed })),
  checkpoint: arbCheckpoint.map((signed) => ({ type: "checkpoint", signed })),
  "view-change": arbViewChange.map((signed) => ({ type: "view-change", signed })),
  "new-view": arbNewView.map((signed) => ({ type: "new-view", signed })),
  status: arbStatus.map((status) => ({ type: "status", status })),
  forward: arbBundle.map((bundle) => ({ type: "forward", bundle })),
  "fetch-batch": arbDigest.map((d) => ({ type: "fetch-batch", digest: d })),
  "fetch-bundles": record({ type: fc.constant("fetch-bundles" as const), seq: arbSeq, digest: arbDigest, bundles: fc.array(arbDigest, { minLength: 1, maxLength: 5 }) }),
  batch: arbBatch.map((batch) => ({ type: "batch", batch })),
  decision: arbDecided.map((fields) => ({ type: "decision", ...fields })),
  stable: arbStable.map((stable) => ({ type: "stable", stable })),
  recall: record({ type: fc.constant("recall" as const), nonce: arbDigest, view: arbView }),
  recalled: record({
    nonce: arbDigest, sure: fc.boolean(), view: arbView, seq: u53(0).map(seqNum),
    votes: fc.array(arbVotes, { maxLength: 3 }), prePrepares: fc.array(arbPrePrepare, { maxLength: 3 }), viewChange: fc.option(arbViewChange, { nil: undefined }), stable: arbStable,
  }).map((recalled) => ({ type: "recalled", recalled })),
};

// ── state transfer ───────────────────────────────────────────────────────────────────────────────────────────────

const ascending = (max: number) => fc.uniqueArray(fc.nat(2 ** 20 - 1), { minLength: 1, maxLength: max }).map((list) => list.sort((a, b) => a - b));
const arbLevel = fc.integer({ min: 1, max: 5 });
const arbPart: Arb<StatePart> = fc.oneof(
  fc.constant<StatePart>({ kind: "header" }),
  record<Extract<StatePart, { kind: "nodes" }>>({ kind: fc.constant("nodes" as const), level: arbLevel, indexes: ascending(NODES_PER_FETCH_MAX) }),
  record<Extract<StatePart, { kind: "pages" }>>({ kind: fc.constant("pages" as const), indexes: ascending(PAGES_PER_FETCH_MAX), offset: fc.constant(0) }),
  fc.tuple(fc.nat(2 ** 20 - 1), fc.integer({ min: 1, max: (16 << 20) - 1 })).map(([index, offset]): StatePart => ({ kind: "pages", indexes: [index], offset })),
);
const arbWholePages = ascending(5).chain((buckets) => fc.tuple(...buckets.map((bucket) =>
  fc.uint8Array({ maxLength: 40 }).map((bytes): StatePage => ({ bucket, size: bytes.length, offset: 0, bytes })))));
const arbPagePart = fc.tuple(fc.nat(2 ** 20 - 1), fc.nat(9_999), fc.uint8Array({ minLength: 1, maxLength: 40 }))
  .map(([bucket, offset, bytes]): StatePage[] => [{ bucket, size: offset + bytes.length, offset, bytes }]);
const arbNodes = ascending(4).chain((indexes) => fc.tuple(...indexes.map((index) =>
  fc.integer({ min: 1, max: 16 }).chain((width) => fc.uint8Array({ minLength: 32 * width, maxLength: 32 * width })).map((children) => ({ index, children })))));

export const arbState: { readonly [T in StateMessage["type"]]: Arb<Extract<StateMessage, { type: T }>> } = {
  "fetch-state": fc.tuple(arbSeq, arbPart).map(([seq, part]) => ({ type: "fetch-state", seq, part })),
  "state-header": fc.tuple(fc.nat().chain(() => arbHeader), fc.integer({ min: 1, max: 20 }), fc.uint8Array({ minLength: 32, maxLength: 32 }))
    .map(([header, bits, top]) => ({ type: "state-header", header, bits, top })),
  "state-nodes": fc.tuple(arbSeq, arbLevel, arbNodes).map(([seq, level, nodes]) => ({ type: "state-nodes", seq, level, nodes })),
  "state-pages": fc.tuple(arbSeq, fc.oneof(arbWholePages, arbPagePart)).map(([seq, pages]) => ({ type: "state-pages", seq, pages })),
  "state-gone": fc.tuple(arbSeq, u53(0).map(seqNum)).map(([seq, oldest]) => ({ type: "state-gone", seq, oldest })),
  "fetch-block": fc.tuple(arbSeq, fc.nat((32 << 20) - 1)).map(([seq, offset]) => ({ type: "fetch-block", seq, offset })),
  "block-part": fc.tuple(arbSeq, fc.nat(9_999), fc.uint8Array({ minLength: 1, maxLength: 40 }))
    .map(([seq, offset, bytes]) => ({ type: "block-part", seq, size: offset + bytes.length, offset, bytes })),
};

const arbName = fc.stringMatching(/^[!-~]{1,64}$/);

export const arbClient: { readonly [T in ClientMessage["type"]]: Arb<Extract<ClientMessage, { type: T }>> } = {
  request: arbBundle.map((bundle) => ({ type: "request", bundle })),
  call: record({ type: fc.constant("call" as const), id: u53(0), method: arbName, params: fc.uint8Array({ maxLength: 40 }) }),
};

export const arbHeader: Arb<BlockHeader> = record({
  seq: u53(0).map(seqNum),
  parent: arbDigest,
  timestampMs: u53(0),
  batchDigest: arbDigest,
  bundleRoot: arbDigest,
  resultRoot: arbDigest,
  stateRoot: arbDigest,
});

const arbResults = (min: number, max: number): Arb<Uint8Array[]> => fc.array(fc.uint8Array({ maxLength: 30 }), { minLength: min, maxLength: max });

const arbLeaf = fc.integer({ min: 1, max: 40 }).chain((leafCount) =>
  record({
    leafCount: fc.constant(leafCount),
    leafIndex: fc.nat(leafCount - 1),
    path: fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: Math.ceil(Math.log2(leafCount)) }),
  }),
);

const arbReply: Arb<Reply> = fc
  .tuple(
    record({ client: arbDigest.map((d) => d as string as ClientId), bundleDigest: arbDigest, view: arbView, header: arbHeader, outcome: arbOutcome }),
    arbLeaf,
    arbResults(0, 6),
  )
  .map(([fields, leaf, results]) => ({ ...fields, ...leaf, results }));

/** Without lone surrogates: those do not survive UTF-8. */
const arbText = fc.string({ unit: "grapheme", maxLength: 60 });

export const arbToClient: { readonly [T in ReplicaToClientMessage["type"]]: Arb<Extract<ReplicaToClientMessage, { type: T }>> } = {
  reply: arbReply.map((reply) => ({ type: "reply", reply })),
  refused: record({ type: fc.constant("refused" as const), bundleDigest: arbDigest, code: arbName, detail: arbText }),
  executed: record({ type: fc.constant("executed" as const), bundleDigest: arbDigest, seq: arbSeq, leafIndex: fc.nat() }),
  "call-result": record({ type: fc.constant("call-result" as const), id: u53(0), ok: fc.boolean(), value: fc.uint8Array({ maxLength: 60 }) }),
};

// ── stored values ────────────────────────────────────────────────────────────────────────────────────────────────

/** Leaves properties out that are undefined: absent and undefined differ. */
const optional = <T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };

const maybe = <T>(arb: Arb<T>): Arb<T | undefined> => fc.option(arb, { nil: undefined });

export const arbRecord: { readonly [T in LogRecord["type"]]: Arb<Extract<LogRecord, { type: T }>> } = {
  "pre-prepared": record({ view: arbView, seq: arbSeq, digest: arbDigest, batch: maybe(arbBatch), signed: maybe(arbPrePrepare) })
    .map((f) => ({ type: "pre-prepared", ...optional({ ...f, digest: f.batch?.digest ?? f.digest }) })),
  prepared: arbPrepared.map((certificate) => ({ type: "prepared", certificate })),
  committed: fc
    .tuple(arbCommitCertificate, maybe(arbBatch))
    .map(([certificate, batch]) => ({ type: "committed", ...optional({ certificate: { ...certificate, digest: batch?.digest ?? certificate.digest }, batch }) })),
  "view-left": record({ type: fc.constant("view-left" as const), view: u53(1).map(view), stable: arbStable, prepared: arbPreparedList }),
  "new-view": record({ view: u53(1).map(view), viewChanges: arbViewChanges, signed: maybe(arbNewView), same: fc.boolean() })
    .map(({ view: v, viewChanges, signed, same }) => ({
      type: "new-view",
      ...optional({ view: v, viewChanges: same && signed !== undefined ? signed.body.viewChanges : viewChanges, signed }),
    })),
  stable: arbStable.map((stable) => ({ type: "stable", stable })),
  vouched: record({ type: fc.constant("vouched" as const), seq: arbSeq, root: arbDigest }),
  amnesia: record({ type: fc.constant("amnesia" as const), view: maybe(arbView), floor: maybe(record({ view: arbView, seq: arbSeq })) }),
};

export const arbBlock: Arb<Block> = record({ header: arbHeader, batch: maybe(arbBatch), certificate: maybe(arbCommitCertificate), results: fc.array(arbResults(0, 4), { maxLength: 4 }) })
  .map((block) => ({ ...block, header: { ...block.header, batchDigest: block.batch?.digest ?? NULL_DIGEST } }));

export const arbReceipt: Arb<Receipt> = fc
  .tuple(arbHeader, fc.array(arbOutcome, { maxLength: REPLICAS }), arbLeaf, arbBundle, fc.nat(PARAMETERS.bundleOperationsMax), fc.uint8Array({ maxLength: 20 }))
  .map(([header, outcomes, leaf, bundle, operation, result]) => ({
    version: 1,
    header,
    outcomes,
    ...leaf,
    bundle: bundle.bytes,
    results: bundle.operations.map(() => result),
    operation: operation % bundle.operations.length,
  }));
