/** All seeded bugs. */
import type { Mutation } from "./mutation.ts";
import { PHASE_MUTATIONS } from "./phase-mutations.ts";
import { QUORUM_MUTATIONS } from "./quorum-mutations.ts";

export const MUTATIONS: readonly Mutation[] = [...QUORUM_MUTATIONS, ...PHASE_MUTATIONS];
