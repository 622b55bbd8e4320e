/** What coverage counts: rules of the protocol, and faults with what they stand for. */
import { POLICY_NAMES, type PolicyName } from "../adversaries/index.ts";

/** Rules, by where `pbft/PROTOCOL.md` has them. */
export const RULE_IDS = [
  "normal: several bundles in one batch",
  "normal: several votes in one frame",
  "normal: a proposal above the high watermark waits for it",
  "normal: a backup relays a bundle to the primary",
  "normal: decided here although not prepared here",
  "normal: decided by a certificate of an earlier view",
  "normal: a request ordered twice takes effect once",
  "checkpoint: the log is truncated",
  "checkpoint: a proof is handed to one who lacks it",
  "view change: a request was left unexecuted",
  "view change: the connection to the primary was lost",
  "view change: joined W others",
  "view change: the new view did not come in time",
  "view change: the primary signed two proposals for one slot",
  "view change: the primary proposed an invalid batch",
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
] as const;

export type RuleId = (typeof RULE_IDS)[number];

/** Faults of the world. A line of the trace with this beginning says that it happened. */
const WORLD_FAULTS: readonly { readonly id: string; readonly line: string }[] = [
  { id: "process: killed", line: "# crashes (kill)" },
  { id: "process: power lost", line: "# crashes (power)" },
  { id: "process: died within a turn", line: "# dies within a turn" },
  { id: "process: paused", line: "# pauses" },
  { id: "network: halves", line: "# cuts links (halves)" },
  { id: "network: one replica alone", line: "# cuts links (single)" },
  { id: "network: one-way cut", line: "# cuts links (one-way)" },
  { id: "network: ring", line: "# cuts links (ring)" },
  { id: "network: star", line: "# cuts links (star)" },
  { id: "network: flapping links", line: "# links flap" },
  { id: "network: a narrow replica", line: "# all its links carry" },
  { id: "network: a clogged link", line: "# clogs" },
  { id: "network: a connection breaks", line: "# the connection of nodes" },
  { id: "disk: damaged", line: "# its disk is damaged" },
  { id: "disk: full", line: "# its disk is full" },
  { id: "disk: slow", line: "# its disk is slow" },
  { id: "disk: lies about syncs", line: "# its disk lies about syncs" },
  { id: "disk: a write lands elsewhere", line: "# a write will land" },
  { id: "disk: fails once", line: "# its disk is about to fail once" },
  { id: "disk: an old backup", line: "# its backup is restored" },
  { id: "disk: lost", line: "# loses its disk" },
];

export const worldFaultOf = (line: string): string | undefined => WORLD_FAULTS.find((fault) => line.startsWith(fault.line))?.id;

export const policyId = (name: PolicyName | "twins"): string => `liar: ${name}`;

export const FAULT_IDS: readonly string[] = [...WORLD_FAULTS.map(({ id }) => id), ...POLICY_NAMES.map(policyId), policyId("twins"), "client: two bundles under the same ids"];
