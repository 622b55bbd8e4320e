/** What coverage counts: rules of the protocol, and faults with what they stand for. FAULTS.md has the faults by row of the catalogue. */
import { needsPages, POLICY_NAMES, type PolicyName } from "../adversaries/index.ts";
import type { Depth } from "../cli/seeds.ts";
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
  { id: "process: died in a view change", line: /^# will die in a view change/ },
  { id: "process: died entering a new view", line: /^# will die entering a new view/ },
  { id: "process: died making a new view", line: /^# will die making a new view/ },
  { id: "process: died at a checkpoint", line: /^# will die at a checkpoint/ },
  { id: "process: died in a state transfer", line: /^# will die in a state transfer/ },
  { id: "process: died soon after a start", line: /^# will die soon after its start/ },
  { id: "process: paused", line: /^# pauses/ },
  { id: "network: messages are lost", line: /^# weather: .*loss 0\./ },
  { id: "network: messages come twice", line: /^# weather: .*duplication 0\./ },
  { id: "network: messages overtake each other", line: /^# weather: .*reordering/ },
  { id: "network: links differ", line: /^# weather differs/ },
  { id: "network: halves", line: /^# cuts links \(halves\)/ },
  { id: "network: one replica alone", line: /^# cuts links \(single\)/ },
  { id: "network: one-way cut", line: /^# cuts links \(one-way\)/ },
  { id: "network: ring", line: /^# cuts links \(ring\)/ },
  { id: "network: star", line: /^# cuts links \(star\)/ },
  { id: "network: bridge", line: /^# cuts links \(bridge\)/ },
  { id: "network: flapping links", line: /^# links flap/ },
  { id: "network: a narrow replica", line: /^# all its links carry/ },
  { id: "network: a clogged link", line: /^# clogs/ },
  { id: "network: a connection breaks", line: /^# the connection of nodes/, depth: "replica" },
  { id: "network: bytes that are no frame", line: /^# the connection of nodes .*announced/, depth: "replica" },
  { id: "disk: damaged", line: /^# its disk is damaged/, depth: "replica" },
  { id: "disk: damage is noticed", line: /^# stops: .*(?:corrupt|validate|damaged|checksum|does not)/i, depth: "replica" },
  { id: "disk: full", line: /^# its disk is full/, depth: "replica" },
  { id: "disk: slow", line: /^# its disk is slow/, depth: "replica" },
  { id: "disk: lies about syncs", line: /^# its disk lies about syncs/, depth: "replica" },
  { id: "disk: a write lands elsewhere", line: /^# a write will land/, depth: "replica" },
  { id: "disk: fails once", line: /^# its disk is about to fail once/, depth: "replica" },
  { id: "disk: an old backup", line: /^# its backup is restored/, depth: "replica" },
  { id: "disk: lost", line: /^# loses its disk/ },
  { id: "clock: an hour ahead", line: /^# its clock is set an hour ahead/, depth: "replica" },
  { id: "clock: an hour back", line: /^# its clock is set an hour back/, depth: "replica" },
  { id: "clock: leaps", line: /^# its clock leaps/, depth: "replica" },
  { id: "clock: stands still", line: /^# its clock stands still/, depth: "replica" },
];

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
  ...RULE_IDS,
  ...WORLD_FAULTS.filter((fault) => at(depth, fault.depth)).map(({ id }) => id),
  ...[...POLICY_NAMES, "twins" as const].filter((name) => at(depth, needsPages(name) ? "replica" : undefined)).map((name) => policyId(name)),
  ...HABITS.filter((habit) => at(depth, ifBytes(habit))).map(habitId),
  FORGED_REPLY,
  ...(depth === "replica" ? [SWAPPED_BODY] : []),
];
