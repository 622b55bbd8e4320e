/** The catalogue of policies, by name. */
import { doubleVotes, equivocate, equivocateThenStarve, prematureVotes, wrongDigests } from "./equivocation.ts";
import { earlyCheckpoints, replay, smallMutations, statusLiar, windowExhaustion, wrongRoots } from "./noise.ts";
import { censor, delay } from "./partiality.ts";
import type { PolicyFactory } from "./policy.ts";
import { muteToSome, noViewChange, selectivePrePrepare, silent } from "./silence.ts";
import { newViewBait, newViewLiar, twoNewViews, viewChangeLiar, viewChangeSpam } from "./view-change.ts";

export const POLICY_NAMES = [
  "silent",
  "mute-to-some",
  "selective-pre-prepare",
  "no-view-change",
  "censor",
  "delay",
  "equivocate",
  "equivocate-starve",
  "double-votes",
  "wrong-digests",
  "premature-votes",
  "view-change-spam",
  "view-change-liar",
  "new-view-liar",
  "two-new-views",
  "new-view-bait",
  "replay",
  "status-liar",
  "wrong-roots",
  "early-checkpoints",
  "window-exhaustion",
  "small-mutations",
] as const;

export type PolicyName = (typeof POLICY_NAMES)[number];

export const POLICIES: Readonly<Record<PolicyName, PolicyFactory>> = {
  silent,
  "mute-to-some": muteToSome,
  "selective-pre-prepare": selectivePrePrepare,
  "no-view-change": noViewChange,
  censor,
  delay,
  equivocate,
  "equivocate-starve": equivocateThenStarve,
  "double-votes": doubleVotes,
  "wrong-digests": wrongDigests,
  "premature-votes": prematureVotes,
  "view-change-spam": viewChangeSpam,
  "view-change-liar": viewChangeLiar,
  "new-view-liar": newViewLiar,
  replay,
  "status-liar": statusLiar,
  "wrong-roots": wrongRoots,
  "early-checkpoints": earlyCheckpoints,
  "window-exhaustion": windowExhaustion,
  "small-mutations": smallMutations,
  "two-new-views": twoNewViews,
  "new-view-bait": newViewBait,
};
