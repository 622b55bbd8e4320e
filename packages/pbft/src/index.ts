/** The PBFT engine. One entry: everything else is reached through the `OrderingEngine` port of core. */
export { createEngine } from "./step.ts";
export { checkCommitted, checkPrepared, checkStable } from "./certificate.ts";
export { selectProposals, type Selection } from "./new-view.ts";
