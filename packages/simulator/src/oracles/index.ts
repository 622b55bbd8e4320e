/** The oracles of a run, by property. Liveness is judged by the run itself (`simulate.ts`), for it needs the clock. */
import type { Parameters, ReplicaId } from "@narses/core";
import { type Application, COUNTER } from "../application.ts";
import type { Coverage } from "../coverage/coverage.ts";
import { coverageObserver } from "../coverage/observer.ts";
import type { Toolkit } from "../keyring.ts";
import { accusationOracle } from "./accusation.ts";
import { agreementOracle } from "./agreement.ts";
import { boundsOracle } from "./bounds.ts";
import { certificateOracle } from "./certificate.ts";
import { durabilityOracle } from "./durability.ts";
import { executionOracle } from "./execution.ts";
import { linearizabilityOracle } from "./linearizability.ts";
import { linearizabilitySearchOracle } from "./linearizability-search.ts";
import { nonEquivocationOracle } from "./non-equivocation.ts";
import type { Oracle } from "./oracle.ts";
import { stateOracle } from "./state.ts";
import { validityOracle } from "./validity.ts";
import { viewsOracle } from "./views.ts";

export const ORACLE_NAMES = [
  "agreement", "validity", "non-equivocation", "durability", "execution", "certificate", "state", "bounds", "views", "linearizability", "linearizability-search", "accusation",
] as const;
export type OracleName = (typeof ORACLE_NAMES)[number];

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
  /** Those that judge; undefined: all. */
  readonly judges: readonly OracleName[] | undefined;
}

const FACTORIES: Readonly<Record<OracleName, (o: OracleOptions) => Oracle>> = {
  agreement: agreementOracle,
  validity: validityOracle,
  "non-equivocation": nonEquivocationOracle,
  durability: durabilityOracle,
  execution: executionOracle,
  certificate: ({ n, f, toolkit }) => certificateOracle(n, f, toolkit),
  state: stateOracle,
  bounds: ({ parameters }) => boundsOracle(parameters),
  views: ({ parameters }) => viewsOracle(parameters.logWindow),
  linearizability: ({ now, application }) => linearizabilityOracle(now, application),
  "linearizability-search": ({ now, coverage }) => linearizabilitySearchOracle(now, coverage),
  accusation: accusationOracle,
};

/** Only what has a model can be searched. */
const applies = (name: OracleName, { application }: OracleOptions): boolean => name !== "linearizability-search" || application === undefined || application === COUNTER;

export const createOracles = (o: OracleOptions): readonly Oracle[] => [
  ...ORACLE_NAMES.filter((name) => applies(name, o) && (o.judges?.includes(name) ?? true)).map((name) => FACTORIES[name](o)),
  coverageObserver(o.coverage, o.parameters.logWindow),
];
