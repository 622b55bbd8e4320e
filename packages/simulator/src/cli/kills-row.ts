/** What a summary says about kills: whether the simulator notices at all is shown by seeded bugs, and KILLS.md is the record of them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkoutRoot, fingerprint } from "../kill/sandbox.ts";
import { toldBy } from "../kill/table.ts";
import { ToolError } from "./tool-error.ts";

const PAGE = "packages/simulator/KILLS.md";

function checkout(): string | undefined {
  try {
    return checkoutRoot();
  } catch (error) {
    if (error instanceof ToolError) return undefined;
    throw error;
  }
}

/** What runs here, for what must not be mixed with runs of anything else; empty for an installed package, which does not change. */
export function sourcesHere(): string {
  const root = checkout();
  return root === undefined ? "" : fingerprint(root);
}

export function killsRow(): string {
  const root = checkout();
  if (root === undefined) return "seeded bugs need a checkout of the repository: pnpm sim kill";
  const path = join(root, PAGE);
  if (!existsSync(path)) return `no record: pnpm sim kill --out ${PAGE}`;
  const { dead, all, sources } = toldBy(readFileSync(path, "utf8"));
  const here = fingerprint(root);
  const of = sources === here ? `these very sources (${here})` : `the sources ${sources ?? "of an earlier version"}, these are ${here}: pnpm sim kill --out ${PAGE}`;
  return `${dead} of ${all} seeded bugs and negative controls noticed within their seeds, by ${PAGE} of ${of}`;
}
