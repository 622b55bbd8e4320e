/** What an ordering engine can be told. Inputs are facts; the engine never asks for more by waiting. */
import type { Bundle, Checkpoint, NewView, PeerMessage, PrePrepare, Signed, StableCheckpoint, ViewChange, Votes } from "./messages.ts";
import type { Digest, ReplicaId, SeqNum } from "./ids.ts";
import type { Rejection } from "./reject.ts";
import type { Verified } from "./verified.ts";

export type OwnMessage = Signed<PrePrepare> | Signed<Votes> | Signed<Checkpoint> | Signed<ViewChange> | Signed<NewView>;

export type Input =
  /** First and once: a fresh engine says nothing; a recovered one re-sends what its log says it may have said. */
  | { readonly type: "start"; readonly wallMs: number }
  /** One tick of the monotonic clock (TICK_MS) has passed. `wallMs` is the wall clock, used for timestamps only. */
  | { readonly type: "tick"; readonly wallMs: number }
  /** A client's bundle, admitted by the shell (signature checked, not yet fully executed). */
  | {
      readonly type: "request";
      readonly bundle: Verified<Bundle>;
      /** Another request follows at once: what is proposed can wait for it. The last of a run says nothing. */
      readonly more?: boolean;
    }
  | { readonly type: "message"; readonly from: ReplicaId; readonly message: Verified<PeerMessage> }
  /** This replica's own message, now signed, and everything it depends on durable. Own votes count from here on. */
  | { readonly type: "own"; readonly signed: OwnMessage }
  /** Slot `seq` was executed; `obsolete` names waiting bundles whose every request id has been executed meanwhile. */
  | { readonly type: "executed"; readonly seq: SeqNum; readonly obsolete: readonly Digest[] }
  /** State as of `seq` (a multiple of K) is durable; `root` is the hash of block `seq`. */
  | { readonly type: "checkpointed"; readonly seq: SeqNum; readonly root: Digest }
  /**
   * The state as of a certified checkpoint was fetched from others and is durable, in the place of what was executed here.
   * `stable` is the target of an earlier `transfer` effect, not always of the last one. `obsolete` as in `executed`.
   */
  | { readonly type: "transferred"; readonly stable: StableCheckpoint; readonly obsolete: readonly Digest[] }
  /** The transport gained or lost the connection to a peer. A hint for timers, never for safety. */
  | { readonly type: "peer"; readonly replica: ReplicaId; readonly connected: boolean }
  /** The verifier proved that `replica` sent something no correct replica sends. */
  | { readonly type: "misbehaviour"; readonly replica: ReplicaId; readonly rejection: Rejection };
