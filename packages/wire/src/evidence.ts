/**
 * Evidence files: [version u8][tag u8][epoch u32][kind u8][length u32] the accused replica's envelope, then to the end: a second
 * envelope of it (pair), nothing (forged), or the batch (batch).
 */
import type { Evidence, NewView, PrePrepare, Signed, SignedBody, ViewChange } from "@narses/core";
import { readBatch } from "./batch.ts";
import { readEpoch, writeHeader, type Context } from "./context.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { Reader } from "./reader.ts";
import { EVIDENCE_VERSION, TAG } from "./tags.ts";
import { readNewView, readViewChange } from "./view-change.ts";
import { readCheckpoint, readOutcome, readPrePrepare, readVotes } from "./votes.ts";

const KIND = { pair: 1, forged: 2, batch: 3 } as const;

export function encodeEvidence(c: Context, evidence: Evidence): Uint8Array {
  const accused = evidence.type === "pair" ? evidence.first.bytes : evidence.signed.bytes;
  const w = c.writer.begin();
  writeHeader(w, TAG.EVIDENCE, c.epoch, EVIDENCE_VERSION);
  w.u8(KIND[evidence.type]);
  w.u32(accused.length);
  w.raw(accused);
  if (evidence.type === "pair") w.raw(evidence.second.bytes);
  if (evidence.type === "batch") w.raw(evidence.batch.bytes);
  return w.finish();
}

const READERS: ReadonlyMap<number, (r: Reader, c: Context) => Signed<SignedBody>> = new Map<number, (r: Reader, c: Context) => Signed<SignedBody>>([
  [TAG.PRE_PREPARE, readPrePrepare],
  [TAG.VOTES, readVotes],
  [TAG.CHECKPOINT, readCheckpoint],
  [TAG.VIEW_CHANGE, readViewChange],
  [TAG.NEW_VIEW, readNewView],
  [TAG.OUTCOME, readOutcome],
]);

function readSigned(r: Reader, c: Context): Signed<SignedBody> {
  const tag = r.bytes[1] ?? 0;
  const read = READERS.get(tag);
  if (read === undefined) return r.fail("evidence", `type tag ${tag} is no signed message`);
  const signed = read(r, c);
  r.finish("evidence");
  return signed;
}

function readEvidence(r: Reader, c: Context): Evidence {
  const version = r.u8("evidence");
  if (version !== EVIDENCE_VERSION) r.fail("evidence", `version ${version}, this is ${EVIDENCE_VERSION}`);
  const tag = r.u8("evidence");
  if (tag !== TAG.EVIDENCE) r.fail("evidence", `type tag ${tag}, must be ${TAG.EVIDENCE}`);
  readEpoch(r, c, "evidence");
  const kind = r.u8("evidence kind");
  const signed = readSigned(r.part("evidence message", r.u32("evidence message length"), "FRAME_MALFORMED"), c);
  const rest = r.part("evidence", r.remaining, "FRAME_MALFORMED");
  switch (kind) {
    case KIND.pair:
      return { type: "pair", first: signed, second: readSigned(rest, c) };
    case KIND.forged:
      rest.finish("evidence");
      if (!isType(signed, "view-change") && !isType(signed, "new-view")) return r.fail("evidence", `a ${signed.body.type} carries no certificates`);
      return { type: "forged", signed: signed as Signed<ViewChange> | Signed<NewView> };
    case KIND.batch:
      if (!isType(signed, "pre-prepare")) return r.fail("evidence", `a ${signed.body.type} proposes no batch`);
      return { type: "batch", signed: signed as Signed<PrePrepare>, batch: readBatch(rest, c) };
    default:
      return r.fail("evidence kind", `${kind}, must be ${KIND.pair} to ${KIND.batch}`);
  }
}

const isType = (signed: Signed<SignedBody>, type: SignedBody["type"]): boolean => signed.body.type === type;

/** Structure only: `verifyEvidence` of the client decides what it proves. */
export const decodeEvidence = (c: Context, bytes: Uint8Array): Decoded<Evidence> => decoding(() => readEvidence(new Reader(bytes), c));
