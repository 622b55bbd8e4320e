/** State equality: after n every correct replica has the same block hash; checkpoints sign it; nobody finds itself diverged. */
import type { Digest } from "@narses/core";
import type { SimBlock } from "../app.ts";
import { fail, type Oracle, type Watched } from "./oracle.ts";

export function stateOracle(): Oracle {
  const rootAt = new Map<number, { readonly root: Digest; readonly by: string }>();
  const blockAt = new Map<number, { readonly block: SimBlock; readonly by: string }>();
  const check = (replica: Watched, seq: number, root: Digest, how: string): void => {
    const held = rootAt.get(seq);
    if (held === undefined) rootAt.set(seq, { root, by: replica.name });
    else if (held.root !== root) fail("state", `state after n${seq}: ${root.slice(0, 6)} ${how} ${replica.name}, ${held.root.slice(0, 6)} at ${held.by}`);
  };
  return {
    name: "state",
    onExecuted: (replica, block) => {
      const { seq } = block.header;
      const first = blockAt.get(seq);
      if (first === undefined) blockAt.set(seq, { block, by: replica.name });
      else if (first.block.hash !== block.hash && first.block.header.batchDigest === block.header.batchDigest) {
        fail("state", `n${seq}, the same operations on equal states: ${difference(first.block, first.by, block, replica.name)}. Is the application deterministic?`);
      }
      check(replica, block.header.seq, block.hash, "executed by");
    },
    onEffect: (replica, effect) => {
      if (effect.type === "diverged") fail("state", `${replica.name} found its state diverged at n${effect.seq}`);
      if (effect.type === "checkpoint") check(replica, effect.seq, effect.root, "signed by");
      if (effect.type === "truncate") {
        if (!rootAt.has(effect.seq)) fail("state", `${replica.name} truncates at n${effect.seq}, which no correct replica executed`);
      }
    },
  };
}

/** What two replicas made of one batch. */
function difference(a: SimBlock, by: string, b: SimBlock, other: string): string {
  if (a.header.parent !== b.header.parent) return `${by} and ${other} were not on equal states before`;
  for (const [i, line] of a.results.entries()) {
    const words = (b.results[i] ?? "").split(" ");
    const at = line.split(" ").findIndex((word, j) => word !== words[j]);
    if (at >= 0) return `${by} answers request ${line.split(" ")[at]?.slice(0, 80)}, ${other} answers ${words[at]?.slice(0, 80)}`;
  }
  return `the answers of ${by} and ${other} are equal, but they wrote different values`;
}
