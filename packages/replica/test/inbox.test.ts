import { replicaId, seqNum, type Digest, type Input, type ReplicaId } from "@narses/core";
import { describe, expect, test, vi } from "vitest";
import { newCounters } from "../src/counters.ts";
import { createInbox, type Inbox, type Item } from "../src/inbox.ts";
import { CLIENT_QUEUE_FRAMES_MAX, PEER_QUEUE_BYTES_MAX, PEER_QUEUE_FRAMES_MAX, TURN_BYTES_PER_SOURCE_MAX, TURN_FRAMES_PER_SOURCE_MAX } from "../src/limits.ts";
import { systemScheduler } from "../src/scheduler.ts";
import { dueTicks, startTicker } from "../src/ticker.ts";
import { FakeConnection } from "./support/fakes.ts";

const frame = (bytes = 1): Uint8Array => new Uint8Array(bytes);
const sources = (items: Iterable<Item>): (ReplicaId | "client" | "fact")[] => [...items].map((item) => (item.type === "peer" ? item.from : item.type === "client" ? "client" : "fact"));
const flood = (inbox: Inbox, from: number, frames: number): void => {
  for (let i = 0; i < frames; i++) inbox.peer(replicaId(from), frame());
};

describe("inbox", () => {
  test("facts come first, then every source in turn: a flood from one delays the others by its share only", () => {
    const inbox = createInbox(newCounters());
    const connection = new FakeConnection();
    flood(inbox, 1, 1_000);
    inbox.client(connection, frame());
    flood(inbox, 2, 2);
    const fact: Input = { type: "executed", seq: seqNum(1), obsolete: [] };
    inbox.input(fact);
    const first = sources(inbox.take());
    expect(first.slice(0, 6)).toEqual(["fact", 1, 2, "client", 1, 2]);
    expect(first).toHaveLength(1 + TURN_FRAMES_PER_SOURCE_MAX + 3);
    expect(sources(inbox.take())).toEqual(Array.from({ length: TURN_FRAMES_PER_SOURCE_MAX }, () => 1));
    expect(inbox.empty).toBe(false);
  });

  test("an installed state comes before all other facts: no tick may name a target for a transfer that has ended", () => {
    const inbox = createInbox(newCounters());
    const stable = { seq: seqNum(20), root: "aa" as Digest, proof: [] };
    inbox.input({ type: "tick", wallMs: 0 });
    inbox.input({ type: "transferred", stable, obsolete: [] });
    expect([...inbox.take()].map((item) => item.type === "input" && item.input.type)).toEqual(["transferred", "tick"]);
  });

  test("order within a source is kept", () => {
    const inbox = createInbox(newCounters());
    const frames = Array.from({ length: 150 }, () => frame());
    for (const f of frames) inbox.peer(replicaId(1), f);
    const got: Uint8Array[] = [];
    while (!inbox.empty) for (const item of inbox.take()) if (item.type === "peer") got.push(item.frame);
    expect(got.every((f, i) => f === frames[i])).toBe(true);
    expect(got).toHaveLength(150);
  });

  test("a turn of large frames is bounded by bytes, but never empty", () => {
    const inbox = createInbox(newCounters());
    for (let i = 0; i < 3; i++) inbox.peer(replicaId(1), frame(TURN_BYTES_PER_SOURCE_MAX));
    expect([...inbox.take()]).toHaveLength(1);
  });

  test("what exceeds the queue of a source is dropped and counted; other sources are not touched", () => {
    const counters = newCounters();
    const inbox = createInbox(counters);
    flood(inbox, 1, PEER_QUEUE_FRAMES_MAX + 5);
    expect(counters.inboxDropped).toBe(5);
    flood(inbox, 2, 1);
    for (let i = 0; i < CLIENT_QUEUE_FRAMES_MAX + 1; i++) inbox.client(new FakeConnection(), frame());
    expect(counters.inboxDropped).toBe(6);
    const bytes = createInbox(counters);
    bytes.peer(replicaId(1), frame(PEER_QUEUE_BYTES_MAX + 1));
    bytes.peer(replicaId(1), frame());
    expect(counters.inboxDropped).toBe(7);
    expect([...bytes.take()]).toHaveLength(1);
  });

  test("what a closed connection sent is forgotten", () => {
    const inbox = createInbox(newCounters());
    const [gone, stays] = [new FakeConnection("gone"), new FakeConnection("stays")];
    for (const connection of [gone, stays, gone]) inbox.client(connection, frame());
    inbox.forget(gone);
    expect([...inbox.take()]).toEqual([{ type: "client", connection: stays, frame: frame() }]);
    expect(inbox.empty).toBe(true);
  });
});

describe("ticks", () => {
  test("one per 10 ms, without drift", () => {
    let lastMs = 0;
    let ticks = 0;
    for (let now = 0; now <= 1_000; now += 7) {
      const due = dueTicks(lastMs, now);
      lastMs = due.lastMs;
      ticks += due.ticks;
    }
    expect(ticks).toBe(99);
  });

  test("after a pause only a few are made up for, and the count goes on from now", () => {
    expect(dueTicks(0, 9.9)).toEqual({ ticks: 0, lastMs: 0 });
    expect(dueTicks(0, 35)).toEqual({ ticks: 3, lastMs: 30 });
    expect(dueTicks(0, 60_000)).toEqual({ ticks: 3, lastMs: 60_000 });
    expect(dueTicks(60_000, 60_005)).toEqual({ ticks: 0, lastMs: 60_000 });
  });

  test("a clock that goes backwards makes no ticks", () => {
    expect(dueTicks(1_000, 500)).toEqual({ ticks: 0, lastMs: 1_000 });
  });

  test("a ticker reads its clock every 10 ms, and is silent once stopped", () => {
    vi.useFakeTimers();
    try {
      const seen: number[] = [];
      let now = 0;
      const ticker = startTicker({ monotonicMs: () => now, wallMs: () => 0 }, systemScheduler, (ticks) => seen.push(ticks));
      for (const pause of [10, 20, 5, 5, 5_000, 10]) {
        now += pause;
        vi.advanceTimersByTime(10);
      }
      expect(seen).toEqual([1, 2, 1, 3, 1]);
      ticker.stop();
      now += 100;
      vi.advanceTimersByTime(100);
      expect(seen).toHaveLength(5);
    } finally {
      vi.useRealTimers();
    }
  });
});
