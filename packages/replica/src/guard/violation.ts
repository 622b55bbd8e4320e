/** What the determinism guard found: it stops whoever runs the state machine, and is never a result. */
import { NarsesError } from "@narses/core";

export type Hazard =
  /** An API was used whose answer differs between machines, moments or versions. */
  | { readonly kind: "api"; readonly api: string; readonly why: string }
  /** The same call, made twice from the same state, did not do the same. */
  | { readonly kind: "outcome" | "write" | "order"; readonly detail: string; readonly key?: string };

export class DeterminismViolation extends NarsesError {
  readonly hazards: readonly Hazard[];

  constructor(call: string, hazards: readonly Hazard[]) {
    const text = hazards.map(describe).join("; ");
    super("APP_NONDETERMINISTIC", `the state machine is not deterministic: ${call}: ${text}. Replicas that run it would drift apart`, { call, hazards });
    this.hazards = hazards;
  }
}

function describe(hazard: Hazard): string {
  if (hazard.kind === "api") return `it used ${hazard.api}, ${hazard.why}`;
  return hazard.detail;
}
