/** Validity: what is executed was submitted by a client, unaltered; what a client accepts was executed by a correct replica. */
import type { Digest } from "@narses/core";
import { fail, type Oracle } from "./oracle.ts";

export function validityOracle(): Oracle {
  const submitted = new Map<Digest, { readonly floorSeq: number }>();
  const executed = new Map<number, Digest>();
  /** Highest slot any client has accepted an answer from. */
  let acceptedSeq = 0;
  return {
    name: "validity",
    onSubmitted: (bundle) => {
      if (!submitted.has(bundle.digest)) submitted.set(bundle.digest, { floorSeq: acceptedSeq });
    },
    onExecuted: (replica, block) => {
      executed.set(block.header.seq, block.hash);
      for (const bundle of block.batch?.bundles ?? []) {
        if (!submitted.has(bundle.digest)) fail("validity", `${replica.name} executed a bundle at n${block.header.seq} that no client submitted`);
      }
    },
    onAccepted: (bundle, answer) => {
      if (executed.get(answer.seq) !== answer.block) fail("validity", `a client accepted an answer from n${answer.seq} that no correct replica gave`);
      const floor = submitted.get(bundle.digest)?.floorSeq ?? 0;
      // Real time: what was answered before this bundle was sent comes before it in the order.
      if (answer.seq <= floor) fail("validity", `a bundle submitted after n${floor} was answered is ordered at n${answer.seq}: the order contradicts real time`);
      acceptedSeq = Math.max(acceptedSeq, answer.seq);
    },
  };
}
