/** Proof that one replica broke the protocol, in its own signed words. Slowness and silence leave none. */
import type { Batch, NewView, PrePrepare, Signed, SignedBody, ViewChange } from "./messages.ts";

export type Evidence =
  /** Two statements of which no correct replica signs both: equivocation. */
  | { readonly type: "pair"; readonly first: Signed<SignedBody>; readonly second: Signed<SignedBody> }
  /** A message whose signer vouches for certificates that do not hold. */
  | { readonly type: "forged"; readonly signed: Signed<ViewChange> | Signed<NewView> }
  /** A proposal whose batch has a request that its client did not sign. */
  | { readonly type: "batch"; readonly signed: Signed<PrePrepare>; readonly batch: Batch };
