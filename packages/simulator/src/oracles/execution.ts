/** Exactly once, in order: each replica executes 1, 2, 3 … without a gap (but for a state that it took over), and no request id takes effect at two slots. */
import { fail, type Oracle } from "./oracle.ts";

export function executionOracle(): Oracle {
  const lastOf = new Map<string, number>();
  const effectiveAt = new Map<string, number>();
  return {
    name: "execution",
    onStart: (replica, disk) => {
      lastOf.set(replica.name, disk.snapshot.seq);
    },
    onTransferred: (replica, stable) => {
      lastOf.set(replica.name, stable.seq);
    },
    onExecuted: (replica, block) => {
      const { seq } = block.header;
      const last = lastOf.get(replica.name) ?? 0;
      if (seq !== last + 1) fail("execution", `${replica.name} executed n${seq} after n${last}`);
      lastOf.set(replica.name, seq);
      (block.batch?.bundles ?? []).forEach((bundle, i) => {
        for (const word of (block.results[i] ?? "").split(" ")) {
          const [rid, outcome] = word.split(":");
          if (outcome === "duplicate") continue;
          const key = `${bundle.client}.${bundle.session}:${rid}`;
          const at = effectiveAt.get(key);
          if (at === undefined) effectiveAt.set(key, seq);
          else if (at !== seq) fail("execution", `request ${rid} of client ${bundle.client.slice(0, 6)} took effect at n${at} and, by ${replica.name}, at n${seq}`);
        }
      });
    },
  };
}
