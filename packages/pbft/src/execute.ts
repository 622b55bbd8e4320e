/** Execution: decided slots leave in sequence order, one by one, exactly once (PBFT §4.2). */
import type { Digest, SeqNum } from "@narses/core";
import { assert, NULL_DIGEST, seqNum } from "@narses/core";
import { pruneBehind } from "./checkpoint.ts";
import { forget, proposeReady } from "./request.ts";
import { hasPayload } from "./slots.ts";
import { emit, type Replica } from "./state.ts";
import { pullDecisions } from "./status.ts";
import { noteExecuted } from "./suspicion.ts";

/** Hands over every decided slot that has its payload and no gap before it, at most a log window ahead of what is executed. */
export function executeReady(r: Replica): void {
  if (r.transfer !== undefined) return;
  for (;;) {
    const seq = seqNum(r.handed + 1);
    if (seq > r.executed + r.config.parameters.logWindow) return;
    const slot = r.slots.get(seq);
    const certificate = slot?.committed;
    if (slot === undefined || certificate === undefined || !hasPayload(slot, certificate.digest)) return;
    r.handed = seq;
    emit(r, {
      type: "execute", seq, certificate,
      batch: certificate.digest === NULL_DIGEST ? undefined : slot.payloads.get(certificate.digest),
      checkpoint: seq % r.config.parameters.checkpointInterval === 0,
    });
  }
}

export function onExecuted(r: Replica, seq: SeqNum, obsolete: readonly Digest[]): void {
  assert(seq === r.executed + 1 && seq <= r.handed, `executed ${seq} out of order: last was ${r.executed}, handed over up to ${r.handed}`);
  const slot = r.slots.get(seq);
  const bundles = (slot?.committed && slot.payloads.get(slot.committed.digest)?.bundles) ?? [];
  noteExecuted(r, slot, bundles);
  r.executed = seq;
  for (const { digest } of bundles) forget(r, digest);
  for (const digest of obsolete) forget(r, digest);
  pruneBehind(r);
  pullDecisions(r);
  executeReady(r);
  proposeReady(r);
}
