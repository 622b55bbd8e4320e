/** Large bundles, which clients send to every replica: relaying, and handing them to who lacks one. */
import { describe, expect, test } from "vitest";
import { type Bundle, type Digest, type Effect, mintVerified, type PeerMessage, seqNum } from "@narses/core";
import { bench, type Bench, bundle, codes, configOf, EPOCH, makeBatch, prePrepare, prePrepareOf, send, statusOf, WALL_MS } from "./helpers.ts";

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

  test("it is relayed with STATUS once it has waited for an interval, the oldest one only", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    b.tick(3);
    for (const name of ["a", "b", "c"]) request(b, large(name));
    expect(forwarded(b.tick(3))).toEqual([]);
    expect(forwarded(b.tick(5))).toEqual([large("a").digest]);
    expect(forwarded(b.tick(5))).toEqual([large("a").digest]);
  });

  test("it does not keep small ones behind it from being relayed", () => {
    const b = bench(configOf(1, 4, PARAMETERS));
    for (const name of ["a", "b"]) request(b, large(name));
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

test("a compact pre-prepare that nobody completed changes nothing, and its slot is told as missing", () => {
  const b = bench(configOf(1, 4, PARAMETERS));
  const effects = b.from(0, { type: "compact-pre-prepare", signed: prePrepareOf(0, 1, batch.digest), timestampMs: WALL_MS, bundles: batch.bundles.map(({ digest }) => digest) });
  expect(codes(effects)).toEqual(["UNSOLICITED"]);
  expect(b.status().slots ?? []).toEqual([]);
  expect(b.from(0, statusOf({ executedSeq: seqNum(0) })).filter((e) => e.type === "send" && e.message.type === "votes")).toEqual([]);
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
