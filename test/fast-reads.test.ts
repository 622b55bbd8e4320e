/** Fast reads end to end: the client, four replicas with real codecs, keys and stores, a network in memory. */
import { connect, type Client } from "@narses/client";
import { afterEach, describe, expect, it } from "vitest";
import { InProcess } from "../packages/replica/test/support/cluster-in-process.ts";
import { clientKey, testCluster } from "../packages/replica/test/support/cluster.ts";

let cluster: InProcess | undefined;
let client: Client | undefined;

async function start(fastReads: boolean): Promise<{ readonly cluster: InProcess; readonly client: Client }> {
  const tools = testCluster(4, { parameters: { fastReads } });
  cluster = new InProcess(tools);
  await cluster.startAll();
  client = await connect({ cluster: tools.cluster, key: clientKey("reader"), transport: cluster.network.client() });
  return { cluster, client };
}

afterEach(async () => {
  await client?.close();
  await cluster?.stop();
});

describe("fast reads", () => {
  it("see every write that was answered, order nothing, and say at which slot they are", async () => {
    const { client } = await start(true);
    for (let i = 1; i <= 10; i++) {
      const { seq } = await client.submit({ add: 1 });
      const answer = await client.query("total", { consistency: "fast" });
      // Q replicas had executed the write before its answer was believed.
      expect(answer).toMatchObject({ result: i, consistency: "fast", seq });
    }
    expect(await client.query("total")).toMatchObject({ result: 10, seq: 11, consistency: "ordered" });
  });

  it("go on with f replicas down", async () => {
    const { cluster, client } = await start(true);
    await client.submit({ add: 5 });
    await cluster.crash(3, "kill");
    expect(await client.query("total", { consistency: "fast" })).toMatchObject({ result: 5, consistency: "fast" });
    await client.submit({ add: 1 });
    expect(await client.query("total", { consistency: "fast" })).toMatchObject({ result: 6, consistency: "fast" });
  });

  it("are ordered in a cluster that has none", async () => {
    const { client } = await start(false);
    await client.submit({ add: 5 });
    expect(await client.query("total", { consistency: "fast" })).toMatchObject({ result: 5, seq: 2, consistency: "ordered" });
  });
});
