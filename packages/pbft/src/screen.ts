/**
 * Screening: whether a message is worth verifying at all. Runs before any signature is checked, on bytes nobody vouches for
 * yet: it judges, and changes nothing. What is stale, already settled, or could not count even if every signature were
 * good ends here, so that a liar cannot make a correct replica verify thousands of signatures for nothing.
 */
import type { PeerMessage, Rejection, ReplicaId, Vote } from "@narses/core";
import { assertNever, bytesEqual, primaryOf, rejection } from "@narses/core";
import { checkCommitted, checkStable } from "./certificate.ts";
import { checkNewView, hasConflict } from "./new-view.ts";
import { hasPayload } from "./slots.ts";
import { lowWatermark, n, primary, type Replica, storeLimit } from "./state.ts";
import { checkViewChange } from "./view-change.ts";

type Verdict = Rejection | undefined;

export function screen(r: Replica, message: PeerMessage): Verdict {
  switch (message.type) {
    case "pre-prepare":
    case "compact-pre-prepare":
      return screenPrePrepare(r, message);
    case "votes":
      return screenVotes(r, message);
    case "checkpoint":
      return message.signed.body.seq <= r.stableKnown.seq ? rejection("SEQ_BELOW_WINDOW", `checkpoint ${r.stableKnown.seq} is stable`) : undefined;
    case "view-change":
      return screenViewChange(r, message);
    case "new-view":
      return screenNewView(r, message);
    case "decision":
      return screenDecision(r, message);
    case "stable":
      if (message.stable.seq <= r.stableKnown.seq) return rejection("SEQ_BELOW_WINDOW", `checkpoint ${r.stableKnown.seq} is known`);
      return invalid(checkStable(r.config, message.stable));
    case "recalled":
      if (message.recalled.nonce !== r.recall?.nonce) return rejection("UNSOLICITED", "nothing was asked, or before an earlier start");
      return invalid(checkStable(r.config, message.recalled.stable));
    case "recall":
    case "status":
    case "forward":
    case "fetch-batch":
    case "fetch-bundles":
    case "batch":
      return undefined;
    default:
      return assertNever(message);
  }
}

const invalid = (problem: string | undefined): Verdict => (problem === undefined ? undefined : rejection("CERTIFICATE_INVALID", problem));

function screenVotes(r: Replica, { signed: { body: { sender, votes } } }: Extract<PeerMessage, { type: "votes" }>): Verdict {
  return votes.every((vote) => isSettled(r, sender, vote)) ? rejection("DUPLICATE", "every vote is about something settled here") : undefined;
}

/** The last votes of a quorum: nothing waits for them, but for one COMMIT of each replica that the decision would be forwarded to otherwise. */
function isSettled(r: Replica, sender: ReplicaId, vote: Vote): boolean {
  if (vote.seq <= lowWatermark(r) || vote.seq > storeLimit(r)) return true;
  const slot = r.slots.get(vote.seq);
  if (slot === undefined) return false;
  if (vote.phase === "commit") return slot.committed !== undefined && !(r.forwarding.has(vote.seq) && !slot.commits.has(sender));
  return slot.prepared !== undefined && slot.prepared.prePrepare.body.view >= vote.view;
}

/** The whole batch is verified after this, so only what the current primary may propose now goes on. */
function screenPrePrepare(r: Replica, { signed: { body } }: Extract<PeerMessage, { type: "pre-prepare" | "compact-pre-prepare" }>): Verdict {
  if (body.view < r.view) return rejection("VIEW_OLD", `view ${body.view}, now in ${r.view}`);
  if (body.view > r.view) return rejection("VIEW_FUTURE", `view ${body.view}, still in ${r.view}`);
  if (!r.active) return rejection("VIEW_INACTIVE", `waiting for the new-view of ${r.view}`);
  if (body.sender !== primary(r)) return rejection("NOT_PRIMARY", `replica ${body.sender} is not the primary of view ${body.view}`);
  if (body.seq <= lowWatermark(r)) return rejection("SEQ_BELOW_WINDOW", `seq ${body.seq}, low watermark ${lowWatermark(r)}`);
  if (body.seq > storeLimit(r)) return rejection("SEQ_ABOVE_WINDOW", `seq ${body.seq}, storing up to ${storeLimit(r)}`);
  const slot = r.slots.get(body.seq);
  const held = slot?.proposal;
  if (slot !== undefined && held?.view === body.view) {
    // Another digest goes on: it is equivocation, and ends this primary's view.
    return held.digest === body.digest && hasPayload(slot, body.digest) ? rejection("DUPLICATE", `seq ${body.seq} is held`) : undefined;
  }
  if (body.seq <= r.settledSeq) return rejection("SEQ_BELOW_WINDOW", `seq ${body.seq} was settled by the new-view of view ${r.view}`);
  const early = slot?.early?.signed.body;
  return early?.view === body.view && early.digest === body.digest ? rejection("DUPLICATE", `seq ${body.seq} waits above the high watermark`) : undefined;
}

function screenViewChange(r: Replica, { signed: { body, bytes } }: Extract<PeerMessage, { type: "view-change" }>): Verdict {
  if (body.view < r.view || (body.view === r.view && r.active)) return rejection("VIEW_OLD", `view ${body.view}, now in ${r.view}`);
  const held = r.viewChanges.get(body.sender);
  if (held !== undefined && held.body.view >= body.view) {
    // Another one for the same view goes on, once: if it is signed, it is equivocation.
    const other = held.body.view === body.view && !bytesEqual(held.bytes, bytes) && !r.twoFaced.has(body.sender);
    return other ? undefined : rejection("DUPLICATE", `one of view ${held.body.view} is held`);
  }
  const problem = checkViewChange(r, body);
  return problem === undefined ? undefined : rejection("VIEW_CHANGE_INVALID", `of replica ${body.sender}: ${problem}`);
}

/** One for the awaited view goes on even when wrong: its primary's signature on it is a reason to leave. */
function screenNewView(r: Replica, { signed: { body } }: Extract<PeerMessage, { type: "new-view" }>): Verdict {
  if (body.view < r.view || (body.view === r.view && r.active)) return rejection("VIEW_OLD", `view ${body.view}, now in ${r.view}`);
  if (body.sender !== primaryOf(body.view, n(r))) return rejection("NOT_PRIMARY", `replica ${body.sender} is not the primary of view ${body.view}`);
  if (body.view === r.view) return undefined;
  if (hasConflict(body.viewChanges.map((vc) => vc.body))) return rejection("NEW_VIEW_INVALID", "certifies two digests for one view and seq");
  const problem = checkNewView(r, body);
  return problem === undefined ? undefined : rejection("NEW_VIEW_INVALID", problem);
}

function screenDecision(r: Replica, { certificate }: Extract<PeerMessage, { type: "decision" }>): Verdict {
  if (certificate.seq <= r.handed) return rejection("DUPLICATE", `seq ${certificate.seq} is decided here`);
  if (certificate.seq > storeLimit(r)) return rejection("SEQ_ABOVE_WINDOW", `seq ${certificate.seq}, storing up to ${storeLimit(r)}`);
  return invalid(checkCommitted(r.config, certificate));
}
