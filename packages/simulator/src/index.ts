/** The simulator: a whole cluster in one thread from one seed, with faults and oracles; and a stage for scripts. */
export { simulate, simulateEngine, type AppOptions, type SimResult } from "./simulate.ts";
export type { NextOperation, OperationRandom } from "./application.ts";
export { describePlan, FAULT_KINDS, livenessBudgetMs, planRun, type FaultKind, type RunPlan, type SimOptions } from "./options.ts";
export { POLICY_NAMES, type PolicyName } from "./adversaries/index.ts";
export { type FailureKind, Violation } from "./violation.ts";
export { Stage, STAGE_WALL_MS, type Envelope, type StageOptions } from "./stage.ts";
export { formatBody, formatEffect, formatInput, formatMessage, formatRecord, LEGEND, shortDigest, type NameDigest } from "./format.ts";
