/**
 * What must be durable before anything is said: the records of a turn, written together, with one fdatasync if any of them
 * needs it. The log pins the records about views and checkpoints; truncation replaces them by the latest of each kind.
 */
import { recordSeq, view as toView, type Effect, type LogRecord, type SeqNum, type View, type VoteLog } from "@narses/core";
import type { Codec } from "@narses/wire";
import type { Counters } from "./counters.ts";
import type { Measures } from "./operations/distribution.ts";

export interface Journal {
  /** Writes every record among the effects; when it returns, everything not lazy is durable. @throws NarsesError DISK_FAILED */
  persist(effects: readonly Effect[]): void;
  /** Slots ≤ `seq` are not needed any more. Durable when it returns. */
  truncate(seq: SeqNum): void;
}

type PinnedType = "stable" | "view-left" | "new-view" | "amnesia";

interface Pinned {
  readonly rank: number;
  readonly bytes: Uint8Array;
}

/**
 * The records that replace all pinned ones. In each kind the one of the highest view or slot counts; later ones of the same
 * rank replace earlier ones (a new-view gains its signature).
 */
class PinnedRecords {
  readonly #latest = new Map<PinnedType, Pinned>();

  note(record: LogRecord, bytes: Uint8Array): void {
    if (!isPinned(record)) return;
    const rank = rankOf(record);
    const held = this.#latest.get(record.type);
    if (held !== undefined && held.rank > rank) return;
    this.#latest.delete(record.type);
    this.#latest.set(record.type, { rank, bytes });
  }

  /** In the order in which they were written. */
  base(): readonly Uint8Array[] {
    return [...this.#latest.values()].map(({ bytes }) => bytes);
  }
}

const isPinned = (record: LogRecord): record is Extract<LogRecord, { type: PinnedType }> => recordSeq(record) === undefined;

const isOfView = (record: LogRecord): record is Extract<LogRecord, { type: "view-left" | "new-view" }> => record.type === "view-left" || record.type === "new-view";

function rankOf(record: Extract<LogRecord, { type: PinnedType }>): number {
  switch (record.type) {
    case "stable":
      return record.stable.seq;
    case "view-left":
    case "new-view":
      return record.view;
    case "amnesia":
      return 0; // the last one counts
  }
}

export interface JournalOptions {
  readonly log: VoteLog;
  readonly codec: Pick<Codec, "encodeRecord">;
  readonly counters: Counters;
  readonly measures: Measures;
  /** The records the log gave back at open, decoded. */
  readonly recovered: readonly LogRecord[];
  /** A view was left or entered: called when the record is durable, before anything is said; also for the last one in the log. */
  readonly noteView?: ((view: View) => void) | undefined;
}

export function createJournal({ log, codec, counters, measures, recovered, noteView }: JournalOptions): Journal {
  const pinned = new PinnedRecords();
  const timed = (wait: () => void): void => {
    const startedMs = measures.nowMs();
    wait();
    measures.fsyncSeconds.observe((measures.nowMs() - startedMs) / 1_000);
    counters.fsyncs++;
  };
  recovered.forEach((record, i) => {
    const bytes = log.recovered[i];
    if (bytes !== undefined) pinned.note(record, bytes);
  });
  // A crash, or a disk that failed, may have come between the record and the note: what is recovered is said again without another record.
  const held = recovered.filter(isOfView).map(({ view }) => view);
  if (held.length > 0) noteView?.(toView(Math.max(...held)));
  return {
    persist(effects) {
      let written = false;
      let urgent = false;
      let last: View | undefined;
      for (const effect of effects) {
        if (effect.type !== "persist") continue;
        const bytes = codec.encodeRecord(effect.record);
        log.append(bytes, recordSeq(effect.record));
        pinned.note(effect.record, bytes);
        counters.records++;
        written = true;
        urgent ||= !effect.lazy;
        if (isOfView(effect.record)) last = effect.record.view;
      }
      if (urgent) timed(() => log.sync());
      else if (written) log.flush();
      if (last !== undefined) noteView?.(last);
    },
    truncate(seq) {
      timed(() => log.truncate(seq, pinned.base()));
    },
  };
}
