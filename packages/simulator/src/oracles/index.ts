/** The oracles of a run, by property. Liveness is judged by the run itself (`liveness.ts`), for it needs the clock. */
import type { Parameters, ReplicaId } from "@narses/core";
import type { Application } from "../application.ts";
import type { Toolkit } from "../keyring.ts";
import { accusationOracle } from "./accusation.ts";
import { agreementOracle } from "./agreement.ts";
import { boundsOracle } from "./bounds.ts";
import { certificateOracle } from "./certificate.ts";
import type { Coverage } from "../coverage/coverage.ts";
import { coverageObserver } from "../coverage/observer.ts";
import { durabilityOracle } from "./durability.ts";
import { executionOracle } from "./execution.ts";
import { linearizabilityOracle } from "./linearizability.ts";
import { nonEquivocationOracle } from "./non-equivocation.ts";
import type { Oracle } from "./oracle.ts";
import { stateOracle } from "./state.ts";
import { validityOracle } from "./validity.ts";
import { viewsOracle } from "./views.ts";

export interface OracleOptions {
  readonly n: number;
  readonly f: number;
  readonly parameters: Parameters;
  readonly toolkit: Toolkit;
  /** Nobody is Byzantine, nor are clients: then nobody may be accused. */
  readonly allCorrect: boolean;
  readonly isCorrect: (id: ReplicaId) => boolean;
  /** Virtual time. */
  readonly now: () => number;
  readonly coverage: Coverage;
  /** Undefined: the counter that engines in small shells have. */
  readonly application: Application | undefined;
}

export const createOracles = (o: OracleOptions): readonly Oracle[] => [
  agreementOracle(),
  validityOracle(),
  nonEquivocationOracle(),
  durabilityOracle(),
  executionOracle(),
  certificateOracle(o.n, o.f, o.toolkit),
  stateOracle(),
  boundsOracle(o.parameters),
  viewsOracle(o.parameters.logWindow),
  linearizabilityOracle(o.now, o.application),
  coverageObserver(o.coverage, o.parameters.logWindow),
  accusationOracle(o),
];
