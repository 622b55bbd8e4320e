/** A seeded bug: text replaced in a copy of the sources, and within how many seeds the simulator must notice. */
import type { Depth } from "../cli/seeds.ts";
import type { FaultKind, SimOptions } from "../options.ts";
import type { OracleName } from "../oracles/index.ts";

export interface Edit {
  /** Relative to `packages/`. */
  readonly file: string;
  /** Must be in the file, in as many places as `places` says (1 unless given); every one is replaced. */
  readonly find: string;
  readonly replace: string;
  readonly places?: number;
}

export interface Mutation {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** It must die within so many seeds. */
  readonly seedsMax: number;
  readonly depth?: Depth;
  /** Fault kinds taken in turn. */
  readonly faults?: readonly FaultKind[];
  /** Who must notice, and nobody else counts; unset: whoever does. */
  readonly oracle?: OracleName;
  readonly options?: Omit<SimOptions, "seed" | "faults">;
}

export const FAULTS_IN_TURN: readonly FaultKind[] = ["crash", "network", "byzantine", "all"];

export const edit = (file: string, find: string, replace: string): Edit => ({ file, find, replace });
