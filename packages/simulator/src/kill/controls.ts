/** Negative controls: sound code under more faults than it promises to bear. Each oracle named judges alone, and must speak. */
import type { OracleName } from "../oracles/index.ts";
import type { FaultKind, SimOptions } from "../options.ts";
import type { Mutation } from "./mutation.ts";

export interface Control extends Mutation {
  readonly oracle: OracleName;
}

function control(name: string, oracle: OracleName, faults: FaultKind, options: Mutation["options"], depth: "engine" | "replica", seedsMax: number): Control {
  return { name: `${name}: ${oracle} alone`, oracle, edits: [], seedsMax, depth, faults: [faults], options: { ...options, oracles: [oracle] } };
}

/** Two of four. What they say to each other is in order; to clients they tell one and the same lie. */
const LIE_TO_CLIENTS: Omit<SimOptions, "seed"> = { n: 4, byzantine: 2, policies: ["status-liar"] };

export const NEGATIVE_CONTROLS: readonly Control[] = [
  control("f + 1 equivocate", "agreement", "byzantine", { n: 4, byzantine: 2, policies: ["equivocate"] }, "engine", 40),
  control("f + 1 twins", "agreement", "byzantine", { n: 4, byzantine: 2, policies: ["twins"] }, "engine", 40),
  control("f + 1 equivocate", "state", "byzantine", { n: 4, byzantine: 2, policies: ["equivocate"] }, "replica", 40),
  control("f + 1 tell clients one lie", "validity", "byzantine", LIE_TO_CLIENTS, "replica", 20),
  control("f + 1 tell clients one lie", "linearizability", "byzantine", LIE_TO_CLIENTS, "replica", 20),
  control("f + 1 tell clients one lie", "linearizability-search", "byzantine", LIE_TO_CLIENTS, "replica", 20),
  control("disks of three in four lie about syncs or rot", "linearizability", "disk", { n: 4, byzantine: 3 }, "replica", 200),
];
