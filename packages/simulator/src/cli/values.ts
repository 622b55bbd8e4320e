/** What a flag may be. Each throws a RangeError that says what would be right; the program turns it into exit code 64. */
import { POLICY_NAMES, type PolicyName } from "../adversaries/index.ts";
import type { Depth } from "./seeds.ts";
import { FAULT_KINDS, type FaultKind } from "../options.ts";
import { ORACLE_NAMES, type OracleName } from "../oracles/index.ts";
import { LEADERS, type Leaders } from "../twins/enumerate.ts";

export const integer = (name: string, min: number) => (text: string): number => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < min) throw new RangeError(`${name} must be an integer of at least ${min}, got ${text}`);
  return value;
};

export function faultKind(text: string): FaultKind {
  const found = FAULT_KINDS.find((kind) => kind === text);
  if (found === undefined) throw new RangeError(`--faults must be one of ${FAULT_KINDS.join(", ")}, got ${text}`);
  return found;
}

export function depth(text: string): Depth {
  if (text !== "replica" && text !== "engine") throw new RangeError(`--depth must be replica or engine, got ${text}`);
  return text;
}

export function leaders(text: string): Leaders {
  const found = LEADERS.find((one) => one === text);
  if (found === undefined) throw new RangeError(`--leaders must be one of ${LEADERS.join(", ")}, got ${text}`);
  return found;
}

export function oracles(text: string): readonly OracleName[] {
  return text.split(",").map((name) => {
    const found = ORACLE_NAMES.find((one) => one === name);
    if (found === undefined) throw new RangeError(`no oracle ${name}; there are ${ORACLE_NAMES.join(", ")}`);
    return found;
  });
}

export function policies(text: string): readonly (PolicyName | "twins")[] {
  const known: readonly (PolicyName | "twins")[] = ["twins", ...POLICY_NAMES];
  return text.split(",").map((name) => {
    const found = known.find((one) => one === name);
    if (found === undefined) throw new RangeError(`no policy ${name}; there are ${known.join(", ")}`);
    return found;
  });
}
