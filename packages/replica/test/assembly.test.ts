/** Proposals that name large bundles: completed here, or fetched, within bounds; and what a liar gets out of it. */
import { replicaId, seqNum, type Bundle, type CompactPrePrepare, type Digest, type PeerMessage, type Rejection } from "@narses/core";
import { rejection } from "@narses/core";
import { describe, expect, test } from "vitest";
import { createAssembly, type Assembly, type Completed, type Refused } from "../src/assembly.ts";
import { newCounters, type Counters } from "../src/counters.ts";
import { BUNDLES_AWAITED_TICKS, FETCH_INTERVALS_MAX, PROPOSALS_AWAITED_MAX } from "../src/limits.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";

const tools = testCluster(4, { parameters: { largeBundleBytes: 0, statusIntervalTicks: 10, batchBytesMax: 4_096, bundleBytesMax: 2_048 } });
const SELF = replicaId(1);
const PRIMARY = replicaId(0);

interface Rig {
  readonly assembly: Assembly;
  readonly counters: Counters;
  readonly sent: { readonly to: number; readonly message: PeerMessage }[];
  readonly pool: Map<Digest, Bundle>;
  screened: Rejection | undefined;
  ticks(count: number): void;
}

function rig(): Rig {
  const counters = newCounters();
  const sent: Rig["sent"] = [];
  const pool: Rig["pool"] = new Map();
  const r: Rig = {
    counters, sent, pool, screened: undefined,
    assembly: createAssembly({
      config: { self: SELF, quorums: { n: 4, f: 1, strong: 3, weak: 2 }, parameters: tools.cluster.parameters }, codec: tools.codec, counters,
      find: (digest) => pool.get(digest), screen: () => r.screened, send: (to, message) => sent.push({ to, message }) > 0,
    }),
    ticks: (count) => {
      for (let i = 0; i < count; i++) r.assembly.tick();
    },
  };
  return r;
}

const bundle = (name: string, bytes = 10): Bundle => tools.bundle([apply("x".repeat(bytes))], { key: clientKey(name) });
const [a, b, c] = [bundle("a"), bundle("b"), bundle("c")];

/** `inline` in place, the others by their digests. */
function compact(seq: number, bundles: readonly Bundle[], { inline = [], view = 0 }: { readonly inline?: readonly Bundle[]; readonly view?: number } = {}): CompactPrePrepare {
  const batch = tools.batch(bundles);
  return { type: "compact-pre-prepare", signed: tools.prePrepare(seq, batch.digest, { view }), timestampMs: batch.timestampMs, bundles: bundles.map((one) => (inline.includes(one) ? one : one.digest)) };
}
const whole = (proposal: CompactPrePrepare, bundles: readonly Bundle[]): Completed =>
  ({ from: proposal.signed.body.sender, message: { type: "pre-prepare", signed: proposal.signed, batch: tools.batch(bundles) } });
const codeOf = (outcome: Completed | Refused | undefined): string => (outcome === undefined ? "waits" : "rejection" in outcome ? outcome.rejection.code : "complete");

describe("completing", () => {
  test("at once out of what waits here, in the order that was proposed: the whole batch has the digest that is signed", () => {
    const { assembly, pool, counters } = rig();
    pool.set(a.digest, a).set(c.digest, c);
    const proposal = compact(1, [a, b, c], { inline: [b] });
    const outcome = assembly.proposal(PRIMARY, proposal);
    expect(outcome).toEqual(whole(proposal, [a, b, c]));
    expect((outcome as Completed).message.batch.digest).toBe(proposal.signed.body.digest);
    expect([assembly.waiting, counters.bundlesFetched]).toEqual([[], 0]);
  });

  test("by what comes later, wherever from; only the last missing bundle completes it, and one may complete two", () => {
    const { assembly, counters } = rig();
    const one = compact(1, [a, b]);
    const two = compact(2, [b, c], { inline: [c] });
    expect([one, two].map((proposal) => assembly.proposal(PRIMARY, proposal))).toEqual([undefined, undefined]);
    expect(assembly.waiting).toEqual([{ seq: 1, missing: 2, of: 2 }, { seq: 2, missing: 1, of: 2 }]);
    expect(assembly.bytes).toBe(c.bytes.length);
    expect([assembly.awaits(a.digest), assembly.awaits(c.digest)]).toEqual([true, false]);
    expect(assembly.bundle(a, false)).toEqual([]);
    expect(assembly.bundle(b, true)).toEqual([whole(one, [a, b]), whole(two, [b, c])]);
    expect([assembly.waiting, assembly.bytes, assembly.awaits(b.digest), counters.bundlesFetched]).toEqual([[], 0, false, 2]);
    expect(assembly.bundle(b, true)).toEqual([]);
  });

  test("the same bundle named twice is one to wait for, and is there twice", () => {
    const { assembly } = rig();
    const proposal = compact(1, [a, a]);
    assembly.proposal(PRIMARY, proposal);
    expect(assembly.bundle(a, false)).toEqual([whole(proposal, [a, a])]);
  });

  test("a later view's proposal takes the place of an earlier one", () => {
    const { assembly } = rig();
    assembly.proposal(PRIMARY, compact(1, [a]));
    expect(assembly.proposal(replicaId(2), compact(1, [b], { view: 2 }))).toBeUndefined();
    expect([assembly.awaits(a.digest), assembly.awaits(b.digest)]).toEqual([false, true]);
  });
});

describe("fetching", () => {
  const asked = ({ sent }: Rig): readonly number[] => sent.map(({ to }) => to);

  test("waits a little for the client, then asks the primary, then W others at a time, longer each time", () => {
    const r = rig();
    const proposal = compact(7, [a, b]);
    r.assembly.proposal(PRIMARY, proposal);
    r.assembly.bundle(a, false);
    r.ticks(BUNDLES_AWAITED_TICKS - 1);
    expect(r.sent).toEqual([]);
    r.ticks(1);
    expect(r.sent).toEqual([{ to: 0, message: { type: "fetch-bundles", seq: seqNum(7), digest: proposal.signed.body.digest, bundles: [b.digest] } }]);
    r.ticks(10);
    expect(asked(r)).toEqual([0, 2, 3]);
    r.ticks(19);
    expect(asked(r)).toEqual([0, 2, 3]);
    r.ticks(1);
    expect(asked(r)).toEqual([0, 2, 3, 0, 2]);
  });

  test("nobody else is asked while answers come; when they stop, somebody is", () => {
    const r = rig();
    r.assembly.proposal(PRIMARY, compact(1, [a, b, c]));
    r.ticks(BUNDLES_AWAITED_TICKS);
    r.assembly.bundle(a, true);
    r.ticks(10);
    expect(asked(r)).toEqual([0]);
    r.ticks(10);
    expect(r.sent.slice(1).map(({ message }) => (message.type === "fetch-bundles" ? message.bundles : []))).toEqual([[b.digest, c.digest], [b.digest, c.digest]]);
  });

  test("what nobody has is asked for at a bounded rate as long as the view lasts, and never after", () => {
    const r = rig();
    r.assembly.proposal(PRIMARY, compact(1, [a]));
    r.ticks(10_000);
    expect(r.sent.length).toBeLessThan(2 * (10_000 / (10 * FETCH_INTERVALS_MAX)) + 2 * FETCH_INTERVALS_MAX);
    r.sent.length = 0;
    r.screened = rejection("VIEW_OLD", "left");
    r.ticks(100);
    expect([r.sent, r.assembly.waiting, r.assembly.bytes, r.assembly.awaits(a.digest)]).toEqual([[], [], 0, false]);
  });
});

describe("bounds", () => {
  test("the highest slot gives way, and the newest is refused when it is the highest", () => {
    const { assembly } = rig();
    for (let seq = 2; seq <= PROPOSALS_AWAITED_MAX + 1; seq++) expect(codeOf(assembly.proposal(PRIMARY, compact(seq, [a])))).toBe("waits");
    expect(codeOf(assembly.proposal(PRIMARY, compact(PROPOSALS_AWAITED_MAX + 2, [a])))).toBe("QUEUE_FULL");
    expect(codeOf(assembly.proposal(PRIMARY, compact(1, [a])))).toBe("waits");
    expect(assembly.waiting).toHaveLength(PROPOSALS_AWAITED_MAX);
    expect(assembly.waiting.map(({ seq }) => seq)).not.toContain(PROPOSALS_AWAITED_MAX + 1);
  });

  test("a batch that grows beyond what one may have is refused as soon as that shows, and its primary is to blame", () => {
    const parts = ["a", "b", "c", "d"].map((name) => bundle(name, 1_500));
    const { assembly, pool } = rig();
    expect(codeOf(assembly.proposal(PRIMARY, compact(1, parts)))).toBe("waits");
    expect(parts.slice(0, 2).map((part) => assembly.bundle(part, true))).toEqual([[], []]);
    expect(assembly.bundle(parts[2] as Bundle, true)).toMatchObject([{ from: 0, guilty: true, rejection: { code: "BATCH_INVALID" } }]);
    expect([assembly.waiting, assembly.bytes]).toEqual([[], 0]);
    for (const part of parts.slice(0, 3)) pool.set(part.digest, part);
    expect(codeOf(assembly.proposal(PRIMARY, compact(1, parts)))).toBe("BATCH_INVALID");
  });
});

describe("lies", () => {
  test("a second proposal for a slot and view takes nothing away from the first, whatever it names", () => {
    const { assembly } = rig();
    const [first, other] = [compact(1, [a]), compact(1, [b])];
    assembly.proposal(PRIMARY, first);
    for (const again of [first, other]) expect(assembly.proposal(PRIMARY, again)).toMatchObject({ guilty: false, rejection: { code: "DUPLICATE" } });
    expect([assembly.awaits(b.digest), assembly.bundle(a, false)]).toEqual([false, [whole(first, [a])]]);
  });

  test("a compact proposal is taken from its primary only: others pass on whole ones", () => {
    const { assembly } = rig();
    expect(assembly.proposal(replicaId(2), compact(1, [a]))).toMatchObject({ from: 2, guilty: true, rejection: { code: "SENDER_MISMATCH" } });
    expect(assembly.waiting).toEqual([]);
  });
});
