/** Fast reads: when Q replicas agree, when the question is ordered instead, and why agreeing on a value alone would not do. */
import { quorums, replicaId, type ReplicaId } from "@narses/core";
import { hasher } from "@narses/crypto";
import { decodePayload, encodeResult } from "@narses/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findAgreed, parseVote, type FastVote } from "../src/fast-read.ts";
import { open, type Opened } from "./support/open.ts";

interface Says {
  readonly value: unknown;
  readonly seq: number;
  readonly since?: number;
}

/** A cluster whose replicas answer fast reads like this. */
async function openWith(says: (replica: ReplicaId, full: boolean) => Says | "refuses" | "silent" | { readonly raw: unknown }): Promise<Opened> {
  const opened = await open({ n: 4, parameters: { fastReads: true } });
  opened.cluster.calls = (replica, method, params) => {
    expect(method).toBe("read");
    const { question, full } = params as { question: Uint8Array; full: boolean };
    expect(decodePayload(question)).toEqual({ ok: true, value: "question" });
    const word = says(replica, full);
    if (word === "silent") return undefined;
    if (word === "refuses") return { ok: false, value: { code: "UNAVAILABLE", message: "replaying" } };
    if ("raw" in word) return { ok: true, value: word.raw };
    const result = encodeResult({ status: "ok", value: word.value });
    return { ok: true, value: { seq: word.seq, since: word.since ?? word.seq, digest: hasher.sha256(result), ...(full && { result }) } };
  };
  return opened;
}

describe("client.query with fast consistency", () => {
  it("answers when Q replicas agree, and says so", async () => {
    const { client, cluster } = await openWith(() => ({ value: 7, seq: 5 }));
    expect(await client.query("question", { consistency: "fast" })).toMatchObject({ result: 7, seq: 5, consistency: "fast" });
    expect(cluster.bundles()).toEqual([]);
  });

  it("f replicas that lie or are silent change nothing", async () => {
    for (const word of [{ value: "lie", seq: 5 }, { value: 7, seq: 9 }, "refuses" as const, { raw: { seq: -1 } }]) {
      const { client } = await openWith((id) => (id === 0 ? word : { value: 7, seq: 5 }));
      expect(await client.query("question", { consistency: "fast" })).toMatchObject({ result: 7, seq: 5, consistency: "fast", replicas: [1, 2, 3] });
    }
  });

  it("replicas at different slots agree when nothing they read was written in between", async () => {
    const { client } = await openWith((id) => ({ value: 7, since: 3, seq: 5 + id }));
    expect(await client.query("question", { consistency: "fast" })).toMatchObject({ result: 7, seq: 5, consistency: "fast", replicas: [0, 1, 2] });
  });

  it("is ordered when they do not agree, and tells why", async () => {
    const { client, cluster } = await openWith((id) => ({ value: 7, seq: 5 + id }));
    const answer = await client.query("question", { consistency: "fast" });
    expect(answer).toMatchObject({ result: "question", consistency: "ordered", fallback: expect.stringContaining("no 3 agree") as string });
    expect(cluster.executed).toEqual(["question"]);
  });

  it("is ordered when too few answer in time", async () => {
    const { client, timers } = await openWith((id) => (id < 2 ? "silent" : { value: 7, seq: 5 }));
    const answer = client.query("question", { consistency: "fast" });
    await timers.advance(250);
    expect(await answer).toMatchObject({ consistency: "ordered", fallback: expect.stringMatching(/2 replicas answered.*did not answer/) as string });
  });

  it("W replicas send the body, and they take turns", async () => {
    const bodies: number[][] = [[], [], [], []];
    const { client } = await openWith((id, full) => {
      if (full) bodies[id]?.push(1);
      return { value: 7, seq: 5 };
    });
    for (let i = 0; i < 4; i++) await client.query("question", { consistency: "fast" });
    expect(bodies.map(({ length }) => length)).toEqual([2, 2, 2, 2]);
  });

  it("without a body, or with one that is another, the digest alone is no answer", async () => {
    const { client } = await openWith(() => ({ raw: { seq: 5, since: 5, digest: hasher.sha256(encodeResult({ status: "ok", value: 7 })) } }));
    expect(await client.query("question", { consistency: "fast" })).toMatchObject({ consistency: "ordered" });
    const swapped = await openWith((_, full) => ({
      raw: { seq: 5, since: 5, digest: hasher.sha256(encodeResult({ status: "ok", value: 7 })), ...(full && { result: encodeResult({ status: "ok", value: 8 }) }) },
    }));
    expect(await swapped.client.query("question", { consistency: "fast" })).toMatchObject({ consistency: "ordered" });
    expect(Object.values(swapped.client.status().rejected)).toEqual([{ CERTIFICATE_INVALID: 1 }, { CERTIFICATE_INVALID: 1 }]);
  });

  it("a refusal of the state machine that Q replicas agree on is the answer", async () => {
    const result = encodeResult({ status: "rejected", code: "NO_ACCOUNT", message: "none", data: { id: "x" } });
    const { client } = await openWith((_, full) => ({ raw: { seq: 5, since: 5, digest: hasher.sha256(result), ...(full && { result }) } }));
    await expect(client.query("question", { consistency: "fast" })).rejects.toMatchObject({ code: "APP_REJECTED", data: { code: "NO_ACCOUNT", seq: 5, consistency: "fast" } });
  });

  it("in a cluster without fast reads it is ordered, and nobody is asked", async () => {
    const { client, cluster } = await open();
    cluster.calls = () => {
      throw new TypeError("asked");
    };
    expect(await client.query("question", { consistency: "fast" })).toMatchObject({ consistency: "ordered", fallback: "this cluster has no fast reads" });
    expect(await client.query("question")).toEqual(expect.objectContaining({ consistency: "ordered", seq: 2 }));
  });

  it("abort and close end it", async () => {
    const { client } = await openWith(() => "silent");
    const abort = new AbortController();
    const aborted = client.query("question", { consistency: "fast", signal: abort.signal });
    abort.abort(new RangeError("enough"));
    await expect(aborted).rejects.toThrow("enough");
    const open = client.query("question", { consistency: "fast" });
    const closed = expect(open).rejects.toMatchObject({ code: "CLOSED" });
    await client.close();
    await closed;
  });
});

describe("what a replica may say", () => {
  it.each([
    null, 7, {}, { seq: 1, since: 2, digest: new Uint8Array(32) }, { seq: 1.5, since: 0, digest: new Uint8Array(32) }, { seq: 1, since: -1, digest: new Uint8Array(32) },
    { seq: 1, since: 0, digest: new Uint8Array(31) }, { seq: 1, since: 0, digest: "0".repeat(64) }, { seq: 1, since: 0, digest: new Uint8Array(32), result: "text" },
    { seq: 1, since: 0, digest: new Uint8Array(32), result: new Uint8Array(4) },
  ])("not %o", (answer) => {
    expect(typeof parseVote(replicaId(0), answer)).toBe("string");
  });
});

/** Histories of n = 4, f = 1: replica 3 lies; the others execute the same slots, each at its own pace. */
const QUORUMS = quorums(4);
/** values[s][k]: value of key k after slot s; two keys, two values, so that values come back. */
const histories = fc.record({
  values: fc.array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 1 })), { minLength: 2, maxLength: 8 }),
  steps: fc.array(
    fc.oneof(
      fc.record({ type: fc.constant("execute" as const), replica: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ type: fc.constant("read" as const), key: fc.integer({ min: 0, max: 1 }), absent: fc.integer({ min: 0, max: 2 }), lie: fc.integer({ min: 0, max: 7 }), lied: fc.integer({ min: 0, max: 1 }) }),
    ),
    { maxLength: 24 },
  ),
});
type History = typeof histories extends fc.Arbitrary<infer T> ? T : never;

const bodies = [0, 1].map((value) => Uint8Array.of(value));

/** Reads one after the other must have points in time, none before the last one's, at which the value was what they returned. */
function isLinearizable({ values, steps }: History, valueOnly: boolean): boolean {
  const at = [0, 0, 0];
  let point = 0;
  for (const step of steps) {
    if (step.type === "execute") {
      at[step.replica] = Math.min(values.length - 1, (at[step.replica] ?? 0) + 1);
      continue;
    }
    const valueAt = (seq: number): number => values[seq]?.[step.key] ?? 0;
    const votes = [0, 1, 2].filter((id) => id !== step.absent).map((id): FastVote => {
      const seq = at[id] ?? 0;
      let since = seq;
      while (since > 0 && valueAt(since - 1) === valueAt(seq)) since--;
      return { from: replicaId(id), seq, since, digest: String(valueAt(seq)), result: bodies[valueAt(seq)] };
    });
    votes.push({ from: replicaId(3), since: 0, seq: step.lie, digest: String(step.lied), result: bodies[step.lied] });
    const agreed = findAgreed(valueOnly ? votes.map((vote) => ({ ...vote, since: 0, seq: 0 })) : votes, QUORUMS);
    if (agreed === undefined) continue;
    while (point < values.length && valueAt(point) !== agreed.result[0]) point++;
    if (point > Math.max(...at)) return false;
  }
  return true;
}

describe("linearizability of fast reads", () => {
  it("holds in every history: replicas at different slots, values that come back, one liar", () => {
    fc.assert(fc.property(histories, (history) => isLinearizable(history, false)), { numRuns: 3_000 });
  });

  it("negative control: with Q replicas that agree on the value alone it does not", () => {
    const execute = (...replicas: readonly number[]): History["steps"] => replicas.map((replica) => ({ type: "execute", replica }));
    const read = (key: number, absent: number, lied: number): History["steps"][number] => ({ type: "read", key, absent, lie: 0, lied });
    // Key 0 is 1 after slots 3 and 4 only, key 1 is 1 from slot 4 on.
    const values: History["values"] = [[0, 0], [0, 0], [0, 0], [1, 0], [1, 1], [0, 1]];
    const steps = [
      ...execute(0, 1, 1, 1, 2, 2, 2), read(0, 0, 1), // replicas 1 and 2, both after slot 3: key 0 is 1
      ...execute(1, 1), read(0, 2, 0), // replicas 0 and 1, after slots 1 and 5: key 0 is 0 again, so slot 5 is over
      ...execute(0), read(1, 1, 0), // replicas 0 and 2, after slots 2 and 3: key 1 is 0, which it has not been since slot 4
    ];
    expect(isLinearizable({ values, steps }, true)).toBe(false);
    expect(isLinearizable({ values, steps }, false)).toBe(true);
  });
});
