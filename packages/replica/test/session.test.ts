import { NarsesError } from "@narses/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { REPLY_RECORD_BYTES_MAX, SESSION_REPLY_BYTES_MAX } from "../src/limits.ts";
import { acknowledge, allExecuted, decodeSession, encodeSession, keepReply, keptRecord, markExecuted, newSession, ridState, type Session } from "../src/session.ts";

/** The same, slowly: every id that was ever done. */
class Model {
  low = 0;
  readonly done = new Set<number>();
  readonly window: number;
  constructor(window: number) {
    this.window = window;
  }
  state(rid: number): string {
    return rid <= this.low || this.done.has(rid) ? "executed" : rid > this.low + this.window ? "out-of-window" : "new";
  }
  mark(rid: number): void {
    this.done.add(rid);
    this.advance();
  }
  acknowledge(rid: number): void {
    this.low = Math.max(this.low, rid);
    this.advance();
  }
  private advance(): void {
    while (this.done.has(this.low + 1)) this.low++;
  }
}

const roundTrip = (session: Session): Session => decodeSession(encodeSession(session), session.window);

describe("session", () => {
  test("agrees with the set of all executed ids, whatever the order, also through its encoding", () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant("run" as const), offset: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ type: fc.constant("ack" as const), offset: fc.integer({ min: -5, max: 60 }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 33 }), fc.array(step, { maxLength: 120 }), (window, steps) => {
        let session = newSession(window);
        const model = new Model(window);
        for (const { type, offset } of steps) {
          const rid = Math.max(1, model.low + offset);
          if (type === "ack") {
            acknowledge(session, rid);
            model.acknowledge(rid);
          } else if (ridState(session, rid) === "new") {
            markExecuted(session, rid);
            model.mark(rid);
          }
          session = roundTrip(session);
          expect(session.low).toBe(model.low);
          for (let id = Math.max(1, model.low - 3); id <= model.low + window + 3; id++) expect(ridState(session, id)).toBe(model.state(id));
          expect(session.highest).toBeGreaterThanOrEqual(session.low);
          expect(session.highest).toBeLessThanOrEqual(session.low + window);
        }
      }),
    );
  });

  test("the encoding is canonical: another history with the same outcome gives the same bytes", () => {
    const one = newSession(64);
    for (const rid of [3, 1, 2, 7, 5]) markExecuted(one, rid);
    const other = newSession(64);
    for (const rid of [7, 1, 5, 2, 3]) markExecuted(other, rid);
    expect(encodeSession(other)).toEqual(encodeSession(one));
    const closed = newSession(64);
    for (const rid of [2, 1]) markExecuted(closed, rid);
    const straight = newSession(64);
    for (const rid of [1, 2]) markExecuted(straight, rid);
    expect(encodeSession(closed)).toEqual(encodeSession(straight));
  });

  test("works at the end of the id space", () => {
    const session = newSession(4_096);
    acknowledge(session, Number.MAX_SAFE_INTEGER - 1);
    expect(ridState(session, Number.MAX_SAFE_INTEGER)).toBe("new");
    markExecuted(session, Number.MAX_SAFE_INTEGER);
    expect(roundTrip(session).low).toBe(Number.MAX_SAFE_INTEGER);
    expect(ridState(session, Number.MAX_SAFE_INTEGER + 1)).toBe("out-of-window");
  });

  test("an acknowledgement closes a gap left by an earlier process, and lets the replies below it go", () => {
    const session = newSession(16);
    for (const rid of [1, 4]) markExecuted(session, rid);
    keepReply(session, { ridFirst: 1, count: 1, bytes: 10 });
    keepReply(session, { ridFirst: 4, count: 1, bytes: 10 });
    expect(acknowledge(session, 3)).toEqual([{ ridFirst: 1, count: 1, bytes: 10 }]);
    expect(session).toMatchObject({ low: 4, ackLow: 3, kept: [{ ridFirst: 4 }] });
    expect(allExecuted(session, 1, 4)).toBe(true);
    expect(allExecuted(session, 4, 2)).toBe(false);
  });

  test("a client that never acknowledges keeps one window of results", () => {
    const session = newSession(8);
    const dropped: number[] = [];
    for (let rid = 1; rid <= 100; rid++) {
      markExecuted(session, rid);
      for (const record of keepReply(session, { ridFirst: rid, count: 1, bytes: REPLY_RECORD_BYTES_MAX }).dropped) dropped.push(record.ridFirst);
      expect(session.kept.length).toBeLessThanOrEqual(8);
    }
    expect(session.kept.map(({ ridFirst }) => ridFirst)).toEqual([93, 94, 95, 96, 97, 98, 99, 100]);
    expect(dropped).toEqual(Array.from({ length: 92 }, (_, i) => i + 1));
  });

  test("large results are bounded by bytes, oldest first, the newest always kept", () => {
    const session = newSession(64);
    const half = SESSION_REPLY_BYTES_MAX / 2;
    for (const rid of [1, 2]) {
      markExecuted(session, rid);
      expect(keepReply(session, { ridFirst: rid, count: 1, bytes: half }).dropped).toEqual([]);
    }
    markExecuted(session, 3);
    expect(keepReply(session, { ridFirst: 3, count: 1, bytes: half + 1 }).dropped.map(({ ridFirst }) => ridFirst)).toEqual([1, 2]);
    expect(session.kept.map(({ ridFirst }) => ridFirst)).toEqual([3]);
  });

  test("a bundle with the same first id replaces the earlier one", () => {
    const session = newSession(64);
    keepReply(session, { ridFirst: 1, count: 2, bytes: 5 });
    keepReply(session, { ridFirst: 4, count: 1, bytes: 5 });
    expect(keepReply(session, { ridFirst: 1, count: 4, bytes: 7 })).toEqual({ ridFirst: 1, dropped: [] });
    expect(session.kept).toEqual([{ ridFirst: 1, count: 4, bytes: 7 }, { ridFirst: 4, count: 1, bytes: 5 }]);
  });

  test("bundles that follow one another share a record while it is small, and go together", () => {
    const session = newSession(4_096);
    const half = REPLY_RECORD_BYTES_MAX / 2;
    expect([1, 3, 5].map((ridFirst) => keepReply(session, { ridFirst, count: 2, bytes: half }).ridFirst)).toEqual([1, 1, 5]);
    // A gap, an earlier one that comes late, and one that overlaps: records of their own.
    expect([9, 7, 8].map((ridFirst) => keepReply(session, { ridFirst, count: 1, bytes: 1 }).ridFirst)).toEqual([9, 7, 8]);
    expect(roundTrip(session).kept).toEqual([
      { ridFirst: 1, count: 4, bytes: REPLY_RECORD_BYTES_MAX }, { ridFirst: 5, count: 2, bytes: half }, { ridFirst: 7, count: 1, bytes: 1 },
      { ridFirst: 8, count: 1, bytes: 1 }, { ridFirst: 9, count: 1, bytes: 1 },
    ]);
    expect([1, 2, 3, 4, 5, 6, 7, 9, 10].map((rid) => keptRecord(session, rid)?.ridFirst)).toEqual([1, 1, 1, 1, 5, 5, 7, 9, undefined]);
    expect(acknowledge(session, 3)).toEqual([]);
    expect(acknowledge(session, 6).map(({ ridFirst }) => ridFirst)).toEqual([1, 5]);
  });

  test("damaged records are told, not misread", () => {
    const session = newSession(64);
    for (const rid of [1, 5]) markExecuted(session, rid);
    keepReply(session, { ridFirst: 1, count: 1, bytes: 300 });
    const bytes = encodeSession(session);
    for (const damaged of [bytes.subarray(0, bytes.length - 1), bytes.subarray(0, 3), Uint8Array.of(9), new Uint8Array(0)]) {
      expect(() => decodeSession(damaged, 64)).toThrow(NarsesError);
    }
  });
});
