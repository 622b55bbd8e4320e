/** The catalogue of policies, by name. */
import { adaptive } from "./adaptive.ts";
import { byzzfuzz } from "./byzzfuzz.ts";
import { forgedCertificates } from "./certificates.ts";
import { bombDonor, boastfulDonor, stallingDonor, wrongDonor } from "./donors.ts";
import { emptyBatches } from "./empty-batches.ts";
import { doubleVotes, equivocate, equivocateThenStarve, prematureVotes, wrongDigests } from "./equivocation.ts";
import { anyMutations, foreignEpoch, forger, timeShift } from "./forgery.ts";
import { earlyCheckpoints, replay, smallMutations, statusLiar, windowExhaustion, wrongRoots } from "./noise.ts";
import { censor, delay, favour, slowPrimary } from "./partiality.ts";
import type { PolicyFactory } from "./policy.ts";
import {
  doubleAssignment, forgedRequests, inTheDark, payloadMismatch, phantom, sequenceGap, staleRequests, usurper, withholder, wrongClock, wrongSize,
} from "./primary.ts";
import { swollenNewView, unprovenCheckpoint } from "./swollen.ts";
import { muteToSome, noCheckpoints, noViewChange, selectivePrePrepare, selectiveViewChange, silent } from "./silence.ts";
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
  "favour",
  "slow-primary",
  "in-the-dark",
  "sequence-gap",
  "double-assignment",
  "stale-requests",
  "forged-requests",
  "payload-mismatch",
  "wrong-clock",
  "wrong-size",
  "empty-batches",
  "usurper",
  "withholder",
  "phantom",
  "selective-view-change",
  "no-checkpoints",
  "forger",
  "foreign-epoch",
  "time-shift",
  "any-mutations",
  "byzzfuzz",
  "adaptive",
  "forged-certificates",
  "unproven-checkpoint",
  "swollen-new-view",
  "boastful-donor",
  "wrong-donor",
  "stalling-donor",
  "bomb-donor",
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
  favour,
  "slow-primary": slowPrimary,
  "in-the-dark": inTheDark,
  "sequence-gap": sequenceGap,
  "double-assignment": doubleAssignment,
  "stale-requests": staleRequests,
  "forged-requests": forgedRequests,
  "payload-mismatch": payloadMismatch,
  "wrong-clock": wrongClock,
  "wrong-size": wrongSize,
  "empty-batches": emptyBatches,
  usurper,
  withholder,
  phantom,
  "selective-view-change": selectiveViewChange,
  "no-checkpoints": noCheckpoints,
  forger,
  "foreign-epoch": foreignEpoch,
  "time-shift": timeShift,
  "any-mutations": anyMutations,
  byzzfuzz,
  adaptive,
  "forged-certificates": forgedCertificates,
  "unproven-checkpoint": unprovenCheckpoint,
  "swollen-new-view": swollenNewView,
  "boastful-donor": boastfulDonor,
  "wrong-donor": wrongDonor,
  "stalling-donor": stallingDonor,
  "bomb-donor": bombDonor,
};

/** Change nothing but what shells make and say to each other (pages of a state, proposals that name bundles), and only whole replicas have those. */
const SHELL_ONLY: ReadonlySet<string> = new Set<PolicyName>(["wrong-donor", "stalling-donor", "bomb-donor", "phantom"]);
export const needsShell = (name: PolicyName | "twins"): boolean => SHELL_ONLY.has(name);

/** Those that take more than themselves to have an effect (heartbeats, large bundles, a view change at the right time) are cast so many times as often. */
const CAST_MORE: Readonly<Partial<Record<PolicyName, number>>> = { "empty-batches": 3, phantom: 2, "new-view-liar": 2, "two-new-views": 2 };
export const castingOf = (names: readonly (PolicyName | "twins")[]): readonly (PolicyName | "twins")[] =>
  names.flatMap((name) => Array.from({ length: name === "twins" ? 2 : (CAST_MORE[name] ?? 1) }, () => name));
