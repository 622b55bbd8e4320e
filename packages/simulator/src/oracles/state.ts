/** State equality: after n every correct replica has the same block hash; checkpoints sign it; nobody finds itself diverged. */
import type { Digest } from "@narses/core";
import { fail, type Oracle, type Watched } from "./oracle.ts";

export function stateOracle(): Oracle {
  const rootAt = new Map<number, { readonly root: Digest; readonly by: string }>();
  const check = (replica: Watched, seq: number, root: Digest, how: string): void => {
    const held = rootAt.get(seq);
    if (held === undefined) rootAt.set(seq, { root, by: replica.name });
    else if (held.root !== root) fail("state", `state after n${seq}: ${root.slice(0, 6)} ${how} ${replica.name}, ${held.root.slice(0, 6)} at ${held.by}`);
  };
  return {
    name: "state",
    onExecuted: (replica, block) => {
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
