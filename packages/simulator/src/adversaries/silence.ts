/** Saying nothing, to everyone or to some. */
import type { PolicyFactory } from "./policy.ts";
import { othersOf, randomSide } from "./policy.ts";

/** Sends nothing at all. */
export const silent: PolicyFactory = () => ({ name: "silent", outgoing: () => [] });

/** Serves some replicas, leaves the others in the dark. */
export const muteToSome: PolicyFactory = (powers) => {
  const dark = randomSide(powers);
  return { name: "mute-to-some", outgoing: (out) => (dark.has(out.to) ? [] : [out]) };
};

/** Leaves some without PRE-PREPARE only. */
export const selectivePrePrepare: PolicyFactory = (powers) => {
  const dark = randomSide(powers);
  return { name: "selective-pre-prepare", outgoing: (out) => (out.message.type === "pre-prepare" && dark.has(out.to) ? [] : [out]) };
};

/** Takes part in agreement, but not in view changes. */
export const noViewChange: PolicyFactory = () => ({
  name: "no-view-change",
  outgoing: (out) => (out.message.type === "view-change" || out.message.type === "new-view" ? [] : [out]),
});

/** Takes part in view changes with some only: VIEW-CHANGE, or as the new primary NEW-VIEW, to W of the others. */
export const selectiveViewChange: PolicyFactory = (powers) => {
  const told = new Set(powers.random.shuffle(othersOf(powers)).slice(0, powers.config.quorums.weak));
  return {
    name: "selective-view-change",
    outgoing: (out) => ((out.message.type === "view-change" || out.message.type === "new-view") && !told.has(out.to) ? [] : [out]),
  };
};

/** Never vouches for a checkpoint. */
export const noCheckpoints: PolicyFactory = () => ({ name: "no-checkpoints", outgoing: (out) => (out.message.type === "checkpoint" ? [] : [out]) });
