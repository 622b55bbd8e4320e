/** What coverage counts: rules of the protocol, and faults with what they stand for. FAULTS.md has the faults by row of the catalogue. */
import { needsShell, POLICY_NAMES, type PolicyName } from "../adversaries/index.ts";
import type { Depth } from "../cli/seeds.ts";
import type { DiskHealth } from "../disks/disk-health.ts";
import { LINK_FAULTS, type LinkFault } from "../links/network.ts";
import { MOMENT_NAMES, type MomentName } from "../moments.ts";
import { type Habit, habitId, HABITS, needsBytes } from "../clients/habits.ts";

/** Rules, by where `pbft/PROTOCOL.md` has them. */
export const RULE_IDS = [
  "normal: several bundles in one batch",
  "normal: several votes in one frame",
  "normal: a proposal above the high watermark waits for it",
  "normal: a backup relays a bundle to the primary",
  "normal: decided here although not prepared here",
  "normal: decided by a certificate of an earlier view",
  "normal: a request ordered twice takes effect once",
  "large bundles: a compact proposal is executed",
  "large bundles: one is fetched by its digest",
  "checkpoint: the log is truncated",
  "checkpoint: a proof is handed to one who lacks it",
  "state transfer: begins",
  "state transfer: the state is taken over",
  "view change: a request was left unexecuted",
  "view change: others overtook a request",
  "view change: the connection to the primary was lost",
  "view change: joined W others",
  "view change: the new view did not come in time",
  "view change: the primary signed two proposals for one slot",
  "view change: the primary proposed an invalid batch",
  "view change: the primary left a gap",
  "view change: the primary was slow to propose",
  "view change: the primary flooded empty batches",
  "view change: the new-view was invalid",
  "view change: a prepared certificate is reported",
  "new view: settles nothing",
  "new view: carries a prepared batch over",
  "new view: carries a batch over that an earlier view than the last prepared",
  "new view: fills a gap with the null batch",
  "new view: a slot is prepared again",
  "new view: a payload is fetched by its digest",
  "execution: a null batch",
  "retransmission: a relayed view-change",
  "retransmission: a new-view",
  "retransmission: a proposal",
  "retransmission: votes",
  "retransmission: a decision",
  "retransmission: decisions out of the block store",
  "restart: with nothing on disk",
  "restart: from a checkpoint",
  "restart: with a prepared slot that is not decided",
  "restart: in a view change",
  "restart: with a new-view that was not signed yet",
  "restart: votes are repeated",
  "memory: an empty disk is known to have lost votes",
  "memory: one that forgot votes again",
] as const;

export type RuleId = (typeof RULE_IDS)[number];

/** It is the shell that names large bundles by their digest, and gathers them. */
const ofShell = (rule: RuleId): boolean => rule.startsWith("large bundles:");

interface WorldFault {
  readonly id: string;
  /** A line of the trace that matches says that it happened. */
  readonly line: RegExp;
  /** Unset: at both depths. */
  readonly depth?: Depth;
}

const WORLD_FAULTS: readonly WorldFault[] = [
  { id: "process: killed", line: /^# crashes \(kill\)/ },
  { id: "process: power lost", line: /^# crashes \(power\)/ },
  { id: "process: all down at once", line: /^# all go down/ },
  { id: "process: died within a turn", line: /^# dies within a turn/ },
  { id: "process: paused", line: /^# pauses/ },
  { id: "network: a connection breaks", line: /^# the connection of nodes/, depth: "replica" },
  { id: "network: bytes that are no frame", line: /^# the connection of nodes .*announced/, depth: "replica" },
  { id: "disk: damaged", line: /^# its disk is damaged: (?!nothing)/, depth: "replica" },
  { id: "disk: damage is noticed", line: /^# stops: .*(?:corrupt|validate|damaged|checksum|does not)/i, depth: "replica" },
  { id: "disk: an old backup", line: /^# its backup is restored/, depth: "replica" },
  { id: "disk: the end of the log is cut off", line: /^# the last [1-9]\d* bytes of its log are cut off/, depth: "replica" },
  { id: "disk: lost", line: /^# loses its disk/ },
  { id: "clock: an hour ahead", line: /^# its clock is set an hour ahead/, depth: "replica" },
  { id: "clock: an hour back", line: /^# its clock is set an hour back/, depth: "replica" },
  { id: "clock: leaps", line: /^# its clock leaps/, depth: "replica" },
  { id: "clock: stands still", line: /^# its clock stands still/, depth: "replica" },
];

/** What links and disks themselves say, once a message or an operation met it. */
export const linkId = (fault: LinkFault): string => `network: ${fault}`;
const DISK_IDS: Readonly<Record<keyof DiskHealth["met"], string>> = {
  slow: "disk: slow", full: "disk: full", failed: "disk: fails once", storeFailed: "disk: state or blocks cannot be written", lied: "disk: lies about syncs",
  misdirected: "disk: a write lands elsewhere", astray: "disk: another page is read, or an old one",
};
export const diskId = (fault: keyof DiskHealth["met"]): string => DISK_IDS[fault];
/** Counted when it died then, not when it was to. */
export const deathId = (moment: MomentName): string => `process: died ${moment}`;

/** Every fault that a line of the trace tells of. */
export const worldFaultsOf = (line: string): readonly string[] => WORLD_FAULTS.filter((fault) => fault.line.test(line)).map(({ id }) => id);

export const policyId = (name: PolicyName | "twins"): string => `liar: ${name}`;

/** Liars lie to clients as well, whatever else they do. */
export const FORGED_REPLY = "liar: a forged reply";
export const SWAPPED_BODY = "liar: the results of a reply exchanged";

const at = (depth: Depth, only: Depth | undefined): boolean => only === undefined || only === depth;
const ifBytes = (habit: Habit): Depth | undefined => (needsBytes(habit) ? "replica" : undefined);

/** Everything that long runs of this depth must have seen. */
export const catalogueOf = (depth: Depth): readonly string[] => [
  ...RULE_IDS.filter((rule) => at(depth, ofShell(rule) ? "replica" : undefined)),
  ...WORLD_FAULTS.filter((fault) => at(depth, fault.depth)).map(({ id }) => id),
  ...LINK_FAULTS.map(linkId),
  ...MOMENT_NAMES.map(deathId),
  ...(depth === "replica" ? Object.values(DISK_IDS) : []),
  ...[...POLICY_NAMES, "twins" as const].filter((name) => at(depth, needsShell(name) ? "replica" : undefined)).map((name) => policyId(name)),
  ...HABITS.filter((habit) => at(depth, ifBytes(habit))).map(habitId),
  FORGED_REPLY,
  ...(depth === "replica" ? [SWAPPED_BODY] : []),
];
