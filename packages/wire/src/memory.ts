/**
 * The question of a restarted replica, and the answer:
 *
 *   RECALL    header, nonce 32, view u64
 *   RECALLED  header, nonce 32, sure u8, view u64, seq u64, count u8, VOTES envelopes, count u8, PRE-PREPARE envelopes, view change? u8,
 *             (VIEW-CHANGE envelope), stable checkpoint
 */
import { RECALL_FRAMES_MAX, type PeerMessage, type Recalled, type Signed } from "@narses/core";
import { readStable, writeStable } from "./certificate.ts";
import type { Context } from "./context.ts";
import { PRE_PREPARE_BYTES, votesBytes } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { readViewChange } from "./view-change.ts";
import { readPrePrepare, readVotes } from "./votes.ts";
import type { Writer } from "./writer.ts";

export function writeRecall(w: Writer, { nonce, view }: Extract<PeerMessage, { type: "recall" }>): void {
  w.digest(nonce);
  w.u64(view);
}

export const readRecall = (r: Reader): PeerMessage => ({ type: "recall", nonce: r.digest("recall nonce"), view: r.view64("recall view", 0) });

function writeEnvelopes(w: Writer, list: readonly Signed<unknown>[]): void {
  w.u8(list.length);
  for (const { bytes } of list) w.raw(bytes);
}

export function writeRecalled(w: Writer, { nonce, sure, view, seq, votes, prePrepares, viewChange, stable }: Recalled): void {
  w.digest(nonce);
  w.flag(sure);
  w.u64(view);
  w.u64(seq);
  writeEnvelopes(w, votes);
  writeEnvelopes(w, prePrepares);
  w.flag(viewChange !== undefined);
  if (viewChange !== undefined) w.raw(viewChange.bytes);
  writeStable(w, stable);
}

function readEnvelopes<T>(r: Reader, what: string, bytesMin: number, read: () => T): readonly T[] {
  const count = r.count(what, r.u8(what), RECALL_FRAMES_MAX, bytesMin);
  return Array.from({ length: count }, read);
}

export function readRecalled(r: Reader, c: Context): PeerMessage {
  const nonce = r.digest("recalled nonce");
  const sure = r.flag("recalled sure");
  const view = r.view64("recalled view", 0);
  const seq = r.seq64("recalled seq", 0);
  const votes = readEnvelopes(r, "recalled votes count", votesBytes(1), () => readVotes(r, c));
  const prePrepares = readEnvelopes(r, "recalled pre-prepares count", PRE_PREPARE_BYTES, () => readPrePrepare(r, c));
  const viewChange = r.flag("recalled view-change") ? readViewChange(r, c) : undefined;
  const stable = readStable(r, c);
  return { type: "recalled", recalled: { nonce, sure, view, seq, votes, prePrepares, viewChange, stable } };
}
