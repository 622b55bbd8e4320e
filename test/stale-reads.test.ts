/** Stale reads with proof, end to end: four replicas, checkpoints, a client that believes the proof and nobody's word. */
import { connect, verifyStateReceipt, type Client, type FailedCheck } from "@narses/client";
import { NarsesError, type StateReceipt } from "@narses/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InProcess, until } from "../packages/replica/test/support/cluster-in-process.ts";
import { clientKey, testCluster } from "../packages/replica/test/support/cluster.ts";

const tools = testCluster(4, { parameters: { checkpointInterval: 4, logWindow: 8, pipelineDepth: 2 } });
let cluster: InProcess;
let client: Client;

const stableSeq = (id: number): number => cluster.member(id).core.status().engine.stableSeq;
const codeOf = async (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined, (error: unknown) => (error as NarsesError).code);

beforeAll(async () => {
  cluster = new InProcess(tools);
  await cluster.startAll();
  client = await connect({ cluster: tools.cluster, key: clientKey("reader"), transport: cluster.network.client() });
});

afterAll(async () => {
  await client.close();
  await cluster.stop();
});

describe("client.read", () => {
  it("before the first stable checkpoint nobody can prove anything", async () => {
    await client.submit({ add: 1 });
    expect(await codeOf(client.read("total"))).toBe("UNAVAILABLE");
  });

  it("then it gives the value at the checkpoint, with a proof that anyone can verify, and says at which slot", async () => {
    for (let i = 0; i < 4; i++) await client.submit({ add: 1 });
    await until("slot 4 is stable everywhere", () => [0, 1, 2, 3].every((id) => stableSeq(id) >= 4));
    const answer = await client.read("total");
    expect(answer).toMatchObject({ key: "total", present: true, value: 4, seq: 4, consistency: "stale", signers: [expect.any(Number), expect.any(Number)] });
    const { consistency: _c, receipt, ...proven } = answer;
    expect(verifyStateReceipt(receipt, tools.cluster)).toEqual(proven);
  });

  it("an absent key is proven absent", async () => {
    expect(await client.read("no such key")).toMatchObject({ present: false, value: undefined, seq: 4 });
  });

  it("is not given when it is not new enough", async () => {
    expect(await client.read("total", { atLeastSeq: 4, maxStalenessMs: 3_600_000 })).toMatchObject({ seq: 4 });
    expect(await codeOf(client.read("total", { atLeastSeq: 5 }))).toBe("UNAVAILABLE");
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await codeOf(client.read("total", { maxStalenessMs: 0 }))).toBe("UNAVAILABLE");
  });

  it("a key that can be none is refused", async () => {
    expect(await codeOf(client.read("k".repeat(511)))).toBe("UNAVAILABLE");
  });

  it("is given by a restarted replica too: what was stable is in its log", async () => {
    const stores = await cluster.crash(2, "kill");
    await until("replica 2 is gone", () => client.status().missing.includes(2 as never));
    await cluster.start(2, { stores, mustExist: true });
    await until("replica 2 is connected", () => client.status().connected.includes(2 as never));
    const receipt = (await client.call(2, "prove", { key: "total" })) as Uint8Array;
    expect(verifyStateReceipt(receipt, tools.cluster)).toMatchObject({ value: 4, seq: 4 });
  });
});

const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at < 0 ? bytes.length + at : at, (bytes.at(at) ?? 0) ^ 1);

/** What a liar could hand on, and the check that must catch it. */
const FORGERIES: Readonly<Record<string, readonly [FailedCheck, (honest: StateReceipt) => StateReceipt]>> = {
  "another value": ["state-path", (r) => ({ ...r, proof: { ...r.proof, page: flip(r.proof.page, -1) } })],
  "another key": ["state-path", (r) => ({ ...r, key: "a key of another page" })],
  "a path that is off by a bit": ["state-path", (r) => ({ ...r, proof: { ...r.proof, siblings: r.proof.siblings.map((level, i) => (i === 0 ? flip(level, 0) : level)) } })],
  "an empty page, as if the key were absent": ["state-path", (r) => ({ ...r, proof: { ...r.proof, page: new Uint8Array(0) } })],
  "another state root": ["checkpoint-block", (r) => ({ ...r, header: { ...r.header, stateRoot: r.header.parent } })],
  "another time": ["checkpoint-block", (r) => ({ ...r, header: { ...r.header, timestampMs: r.header.timestampMs + 1 } })],
  "too few replicas": ["checkpoint-count", (r) => ({ ...r, checkpoints: r.checkpoints.slice(1) })],
  "one replica twice": ["checkpoint-replica", (r) => ({ ...r, checkpoints: [r.checkpoints[0], r.checkpoints[0]] as StateReceipt["checkpoints"] })],
  "a signature off by a bit": ["checkpoint-signature", (r) => ({ ...r, checkpoints: r.checkpoints.map((c, i) => (i === 1 ? { ...c, bytes: flip(c.bytes, -1) } : c)) })],
};

describe("a state receipt", () => {
  it.each(Object.entries(FORGERIES))("with %s is caught by name", async (_, [check, forge]) => {
    const decoded = tools.codec.decodeStateReceipt((await client.read("total")).receipt);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    let failed: unknown;
    try {
      verifyStateReceipt(tools.codec.encodeStateReceipt(forge(decoded.value)), tools.cluster);
    } catch (error) {
      failed = (error as NarsesError).data["check"];
    }
    expect(failed).toBe(check);
  });

  it("of another cluster, or none at all, is refused", async () => {
    const { receipt } = await client.read("total");
    for (const act of [() => verifyStateReceipt(receipt, { ...tools.cluster, name: "another" }), () => verifyStateReceipt(receipt.subarray(1), tools.cluster)]) expect(act).toThrow(NarsesError);
  });
});
