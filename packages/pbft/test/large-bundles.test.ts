/** Large bundles, which clients send to every replica: relaying, and handing them to who lacks one. */
import { describe, expect, test } from "vitest";
import { type Batch, type Bundle, type Digest, type Effect, mintVerified, type PeerMessage, seqNum } from "@narses/core";
import { batchOf, bench, type Bench, bundle, codes, configOf, decideSlot, EPOCH, makeBatch, prePrepare, prePrepareOf, send, WALL_MS } from "./helpers.ts";

const LARGE = 1_000;
const PARAMETERS = { largeBundleBytes: LARGE, statusIntervalTicks: 5, requestTimeoutTicks: 100 };
const large = (name: string, bytes: number = LARGE + 1): Bundle => bundle(name, 1, bytes);
const request = (b: Bench, of: Bundle): readonly Effect[] => b.step({ type: "request", bundle: mintVerified(of) });
const forwarded = (effects: readonly Effect[]): readonly Digest[] =>
  effects.flatMap((e) => (e.type === "send" && e.message.type === "forward" ? [e.message.bundle.digest] : []));
const ask = (...bundles: readonly Bundle[]): PeerMessage =>
  ({ type: "fetch-bundles", seq: seqNum(1), digest: batch.digest, bundles: bundles.map(({ digest }) => digest) });
const batch = makeBatch(EPOCH, WALL_MS, [large("a"), bundle("small"), large("b")]);

describe("relaying", () => {
  test("a large bundle is not relayed at once, a small one is: the bound is the largest small one", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    expect(request(b, large("a"))).toEqual([]);
    expect(forwarded(request(b, large("exact", LARGE)))).toEqual([bundle("exact").digest]);
  });

  test("it is relayed with STATUS once it has waited for an interval: the oldest, up to 256 KiB and the one that exceeds it", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    b.tick(3);
    for (const name of ["a", "b", "c", "d"]) request(b, large(name, 100 << 10));
    expect(forwarded(b.tick(3))).toEqual([]);
    for (let i = 0; i < 2; i++) expect(forwarded(b.tick(5))).toEqual(["a", "b", "c"].map((name) => large(name).digest));
  });

  test("what a proposal carries is not relayed, nor is it in the way of what waits behind it", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    for (const name of ["a", "b", "c"]) request(b, large(name, 256 << 10));
    b.from(0, prePrepare(0, 1, makeBatch(EPOCH, WALL_MS, [large("a", 256 << 10)])));
    expect(forwarded(b.tick(10))).toEqual([large("b").digest]);
  });

  test("it does not keep small ones behind it from being relayed", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    for (const name of ["a", "b"]) request(b, large(name, 256 << 10));
    request(b, bundle("small"));
    expect(forwarded(b.tick(10)).slice(-2)).toEqual([large("a").digest, bundle("small").digest]);
  });

  test("a primary that never proposes it is suspected all the same", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    request(b, large("a"));
    expect(b.tick(101).filter((e) => e.type === "view-left")).toHaveLength(1);
  });
});

describe("fetch-bundles", () => {
  const proposed = (): Bench => {
    const b = bench(configOf(1, 4, PARAMETERS));
    b.from(0, prePrepare(0, 1, batch));
    return b;
  };

  test("gives each bundle of a batch that is here, once, and nothing else", () => {
    const b = proposed();
    expect(b.from(2, ask(large("a"), large("unknown"), large("b"), large("a")))).toEqual([
      send(2, { type: "forward", bundle: large("a") }), send(2, { type: "forward", bundle: large("b") }),
    ]);
  });

  test("gives what only waits here too: who lacks one of a batch may hold the others", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    request(b, large("a"));
    expect(b.from(2, ask(large("a"), large("b")))).toEqual([send(2, { type: "forward", bundle: large("a") })]);
  });

  test("one peer gets a bounded number of answers and of bytes in a status interval, whatever it asks for", () => {
    const often = proposed();
    const told = Array.from({ length: 40 }, () => often.from(2, ask(large("a")))).flat();
    expect(forwarded(told)).toHaveLength(32);
    expect(codes(told)).toEqual(Array.from({ length: 8 }, () => "RATE_LIMITED"));
    expect(forwarded(often.from(3, ask(large("a"))))).toHaveLength(1);
    often.tick(5);
    expect(forwarded(often.from(2, ask(large("a"))))).toHaveLength(1);

    const names = Array.from({ length: 9 }, (_, i) => large(`huge ${i}`, 1 << 20));
    const much = bench(configOf(1, 4, PARAMETERS));
    for (const of of names) request(much, of);
    expect(forwarded(much.from(2, ask(...names)))).toHaveLength(4);
    expect(codes(much.from(2, ask(...names)))).toEqual(["RATE_LIMITED"]);
  });

  test("of a slot whose payload is missing here brings nothing", () => {
    expect(bench(configOf(1, 4, PARAMETERS)).from(2, ask(large("a")))).toEqual([]);
  });
});

const compactOf = (seq: number, of: Batch, view = 0): Extract<PeerMessage, { type: "compact-pre-prepare" }> =>
  ({ type: "compact-pre-prepare", signed: prePrepareOf(view, seq, of.digest), timestampMs: WALL_MS, bundles: of.bundles.map(({ digest }) => digest) });
const left = (effects: readonly Effect[]): boolean => effects.some(({ type }) => type === "view-left");

describe("a compact pre-prepare, before its payload is here", () => {
  const other = makeBatch(EPOCH, WALL_MS, [large("other")]);

  test("is no proposal yet: nothing is said, nothing is durable, and STATUS tells the slot as missing", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    expect(b.from(0, compactOf(1, batch))).toEqual([]);
    expect(b.status()).toMatchObject({ openSlots: 1, slots: [{ seq: 1, phase: "payload", digest: batch.digest }] });
    const told = b.tickAll(5).flatMap((e) => (e.type === "send" && e.message.type === "status" ? [e.message.status.slots[0]] : []));
    expect(told).toEqual([0]);
    const effects = b.from(0, prePrepare(0, 1, batch));
    expect(effects.map((e) => (e.type === "vote" ? e.vote : e.type))).toEqual(["persist", { phase: "prepare", view: 0, seq: 1, digest: batch.digest }]);
  });

  test("binds its primary: another one for the slot, compact or whole, before or after it, above H too, is equivocation, with both as evidence", () => {
    for (const seq of [1, 6]) {
      const proposals = [compactOf(seq, batch), prePrepare(0, seq, batch)];
      const others = [compactOf(seq, other), prePrepare(0, seq, other)];
      for (const first of proposals) {
        for (const second of others) {
          if (first.type === "pre-prepare" && second.type === "pre-prepare") continue;
          const b = bench(configOf(1, 4, { ...PARAMETERS, logWindow: 4, checkpointInterval: 2 }));
          b.from(0, first);
          const effects = b.from(0, second);
          expect(codes(effects)).toEqual(["EQUIVOCATION"]);
          expect(effects.flatMap((e) => (e.type === "rejected" ? [e.evidence?.type] : []))).toEqual(["pair"]);
          expect(left(effects)).toBe(true);
        }
      }
    }
  });

  test("the same again is nothing, and so is one for a slot that NEW-VIEW settled", () => {
    const b = bench(configOf(2, 4, PARAMETERS));
    for (let i = 0; i < 2; i++) expect(b.from(0, compactOf(1, batch))).toEqual([]);
    b.from(0, prePrepare(0, 1, batch));
    expect(b.from(0, compactOf(1, batch))).toEqual([]);
  });

  test("is owed from when it came: a primary that names what it does not give is left after the timeout, with nothing else waiting", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    b.from(0, compactOf(1, batch));
    expect(left(b.tick(99))).toBe(false);
    expect(left(b.tick(1))).toBe(true);
  });

  test("that waited for its clients' bundles does not make the primary look slow; beyond 4 status intervals it does", () => {
    const serve = (gathering: number): Bench => {
      const b = bench(configOf(1, 4, { ...PARAMETERS, requestTimeoutTicks: 1_000, proposalDelayTicksMax: 8, checkpointInterval: 32, logWindow: 64 }));
      for (let n = 1; n <= 12 && b.status().active; n++) {
        const small = bundle(`small ${n}`);
        const mixed = makeBatch(EPOCH, WALL_MS, [large(`l${n}`), small]);
        request(b, small);
        b.tick(1);
        b.from(0, compactOf(n, mixed));
        b.tick(gathering);
        decideSlot(b, 1, 0, n, mixed);
        b.tick(1);
      }
      return b;
    };
    expect(serve(4 * 5).status().active).toBe(true);
    expect(serve(4 * 5 + 8).status().active).toBe(false);
  });
});

test("a client that shows large bundles to the backups only, more than they relay in a timeout, does not make a busy primary look unfair", () => {
  const b = bench(configOf(1, 4, { ...PARAMETERS, requestTimeoutTicks: 20, overtakenBundlesMax: 3, checkpointInterval: 128, logWindow: 256 }));
  for (let i = 0; i < 200; i++) request(b, large(`flood ${i}`, 256 << 10));
  let heard: readonly Effect[] = [];
  let n = 1;
  for (; n <= 200; n++) {
    // Every slot serves another client, and orders what was relayed before.
    const relayed = heard.flatMap((e) => (e.type === "send" && e.message.type === "forward" ? [e.message.bundle] : []));
    decideSlot(b, 1, 0, n, makeBatch(EPOCH, WALL_MS, [...relayed, bundle(`other ${n}`), bundle(`another ${n}`)]));
    heard = b.tick(2);
    if (!b.status().active) break;
  }
  expect(n).toBe(201);
  // A relayed one that is left out all the same ends the view.
  for (let i = 0; i < 20 && b.status().active; i++, n++) {
    decideSlot(b, 1, 0, n, batchOf(`more ${n}`));
    b.tick(2);
  }
  expect(b.status().active).toBe(false);
});

test("a compact pre-prepare is screened like a whole one", () => {
  const b = bench(configOf(1, 4, PARAMETERS));
  const compact = (v: number, n: number, sender?: number): PeerMessage =>
    ({ type: "compact-pre-prepare", signed: prePrepareOf(v, n, batch.digest, sender), timestampMs: WALL_MS, bundles: batch.bundles.map(({ digest }) => digest) });
  const screened = (message: PeerMessage): string | undefined => b.engine.screen(message)?.code;
  expect([compact(0, 1), compact(1, 1), compact(0, 1, 2), compact(0, 99)].map(screened)).toEqual([undefined, "VIEW_FUTURE", "NOT_PRIMARY", "SEQ_ABOVE_WINDOW"]);
  b.from(0, prePrepare(0, 1, batch));
  expect(screened(compact(0, 1))).toBe("DUPLICATE");
});
