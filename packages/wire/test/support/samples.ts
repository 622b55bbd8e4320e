/** One fixed valid value of every kind, for tables of damage and for the golden bytes. */
import {
  digest, replicaId, requestId, seqNum, view, type Batch, type Block, type BlockHeader, type Bundle, type Digest, type LogRecord,
  type Evidence, type PeerMessage, type StateMessage, type Receipt, type StateReceipt, type Reply, type StableCheckpoint, type ViewChange, type Vote,
} from "@narses/core";
import type { Decoded } from "../../src/index.ts";
import { codec, EPOCH, fakeKey, sign } from "./cluster.ts";

export const hash = (byte: number): Digest => digest(byte.toString(16).padStart(2, "0").repeat(32));

export const bundle = (key: number, rid = 5): Bundle =>
  codec.makeBundle({
    key: fakeKey(key),
    session: 3,
    ridFirst: requestId(rid),
    ackLow: rid - 1,
    operations: [
      { kind: "apply", payload: Uint8Array.of(1, 2, 3) },
      { kind: "query", payload: Uint8Array.of(9) },
    ],
  });

export const batch: Batch = codec.makeBatch(EPOCH, 1_700_000_000_123, [bundle(1), bundle(2)]);
export const emptyBatch: Batch = codec.makeBatch(EPOCH, 1_700_000_000_123, []);

export const vote = (phase: Vote["phase"], seq: number, d: Digest = hash(0xd1)): Vote => ({ phase, view: view(3), seq: seqNum(seq), digest: d });

export const votes = (sender: number, list: readonly Vote[]) => sign({ type: "votes" as const, epoch: EPOCH, sender: replicaId(sender), votes: list });
export const prePrepare = (seq: number, d: Digest = hash(0xd1)) =>
  sign({ type: "pre-prepare" as const, epoch: EPOCH, sender: replicaId(3), view: view(3), seq: seqNum(seq), digest: d });
export const checkpoint = (sender: number) => sign({ type: "checkpoint" as const, epoch: EPOCH, sender: replicaId(sender), seq: seqNum(8), root: hash(0xcc) });
export const outcome = (sender: number) => sign({ type: "outcome" as const, epoch: EPOCH, sender: replicaId(sender), seq: seqNum(9), block: hash(0xb0) });

export const stable: StableCheckpoint = { seq: seqNum(8), root: hash(0xcc), proof: [checkpoint(0), checkpoint(2), checkpoint(3)] };
export const genesis: StableCheckpoint = { seq: seqNum(0), root: hash(0x99), proof: [] };

export const frameA = votes(0, [vote("prepare", 9)]);
export const frameB = votes(1, [vote("prepare", 9), vote("prepare", 10, hash(0xd2))]);
export const frameC = votes(2, [vote("commit", 9), vote("prepare", 10, hash(0xd2))]);

export const viewChangeBody = (sender: number): ViewChange => ({
  type: "view-change",
  epoch: EPOCH,
  sender: replicaId(sender),
  view: view(4),
  stable,
  prepared: [
    { prePrepare: prePrepare(9), prepares: [{ frame: frameA, index: 0 }, { frame: frameB, index: 0 }] },
    { prePrepare: prePrepare(10, hash(0xd2)), prepares: [{ frame: frameB, index: 1 }, { frame: frameC, index: 1 }] },
  ],
});

export const newView = sign({
  type: "new-view" as const,
  epoch: EPOCH,
  sender: replicaId(0),
  view: view(4),
  viewChanges: [sign(viewChangeBody(0)), sign(viewChangeBody(1)), sign(viewChangeBody(3))],
  prePrepares: [prePrepare(9), prePrepare(10, hash(0xd2))],
});

export const commitCertificate = { view: view(3), seq: seqNum(9), digest: batch.digest, commits: [{ frame: frameB, index: 0 }, { frame: frameC, index: 0 }] };

export const header: BlockHeader = {
  seq: seqNum(9),
  parent: hash(0x01),
  timestampMs: 1_700_000_000_123,
  batchDigest: batch.digest,
  bundleRoot: hash(0x02),
  resultRoot: hash(0x03),
  stateRoot: hash(0x04),
};

const results = [Uint8Array.of(1, 5), Uint8Array.of(1, 0xc0)];
const leaf = { leafIndex: 1, leafCount: 2, path: [new Uint8Array(32).fill(0x77)] };

export const reply: Reply = { client: bundle(1).client, bundleDigest: bundle(1).digest, view: view(3), header, outcome: outcome(2), ...leaf, results };
export const block: Block = { header, batch, results: [results, results], certificate: commitCertificate };
export const receipt: Receipt = { version: 1, header, outcomes: [outcome(0), outcome(2)], ...leaf, bundle: bundle(1).bytes, results, operation: 1 };

export const stateReceipt: StateReceipt = {
  version: 1, header, checkpoints: [checkpoint(0), checkpoint(2)], key: "account/x",
  proof: { bits: 5, page: Uint8Array.of(1, 2, 3), siblings: [new Uint8Array(480).fill(1), new Uint8Array(32).fill(2)] },
};

const status = { view: view(4), active: false, stableSeq: seqNum(8), executedSeq: seqNum(9), slots: Uint8Array.of(7, 3, 1, 0), viewChanges: Uint8Array.of(0b1011) };

const peers: readonly PeerMessage[] = [
  { type: "pre-prepare", signed: prePrepare(9, batch.digest), batch },
  { type: "compact-pre-prepare", signed: prePrepare(9, batch.digest), timestampMs: batch.timestampMs, bundles: [bundle(1).digest, bundle(2)] },
  { type: "votes", signed: frameC },
  { type: "checkpoint", signed: checkpoint(1) },
  { type: "view-change", signed: sign(viewChangeBody(1)) },
  { type: "new-view", signed: newView },
  { type: "status", status },
  { type: "forward", bundle: bundle(1) },
  { type: "fetch-batch", digest: batch.digest },
  { type: "fetch-bundles", seq: seqNum(9), digest: batch.digest, bundles: [bundle(1).digest] },
  { type: "batch", batch },
  { type: "decision", certificate: commitCertificate, batch },
  { type: "stable", stable },
  { type: "recall", nonce: hash(0x1e), view: view(3) },
  {
    type: "recalled",
    recalled: { nonce: hash(0x1e), sure: true, view: view(4), seq: seqNum(8), votes: [frameA, frameC], prePrepares: [prePrepare(9)], viewChange: sign(viewChangeBody(1)), stable },
  },
];

const stateMessages: readonly (readonly [name: string, message: StateMessage])[] = [
  ["fetch-state header", { type: "fetch-state", seq: seqNum(8), part: { kind: "header" } }],
  ["fetch-state nodes", { type: "fetch-state", seq: seqNum(8), part: { kind: "nodes", level: 2, indexes: [0, 3, 255] } }],
  ["fetch-state pages", { type: "fetch-state", seq: seqNum(8), part: { kind: "pages", indexes: [7], offset: 1 << 20 } }],
  ["state-header", { type: "state-header", header, bits: 16, top: new Uint8Array(32).fill(5) }],
  ["state-nodes", { type: "state-nodes", seq: seqNum(8), level: 2, nodes: [{ index: 3, children: new Uint8Array(64).fill(1) }, { index: 4, children: new Uint8Array(32).fill(2) }] }],
  ["state-pages", {
    type: "state-pages", seq: seqNum(8),
    pages: [{ bucket: 1, size: 2, offset: 0, bytes: Uint8Array.of(1, 2) }, { bucket: 9, size: 0, offset: 0, bytes: new Uint8Array(0) }],
  }],
  ["state-gone", { type: "state-gone", seq: seqNum(8), oldest: seqNum(16) }],
  ["fetch-block", { type: "fetch-block", seq: seqNum(8), offset: 1 << 20 }],
  ["block-part", { type: "block-part", seq: seqNum(8), size: 5, offset: 2, bytes: Uint8Array.of(1, 2, 3) }],
];

const records: readonly LogRecord[] = [
  { type: "pre-prepared", view: view(3), seq: seqNum(9), digest: batch.digest, batch, signed: prePrepare(9, batch.digest) },
  { type: "prepared", certificate: viewChangeBody(1).prepared[0] ?? { prePrepare: prePrepare(9), prepares: [] } },
  { type: "committed", certificate: commitCertificate, batch },
  { type: "view-left", view: view(4), stable, prepared: viewChangeBody(1).prepared },
  { type: "new-view", view: view(4), viewChanges: newView.body.viewChanges, signed: newView },
  { type: "stable", stable },
  { type: "vouched", seq: seqNum(8), root: hash(0xcc) },
  { type: "amnesia", view: view(3), floor: { view: view(3), seq: seqNum(264) } },
];

export const evidence: readonly Evidence[] = [
  { type: "pair", first: frameB, second: frameC },
  { type: "forged", signed: sign(viewChangeBody(1)) },
  { type: "batch", signed: prePrepare(9, batch.digest), batch },
];

export interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly decode: (bytes: Uint8Array) => Decoded<unknown>;
  /** From this byte on any content and any length is valid: the value ends in free bytes. */
  readonly freeFrom?: number;
}

/** Every frame that decodes to `Decoded`. */
export const frames: readonly Sample[] = [
  ...stateMessages.map(([name, m]) => ({ name, bytes: codec.encodePeer(m), decode: codec.decodePeer })),
  ...peers.map((m) => ({ name: m.type, bytes: codec.encodePeer(m), decode: codec.decodePeer })),
  { name: "request", bytes: codec.encodeClient({ type: "request", bundle: bundle(1) }), decode: codec.decodeClient },
  { name: "call", bytes: codec.encodeClient({ type: "call", id: 4, method: "status", params: Uint8Array.of(0xc0) }), decode: codec.decodeClient, freeFrom: 21 },
  { name: "reply", bytes: codec.encodeToClient({ type: "reply", reply }), decode: codec.decodeToClient },
  {
    name: "refused",
    bytes: codec.encodeToClient({ type: "refused", bundleDigest: batch.digest, code: "OVERLOADED", detail: "later" }),
    decode: codec.decodeToClient,
    freeFrom: 49,
  },
  { name: "call-result", bytes: codec.encodeToClient({ type: "call-result", id: 4, ok: true, value: Uint8Array.of(1) }), decode: codec.decodeToClient, freeFrom: 15 },
  {
    name: "executed",
    bytes: codec.encodeToClient({ type: "executed", bundleDigest: batch.digest, seq: seqNum(7), leafIndex: 2 }),
    decode: codec.decodeToClient,
  },
  { name: "receipt", bytes: codec.encodeReceipt(receipt), decode: codec.decodeReceipt },
  ...evidence.map((e) => ({ name: `evidence ${e.type}`, bytes: codec.encodeEvidence(e), decode: codec.decodeEvidence })),
  { name: "state receipt", bytes: codec.encodeStateReceipt(stateReceipt), decode: codec.decodeStateReceipt },
];

export interface StoredSample {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** Every value that a replica reads back from its disk. */
export const stored: readonly StoredSample[] = [
  ...records.map((r) => ({ name: `record ${r.type}`, bytes: codec.encodeRecord(r), decode: codec.decodeRecord })),
  { name: "block", bytes: codec.encodeBlock(block), decode: codec.decodeBlock },
];

/** A copy with `bytes` written at `offset`. */
export function patch(frame: Uint8Array, offset: number, ...bytes: readonly number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, offset);
  return copy;
}
