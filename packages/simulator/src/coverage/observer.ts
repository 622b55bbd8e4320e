/** Sees what correct replicas are told and what they do, and counts the rules behind it. */
import type { Digest, Effect, Input, LogRecord, ReplicaId, SeqNum } from "@narses/core";
import type { SimBlock } from "../app.ts";
import { habitId } from "../clients/habits.ts";
import { idleOf, operationId, requestIds } from "../history/reference.ts";
import type { Oracle, Watched } from "../oracles/oracle.ts";
import { MOMENT_NAMES, type MomentName } from "../moments.ts";
import { deathId, type RuleId, worldFaultsOf } from "./catalogue.ts";
import type { Coverage } from "./coverage.ts";

/** What the words of a `view-left` say about its cause. */
const CAUSES: readonly (readonly [RegExp, RuleId])[] = [
  [/left a request unexecuted/, "view change: a request was left unexecuted"],
  [/of other clients, which came later/, "view change: others overtook a request"],
  [/and nothing for seq/, "view change: the primary left a gap"],
  [/ticks to propose what waited/, "view change: the primary was slow to propose"],
  [/floods empty batches/, "view change: the primary flooded empty batches"],
  [/connection to primary/, "view change: the connection to the primary was lost"],
  [/other replicas moved/, "view change: joined W others"],
  [/no new-view for view/, "view change: the new view did not come in time"],
  [/equivocated at seq/, "view change: the primary signed two proposals for one slot"],
  [/proposed an invalid batch/, "view change: the primary proposed an invalid batch"],
  [/new-view of \d+ is invalid/, "view change: the new-view was invalid"],
];

interface Memory {
  view: number;
  low: number;
  /** View in which a slot was last prepared here. */
  readonly prepared: Map<SeqNum, number>;
  /** Counts its starts. */
  life: number;
  /** Votes above the low watermark, and in which life they were cast last. */
  readonly said: Map<string, { readonly seq: SeqNum; readonly life: number }>;
  /** Digests of compact proposals that came here, by slot. */
  readonly announced: Map<SeqNum, Digest>;
  /** Asked for bundles just now. */
  asking: ReplicaId | undefined;
  /** The moment in which it is to die, while that lasts. */
  doom: MomentName | undefined;
}

export function coverageObserver(coverage: Coverage, logWindow: number): Oracle {
  const memories = new Map<string, Memory>();
  const named = (name: string): Memory => {
    let memory = memories.get(name);
    if (memory === undefined) {
      memory = { view: 0, low: 0, prepared: new Map(), life: 0, said: new Map(), announced: new Map(), asking: undefined, doom: undefined };
      memories.set(name, memory);
    }
    return memory;
  };
  const of = (replica: Watched): Memory => named(replica.name);
  /** The last slot that any replica was seen to execute. */
  let executed = 0;
  /** What first took a request id, by client and session. */
  const takers = new Map<string, Digest>();
  const contradicts = ({ batch, results }: SimBlock): boolean => (batch?.bundles ?? []).map((bundle, i) => {
    const idle = idleOf(results[i] ?? "");
    return requestIds(bundle).map((rid) => {
      const id = operationId(bundle, rid);
      if (!idle.has(rid)) takers.set(id, bundle.digest);
      return idle.has(rid) && takers.get(id) !== undefined && takers.get(id) !== bundle.digest;
    }).includes(true);
  }).includes(true);
  const mark = (id: RuleId): void => coverage.sometimes(id);
  return {
    name: "coverage",
    onNote: (line, who) => {
      if (who !== undefined) onFate(coverage, named(who), line);
      for (const fault of worldFaultsOf(line)) coverage.sometimes(fault);
    },
    onInput: (replica, input) => onInput(mark, of(replica), input, logWindow),
    onEffect: (replica, effect) => onEffect(mark, of(replica), replica, effect),
    onSigned: (_replica, { body }) => {
      if (body.type === "votes" && body.votes.length > 1) mark("normal: several votes in one frame");
    },
    onExecuted: (_replica, block) => {
      if (block.header.seq <= executed) return;
      executed = block.header.seq;
      if (contradicts(block)) coverage.sometimes(habitId("two-bundles"));
      if (block.results.some((line) => line.includes("duplicate"))) mark("normal: a request ordered twice takes effect once");
    },
    onStart: (replica, disk) => {
      of(replica).life++;
      if (disk.snapshot.seq > 0) mark("restart: from a checkpoint");
      else if (disk.records.length === 0) mark("restart: with nothing on disk");
      const views = disk.records.filter((record) => record.type === "view-left" || record.type === "new-view")
        .sort((a, b) => b.view - a.view || Number(b.type === "new-view") - Number(a.type === "new-view"));
      if (views[0]?.type === "view-left") mark("restart: in a view change");
      if (views[0]?.type === "new-view" && !views.some((record) => record.type === "new-view" && record.signed !== undefined && record.view === views[0]?.view)) {
        mark("restart: with a new-view that was not signed yet");
      }
      const decided = new Set(disk.records.flatMap((record) => (record.type === "committed" ? [record.certificate.seq] : [])));
      const undecided = disk.records.some((record) => record.type === "prepared" && !decided.has(record.certificate.prePrepare.body.seq));
      if (undecided) mark("restart: with a prepared slot that is not decided");
    },
  };
}

/** Deaths that were meant for a moment count when they come in it. */
function onFate(coverage: Coverage, memory: Memory, line: string): void {
  const planned = MOMENT_NAMES.find((moment) => line === `# will die ${moment}`);
  if (planned !== undefined) memory.doom = planned;
  else if (/^# (?:crashes|dies within a turn) /.test(line)) {
    if (memory.doom !== undefined) coverage.sometimes(deathId(memory.doom));
    memory.doom = undefined;
  } else if (/^# up: /.test(line)) memory.doom = undefined;
}

function onInput(mark: (id: RuleId) => void, memory: Memory, input: Input, logWindow: number): void {
  if (input.type === "transferred") {
    mark("state transfer: the state is taken over");
    if (memory.doom === "in a state transfer") memory.doom = undefined;
  }
  // Durable: a death from here on comes after the checkpoint.
  if (input.type === "checkpointed" && memory.doom === "at a checkpoint") memory.doom = undefined;
  memory.asking = input.type === "message" && input.message.type === "fetch-bundles" ? input.from : undefined;
  if (input.type === "message" && input.message.type === "compact-pre-prepare") memory.announced.set(input.message.signed.body.seq, input.message.signed.body.digest);
  if (input.type !== "message" || input.message.type !== "pre-prepare") return;
  const { seq, view } = input.message.signed.body;
  if (view === memory.view && seq > memory.low + logWindow && seq <= memory.low + 2 * logWindow) mark("normal: a proposal above the high watermark waits for it");
}

function onEffect(mark: (id: RuleId) => void, memory: Memory, replica: Watched, effect: Effect): void {
  switch (effect.type) {
    case "pre-prepare":
      if ((effect.batch?.bundles.length ?? 0) > 1) mark("normal: several bundles in one batch");
      return;
    case "vote": {
      const { phase, view, seq } = effect.vote;
      const said = `${phase} ${view} ${seq}`;
      if ((memory.said.get(said)?.life ?? memory.life) < memory.life) mark("restart: votes are repeated");
      memory.said.set(said, { seq, life: memory.life });
      return;
    }
    case "persist":
      return onPersist(mark, memory, effect.record);
    case "execute":
      if (effect.batch === undefined) mark("execution: a null batch");
      if (effect.batch !== undefined && memory.announced.get(effect.seq) === effect.batch.digest) mark("large bundles: a compact proposal is executed");
      if (!memory.prepared.has(effect.seq)) mark("normal: decided here although not prepared here");
      if (effect.certificate.view < memory.view) mark("normal: decided by a certificate of an earlier view");
      return;
    case "truncate":
      memory.low = effect.seq;
      for (const slots of [memory.prepared, memory.announced]) for (const seq of slots.keys()) if (seq <= effect.seq) slots.delete(seq);
      for (const [key, { seq }] of memory.said) if (seq <= effect.seq) memory.said.delete(key);
      return mark("checkpoint: the log is truncated");
    case "view-left":
      memory.view = effect.view;
      for (const [pattern, id] of CAUSES) if (pattern.test(effect.reason)) mark(id);
      return;
    case "view-entered":
      memory.view = effect.view;
      if (memory.doom === "in a view change") memory.doom = undefined;
      return;
    case "view-change":
      if (effect.prepared.length > 0) mark("view change: a prepared certificate is reported");
      return;
    case "new-view":
      return onNewView(mark, effect);
    case "transfer":
      return mark("state transfer: begins");
    case "memory":
      if (effect.state === "lost") mark("memory: an empty disk is known to have lost votes");
      if (effect.state === "sound") mark("memory: one that forgot votes again");
      return;
    case "send-decisions":
      return mark("retransmission: decisions out of the block store");
    case "send":
      return onSend(mark, memory, replica, effect);
    default:
  }
}

function onPersist(mark: (id: RuleId) => void, memory: Memory, record: LogRecord): void {
  if (record.type !== "prepared") return;
  const { seq, view } = record.certificate.prePrepare.body;
  if ((memory.prepared.get(seq) ?? view) < view) mark("new view: a slot is prepared again");
  memory.prepared.set(seq, view);
}

function onNewView(mark: (id: RuleId) => void, effect: Extract<Effect, { type: "new-view" }>): void {
  if (effect.proposals.length === 0) return mark("new view: settles nothing");
  const preparedIn = new Map<string, number>();
  for (const { body } of effect.viewChanges) {
    for (const { prePrepare } of body.prepared) {
      const key = `${prePrepare.body.seq} ${prePrepare.body.digest}`;
      preparedIn.set(key, Math.max(preparedIn.get(key) ?? 0, prePrepare.body.view));
    }
  }
  for (const { seq, digest } of effect.proposals) {
    const from = preparedIn.get(`${seq} ${digest}`);
    if (from === undefined) mark("new view: fills a gap with the null batch");
    else mark("new view: carries a prepared batch over");
    if (from !== undefined && from < effect.view - 1) mark("new view: carries a batch over that an earlier view than the last prepared");
  }
}

function onSend(mark: (id: RuleId) => void, memory: Memory, replica: Watched, { to, message }: Extract<Effect, { type: "send" }>): void {
  switch (message.type) {
    case "view-change":
      if (message.signed.body.sender !== replica.id) mark("retransmission: a relayed view-change");
      return;
    case "new-view":
      return mark("retransmission: a new-view");
    case "pre-prepare":
      return mark("retransmission: a proposal");
    case "votes":
      return mark("retransmission: votes");
    case "decision":
      return mark("retransmission: a decision");
    case "stable":
      return mark("checkpoint: a proof is handed to one who lacks it");
    case "forward":
      return mark(to === memory.asking ? "large bundles: one is fetched by its digest" : "normal: a backup relays a bundle to the primary");
    case "fetch-batch":
      return mark("new view: a payload is fetched by its digest");
    default:
  }
}
