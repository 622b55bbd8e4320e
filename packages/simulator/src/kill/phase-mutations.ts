/** Seeded bugs in the phases: order, durability, memory across restarts, view changes, timers, retransmission, execution. */
import { edit, type Mutation } from "./mutation.ts";

const CRASHES = ["crash", "all"] as const;
const LIARS = ["byzantine", "all"] as const;

export const PHASE_MUTATIONS: readonly Mutation[] = [
  // ── durable before said ──
  {
    name: "PREPARE before its proposal is durable", seedsMax: 20,
    edits: [edit(
      "pbft/src/pre-prepare.ts",
      "  emit(r, {\n    type: \"persist\", lazy: false,\n    record: { type: \"pre-prepared\"",
      "  if (slot.seq < 0) emit(r, {\n    type: \"persist\", lazy: false,\n    record: { type: \"pre-prepared\"",
    )],
  },
  {
    name: "COMMIT before its certificate is durable", seedsMax: 20,
    edits: [edit("pbft/src/vote.ts", "  emit(r, { type: \"persist\", record: { type: \"prepared\", certificate }, lazy: false });\n", "")],
  },
  {
    name: "VIEW-CHANGE before the departure is durable", seedsMax: 40,
    edits: [edit(
      "pbft/src/view-change.ts",
      "  emit(r, { type: \"persist\", record: { type: \"view-left\"",
      "  if (target < 0) emit(r, { type: \"persist\", record: { type: \"view-left\"",
    )],
  },
  {
    name: "the log is truncated before the checkpoint is durable", seedsMax: 20,
    edits: [edit(
      "pbft/src/checkpoint.ts",
      "  emit(r, { type: \"persist\", record: { type: \"stable\"",
      "  if (stable.seq < 0) emit(r, { type: \"persist\", record: { type: \"stable\"",
    )],
  },
  {
    name: "records are written without fsync", seedsMax: 400, depth: "replica", faults: CRASHES,
    edits: [edit("replica/src/journal.ts", "if (urgent) timed(() => log.sync());\n      else if (written) log.flush();", "if (urgent || written) log.flush();")],
  },
  {
    name: "words leave before the fsync", seedsMax: 400, depth: "replica", faults: CRASHES,
    edits: [
      edit("replica/src/turn.ts", "      journal.persist(effects);\n", ""),
      edit("replica/src/turn.ts", "inbox.input(own);\n", "inbox.input(own);\n      journal.persist(effects);\n"),
    ],
  },
  // ── memory across restarts ──
  {
    name: "active again after a restart in a view change", seedsMax: 400, faults: CRASHES,
    edits: [edit("pbft/src/recover.ts", "    r.active = false;\n    r.leaving", "    r.active = true;\n    r.leaving")],
  },
  {
    name: "a restarted primary counts from what it executed", seedsMax: 40, faults: CRASHES,
    edits: [edit("pbft/src/recover.ts", "for (const slot of r.slots.values()) if (slot.proposal?.view === r.view && slot.seq > next) next = slot.seq;", "")],
  },
  {
    name: "a restarted replica repeats no vote", seedsMax: 400, faults: CRASHES,
    edits: [edit("pbft/src/recover.ts", "for (const slot of slotsAscending(r)) repeat(r, slot);", "if (r.tick < 0) for (const slot of slotsAscending(r)) repeat(r, slot);")],
  },
  {
    name: "prepared certificates are forgotten in a restart", seedsMax: 400, faults: CRASHES,
    edits: [edit("pbft/src/recover.ts", "slot.prepared = record.certificate;", "slot.prepared = undefined;")],
  },
  // ── proposals and windows ──
  {
    name: "a second proposal replaces the first", seedsMax: 400, faults: LIARS, options: { policies: ["equivocate", "twins"] },
    edits: [
      edit(
        "pbft/src/pre-prepare.ts",
        "if (known !== undefined && known.view === body.view) return onSecond",
        "if (known !== undefined && known.view === body.view && known.digest === body.digest) return onSecond",
      ),
      edit("pbft/src/pre-prepare.ts", "  assert(held === undefined || held.view < body.view", "  assert(held === undefined || held.view <= body.view"),
    ],
  },
  {
    name: "a proposal for H + 1 is taken at once", seedsMax: 200,
    edits: [
      edit("pbft/src/pre-prepare.ts", "if (body.seq > highWatermark(r)) return keepEarly", "if (body.seq > highWatermark(r) + 1) return keepEarly"),
      edit("pbft/src/request.ts", "r.nextSeq <= highWatermark(r)", "r.nextSeq <= highWatermark(r) + 1"),
    ],
  },
  {
    // To forget `settled` alone is harmless: each entry of O is a proposal of the new view by then.
    name: "slots settled by NEW-VIEW are proposed again", seedsMax: 100, faults: ["network", "all"],
    edits: [edit(
      "pbft/src/new-view.ts",
      "r.nextSeq = seqNum(Math.max(settled, r.handed, ...[...r.slots.values()].map((s) => (s.proposal?.view === r.view ? s.seq : 0))) + 1);",
      "r.nextSeq = seqNum(r.handed + 1);",
    )],
  },
  {
    name: "PREPARE without the payload", seedsMax: 400, faults: ["network", "all"],
    edits: [edit("pbft/src/pre-prepare.ts", "if (hasPayload(slot, body.digest)) castPrepare(r, slot);", "castPrepare(r, slot);")],
  },
  // ── view change ──
  {
    name: "O takes the digest of the lowest view", seedsMax: 1_500, faults: ["network", "all"],
    edits: [edit("pbft/src/new-view.ts", "held === undefined || body.view > held.view", "held === undefined || body.view < held.view")],
  },
  {
    name: "O begins above the first checkpoint in V, not the highest", seedsMax: 400,
    edits: [edit("pbft/src/new-view.ts", "for (const vc of viewChanges) if (vc.stable.seq > stable.seq) stable = vc.stable;", "")],
  },
  {
    name: "VIEW-CHANGE reports nothing prepared", seedsMax: 40, faults: ["network", "all"],
    edits: [edit(
      "pbft/src/view-change.ts",
      "slot.prepared !== undefined) prepared.push(slot.prepared);",
      "slot.prepared !== undefined && slot.seq < 0) prepared.push(slot.prepared);",
    )],
  },
  {
    name: "certified batches are judged again in O", seedsMax: 400, faults: ["network", "all"],
    edits: [edit(
      "pbft/src/new-view.ts",
      "  accept(r, slot, signed, undefined);\n",
      "  if ((slot.payloads.get(digest)?.timestampMs ?? r.wallMs) < r.wallMs - 100) return;\n  accept(r, slot, signed, undefined);\n",
    )],
  },
  {
    name: "nobody joins W others", seedsMax: 200,
    edits: [edit("pbft/src/view-change.ts", "  joinHigher(r);\n", "  if (r.tick < 0) joinHigher(r);\n")],
  },
  // ── timers ──
  {
    name: "the request timer never fires", seedsMax: 400, faults: LIARS,
    edits: [edit(
      "pbft/src/suspicion.ts",
      "return overdue(r) ?? silent(r) ?? gap(r) ?? slow(r);",
      "return r.tick < 0 ? (overdue(r) ?? silent(r) ?? gap(r) ?? slow(r)) : undefined;",
    )],
  },
  {
    name: "the new-view timer never fires", seedsMax: 200, faults: ["all"], options: { n: 4, policies: ["no-view-change", "silent"] },
    edits: [edit("pbft/src/timer.ts", "(newViewTicksLeft(r, r.config, r.tick) ?? 1) <= 0", "(newViewTicksLeft(r, r.config, r.tick) ?? 1) <= -1e9")],
  },
  {
    // Each of the two alone is harmless: the other gives the new primary its time.
    name: "a new primary is blamed for the delay of the last one", seedsMax: 100,
    edits: [
      edit("pbft/src/request.ts", "    waiting.sinceTick = r.tick;\n    waiting.relayedTick = undefined;\n", "    waiting.relayedTick = undefined;\n"),
      edit("pbft/src/suspicion.ts", "enteredTick: at.tick, progressTick: at.tick,", "enteredTick: at.tick, progressTick: 0,"),
    ],
  },
  // ── retransmission ──
  {
    name: "STATUS is not answered with VIEW-CHANGEs", seedsMax: 200, faults: ["network", "all"],
    edits: [edit("pbft/src/status.ts", "if (!held && sender !== from) send", "if (!held && sender < 0) send")],
  },
  {
    // With the smallest window, and a liar whose CHECKPOINT everybody lacks: a few lost ones leave every log full.
    name: "own CHECKPOINTs are not repeated", seedsMax: 200, faults: ["network"],
    options: { n: 4, byzantine: 1, policies: ["no-checkpoints"], parameters: { checkpointInterval: 1, logWindow: 2, pipelineDepth: 1 } },
    edits: [edit("pbft/src/status.ts", "if (signed.body.seq > status.stableSeq) send", "if (signed.body.seq > status.stableSeq && r.tick < 0) send")],
  },
  // ── bounds ──
  {
    // The engine's own check goes as well: it would be first.
    name: "any number of bundles may wait", seedsMax: 200, faults: LIARS, options: { parameters: { pendingBundlesMax: 6 } },
    edits: [
      edit("pbft/src/request.ts", " && r.waiting.size < r.config.parameters.pendingBundlesMax", ""),
      edit("pbft/src/invariants.ts", "assert(r.waiting.size <= r.config.parameters.pendingBundlesMax", "assert(r.waiting.size <= 1e9"),
    ],
  },
  // ── execution, sessions ──
  {
    name: "executes over a gap", seedsMax: 40,
    edits: [edit(
      "pbft/src/execute.ts",
      "const seq = seqNum(r.handed + 1);",
      "const seq = seqNum(r.handed + (r.slots.get(seqNum(r.handed + 1))?.committed === undefined && r.slots.get(seqNum(r.handed + 2))?.committed !== undefined ? 2 : 1));",
    )],
  },
  {
    name: "a request id takes effect again when ordered again", seedsMax: 200, depth: "replica", options: { policies: ["stale-requests", "double-assignment"] }, faults: LIARS,
    edits: [
      edit(
        "replica/src/session.ts",
        "  if (rid <= session.low) return \"executed\";\n",
        "",
      ),
      edit(
        "replica/src/session.ts",
        "return bit(session, rid) ? \"executed\" : \"new\";",
        "return \"new\";",
      ),
    ],
  },
  {
    name: "executed ids are not part of the session's bytes", seedsMax: 400, depth: "replica",
    edits: [edit(
      "replica/src/session.ts",
      "session.executed?.some((byte) => byte !== 0) === true ? session.executed : NO_RING;",
      "NO_RING;",
    )],
  },
];
