/** The simulator: a whole cluster in one thread from one seed. */
export { simulate, type SimResult } from "./simulate.ts";
export { describePlan, FAULT_KINDS, livenessBudgetMs, planRun, type FaultKind, type RunPlan, type SimOptions } from "./options.ts";
