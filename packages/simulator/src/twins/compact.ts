/**
 * What a restart reads from a disk, and nothing else. Between rounds all nodes are restarted, so two disks that a restart reads alike
 * are one state, however their logs came about. Rule by rule, with the line of `recover.ts` in the engine that makes it sound:
 *  - of `stable`, the highest: `restore` takes the highest;
 *  - of `view-left` and `new-view`, the highest view each, a signed NEW-VIEW before an unsigned one: so does `restore`; and only the
 *    one of the two that `restoreView` follows: it looks at no `view-left` below the view entered, and at no NEW-VIEW below the view left;
 *  - records of slots at or below the stable checkpoint go: `restoreSlot` skips them;
 *  - of `prepared`, the highest view of each slot; of `committed`, one (all are of one digest, unless agreement is lost);
 *  - of `pre-prepared`, all of the highest view; of lower views, one for each digest voted for, with its payload: the engine keeps no
 *    more of them than that the digest was voted for, and what it stands for.
 * The maximum of maxima is the maximum: leaving out what is superseded now changes nothing after any number of further records.
 */
import type { Digest, LogRecord } from "@narses/core";
import { recordSeq } from "@narses/core";
import type { Disk } from "../disk.ts";

type Of<T extends LogRecord["type"]> = Extract<LogRecord, { type: T }>;
type PrePrepared = Of<"pre-prepared">;

/** What counts about one slot, in an order of its own. */
export interface SlotRecords {
  readonly seq: number;
  /** Of the highest view. */
  readonly proposals: readonly PrePrepared[];
  /** Of lower views: one for each digest that the proposals do not name. */
  readonly voted: readonly PrePrepared[];
  readonly prepared: Of<"prepared"> | undefined;
  readonly committed: Of<"committed"> | undefined;
  readonly vouched: readonly Of<"vouched">[];
}

/** What counts of a log. */
export interface Essence {
  readonly stable: Of<"stable"> | undefined;
  readonly left: Of<"view-left"> | undefined;
  readonly entered: Of<"new-view"> | undefined;
  /** Above the stable checkpoint, ascending. */
  readonly slots: readonly SlotRecords[];
}

const only = <T extends LogRecord["type"]>(records: readonly LogRecord[], type: T): readonly Of<T>[] => records.filter((record): record is Of<T> => record.type === type);

/** The last of the greatest. */
function greatest<T>(list: readonly T[], by: (one: T) => number): T | undefined {
  let best: T | undefined;
  for (const one of list) if (best === undefined || by(one) >= by(best)) best = one;
  return best;
}

/** Without the payloads that an earlier record of the digest holds, as a replica writes it. */
function withPayload(record: PrePrepared, all: readonly PrePrepared[]): PrePrepared {
  const batch = record.batch ?? all.find((other) => other.digest === record.digest && other.batch !== undefined)?.batch;
  return batch === undefined ? record : { ...record, batch };
}

function slotRecords(seq: number, records: readonly LogRecord[]): SlotRecords {
  const all = only(records, "pre-prepared");
  const top = Math.max(-1, ...all.map(({ view }) => view));
  const proposals = all.filter(({ view }) => view === top).map((record) => withPayload(record, all));
  const seen = new Set<Digest>(proposals.map(({ digest }) => digest));
  const voted: PrePrepared[] = [];
  for (const record of all) {
    if (seen.has(record.digest)) continue;
    seen.add(record.digest);
    voted.push(withPayload(record, all));
  }
  return {
    seq, proposals, voted,
    prepared: greatest(only(records, "prepared"), ({ certificate }) => certificate.prePrepare.body.view),
    committed: only(records, "committed").at(-1),
    vouched: only(records, "vouched"),
  };
}

export function essenceOf(records: readonly LogRecord[]): Essence {
  const stable = greatest(only(records, "stable"), (record) => record.stable.seq);
  const left = greatest(only(records, "view-left"), ({ view }) => view);
  const entered = greatest(only(records, "new-view"), ({ view, signed }) => 2 * view + (signed === undefined ? 0 : 1));
  const enteredLast = entered !== undefined && entered.view >= (left?.view ?? 0);
  const bySlot = new Map<number, LogRecord[]>();
  for (const record of records) {
    const seq = recordSeq(record);
    if (seq === undefined || seq <= (stable?.stable.seq ?? 0)) continue;
    const held = bySlot.get(seq);
    if (held === undefined) bySlot.set(seq, [record]);
    else held.push(record);
  }
  return {
    stable, left: enteredLast ? undefined : left, entered: enteredLast ? entered : undefined,
    slots: [...bySlot].sort(([a], [b]) => a - b).map(([seq, list]) => slotRecords(seq, list)),
  };
}

/** The disk with nothing but the essence of its log. */
export function compact(disk: Disk): Disk {
  const copy = disk.copy();
  const { stable, left, entered, slots } = essenceOf(disk.records);
  const records: (LogRecord | undefined)[] = [stable, left, entered];
  for (const slot of slots) records.push(...slot.voted, ...slot.proposals, slot.prepared, slot.committed, ...slot.vouched);
  return copy.withLog(records.filter((record) => record !== undefined));
}
