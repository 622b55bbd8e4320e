/**
 * What a replica writes to its vote log before it speaks (protocol table "what before what"). A record is written once,
 * never changed. Together, the records above the last stable checkpoint rebuild the engine after a crash.
 */
import type { Batch, CommitCertificate, NewView, PreparedCertificate, PrePrepare, Signed, StableCheckpoint, ViewChange } from "./messages.ts";
import type { Digest, SeqNum, View } from "./ids.ts";

export type LogRecord =
  /** Before PRE-PREPARE (own proposal: `signed` absent, signatures are deterministic and can be remade) and before PREPARE. */
  | {
      readonly type: "pre-prepared";
      readonly view: View;
      readonly seq: SeqNum;
      readonly digest: Digest;
      /** Absent for a null batch, or when the payload is in an earlier record for the same digest. */
      readonly batch?: Batch;
      readonly signed?: Signed<PrePrepare>;
    }
  /** Before COMMIT: a later view change must be able to report it. */
  | { readonly type: "prepared"; readonly certificate: PreparedCertificate }
  /** Not needed before anything (Q−f others hold durable prepared certificates); saves work after a restart. */
  | { readonly type: "committed"; readonly certificate: CommitCertificate; readonly batch?: Batch }
  /** Before VIEW-CHANGE: the replica has left every view below `view`, and must come back inactive in it. */
  | { readonly type: "view-left"; readonly view: View; readonly stable: StableCheckpoint; readonly prepared: readonly PreparedCertificate[] }
  /** Before NEW-VIEW (own: `viewChanges` alone, O follows from them) and before the first vote in it. */
  | { readonly type: "new-view"; readonly view: View; readonly viewChanges: readonly Signed<ViewChange>[]; readonly signed?: Signed<NewView> }
  /** Before truncating at or below it. */
  | { readonly type: "stable"; readonly stable: StableCheckpoint }
  /** Before CHECKPOINT: never two roots for one slot, also after a repair. */
  | { readonly type: "vouched"; readonly seq: SeqNum; readonly root: Digest }
  /**
   * Before anything else once it is known that the log lacks what was said. `view`: the last one this replica left or
   * entered, if that is known. `floor`: nothing said before the loss was of a slot above `floor.seq`, nor of a view above `floor.view`.
   */
  | { readonly type: "amnesia"; readonly view: View | undefined; readonly floor: { readonly view: View; readonly seq: SeqNum } | undefined };

/** The slot a record belongs to; undefined for records about views and checkpoints. */
export function recordSeq(record: LogRecord): SeqNum | undefined {
  switch (record.type) {
    case "pre-prepared":
      return record.seq;
    case "prepared":
      return record.certificate.prePrepare.body.seq;
    case "committed":
      return record.certificate.seq;
    case "vouched":
      return record.seq;
    case "view-left":
    case "new-view":
    case "stable":
    case "amnesia":
      return undefined;
  }
}
