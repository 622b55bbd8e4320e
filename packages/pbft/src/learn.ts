/** Learning from others: decided slots and payloads, each proven by what it carries. */
import type { Batch, CommitCertificate, ReplicaId } from "@narses/core";
import { checkCommitted } from "./certificate.ts";
import { executeReady } from "./execute.ts";
import { onPayload } from "./pre-prepare.ts";
import { addPayload, slotAt } from "./slots.ts";
import { reject, type Replica, storeLimit } from "./state.ts";
import { decide } from "./vote.ts";

/** A commit certificate of any view, with its payload, decides the slot here too: a late learner need not have voted. */
export function onDecision(r: Replica, from: ReplicaId, certificate: CommitCertificate, batch: Batch | undefined): void {
  const { seq } = certificate;
  if (seq <= r.handed) return;
  if (seq > storeLimit(r)) return reject(r, from, "decision", "SEQ_ABOVE_WINDOW", `seq ${seq}, storing up to ${storeLimit(r)}`);
  const problem = checkCommitted(r.config, certificate);
  if (problem !== undefined) return reject(r, from, "decision", "CERTIFICATE_INVALID", problem);
  const slot = slotAt(r, seq);
  if (batch !== undefined) addPayload(slot, batch);
  decide(r, slot, certificate);
  executeReady(r);
}

/** A payload asked for by digest. Its client signatures are not judged: it is taken only where a certificate names it. */
export function onBatch(r: Replica, from: ReplicaId, batch: Batch): void {
  let wanted = false;
  for (const slot of r.slots.values()) {
    const names = slot.proposal?.digest === batch.digest || slot.committed?.digest === batch.digest || slot.prepared?.prePrepare.body.digest === batch.digest;
    if (!names || slot.payloads.has(batch.digest)) continue;
    wanted = true;
    onPayload(r, slot, batch);
  }
  if (!wanted) reject(r, from, "batch", "UNSOLICITED", "no certificate here names this payload");
}
