import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import type { Effect, StateMachine } from "@narses/core";
import { createClientTransport, createMemoryNetwork, type MemoryNetwork } from "@narses/network";
import { createEngine } from "@narses/pbft";
import { afterEach, describe, expect, test } from "vitest";
import { defineStateMachine, startReplica, type ReplicaOptions, type RunningReplica } from "../src/index.ts";
import { apply, clientKey, testCluster, type TestCluster } from "./support/cluster.ts";
import { counter, makeHomes, TestClient, until, type Counter } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function homesOf(tools: TestCluster): Promise<readonly string[]> {
  const { homes, remove } = await makeHomes(tools);
  cleanups.push(remove);
  return homes;
}

async function start(options: Partial<ReplicaOptions<Counter, number>> & { readonly home: string }, network?: MemoryNetwork): Promise<RunningReplica> {
  const replica = await startReplica<Counter, number, unknown, unknown>({
    app: counter as StateMachine<Counter, number>, logger: recordingLogger(), ...(network && { transport: ({ self }) => network.transport(self) }), ...options,
  });
  cleanups.push(() => replica.stop());
  return replica;
}

async function clientOf(tools: TestCluster, network: MemoryNetwork, replicas: number): Promise<TestClient> {
  const client = new TestClient(tools, network, clientKey());
  await client.start(replicas);
  cleanups.push(() => client.stop());
  return client;
}

describe("startReplica", () => {
  test("four replicas on disk: order, all stop, come back, go on; the data directory is free in between", async () => {
    const tools = testCluster(4, { parameters: { checkpointInterval: 2, logWindow: 8, pipelineDepth: 2 } });
    const homes = await homesOf(tools);
    const heads: string[] = [];
    for (const round of [0, 1]) {
      const network = createMemoryNetwork({ replicas: 4 });
      const replicas = await Promise.all(homes.map((home) => start({ home }, network)));
      const client = await clientOf(tools, network, 4);
      for (let i = 1; i <= 5; i++) expect((await client.order(client.bundle([apply({ add: 1 })], 5 * round + i))).values).toEqual([5 * round + i]);
      await until("all agree", () => new Set(replicas.map((r) => r.status().head.block)).size === 1 && replicas.every((r) => r.status().head.seq === 5 * (round + 1)));
      heads.push(replicas[0]?.status().head.block ?? "");
      await client.stop();
      await Promise.all(replicas.map((replica) => replica.stop()));
      expect(await Promise.all(replicas.map(({ stopped }) => stopped))).toEqual([undefined, undefined, undefined, undefined]);
    }
    expect(new Set(heads).size).toBe(2);
  });

  test("a second process on the same home is refused, and a failed start leaves nothing locked", async () => {
    const tools = testCluster(1);
    const [home = ""] = await homesOf(tools);
    const network = createMemoryNetwork({ replicas: 1 });
    const replica = await start({ home }, network);
    await expect(start({ home }, createMemoryNetwork({ replicas: 1 }))).rejects.toMatchObject({ code: "DATA_DIR_LOCKED" });
    await replica.stop();
    const refuses = defineStateMachine<Counter, number>({ ...(counter as StateMachine<Counter, number>), genesis: () => { throw new TypeError("no accounts"); } });
    const [other = ""] = await homesOf(tools);
    await expect(start({ home: other, app: refuses }, createMemoryNetwork({ replicas: 1 }))).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("no accounts") as string });
    await start({ home: other }, createMemoryNetwork({ replicas: 1 }));
  });

  test("a lost store is not started over", async () => {
    const tools = testCluster(1);
    const [home = ""] = await homesOf(tools);
    await (await start({ home }, createMemoryNetwork({ replicas: 1 }))).stop();
    await rm(join(home, "data", "state"), { recursive: true });
    await expect(start({ home }, createMemoryNetwork({ replicas: 1 }))).rejects.toMatchObject({ code: "DATA_CORRUPT", message: expect.stringContaining("state is empty") as string });
  });

  test("a lost data directory is not started over under a key that has voted", async () => {
    const [home = ""] = await homesOf(testCluster(1));
    await (await start({ home }, createMemoryNetwork({ replicas: 1 }))).stop();
    await rm(join(home, "data"), { recursive: true });
    const said = expect.stringContaining("has voted before") as string;
    await expect(start({ home }, createMemoryNetwork({ replicas: 1 }))).rejects.toMatchObject({ code: "DATA_CORRUPT", message: said });
  });

  test("another cluster's home on the same data is refused", async () => {
    const tools = testCluster(1);
    const [home = ""] = await homesOf(tools);
    await (await start({ home }, createMemoryNetwork({ replicas: 1 }))).stop();
    const file = join(home, "cluster.json");
    await writeFile(file, (await readFile(file, "utf8")).replace('"test"', '"another"'));
    await expect(start({ home }, createMemoryNetwork({ replicas: 1 }))).rejects.toMatchObject({ code: "DATA_DIR_FOREIGN" });
  });

  test("an engine that breaks an invariant stops the replica with the reason, and frees the home", async () => {
    const tools = testCluster(4);
    const homes = await homesOf(tools);
    const network = createMemoryNetwork({ replicas: 4 });
    const replica = await start({
      home: homes[0] ?? "",
      engine: (config, made, recovered) => {
        const engine = createEngine(config, made, recovered);
        let ticks = 0;
        return { ...engine, step: (input): readonly Effect[] => {
          if (input.type === "tick" && ++ticks > 5) throw new TypeError("broken on purpose");
          return engine.step(input);
        } };
      },
    }, network);
    expect((await replica.stopped)?.message).toBe("broken on purpose");
    expect(replica.status().engine.name).toBe("pbft"); // can still be asked
    await start({ home: homes[0] ?? "" }, createMemoryNetwork({ replicas: 4 }));
  });

  test("over libp2p: four replicas find each other on loopback and order; `await using` stops one", async () => {
    const ports = await freePorts(4);
    const tools = testCluster(4, { addresses: ports.map((port) => `/ip4/127.0.0.1/tcp/${port}`) });
    const homes = await homesOf(tools);
    const replicas = await Promise.all(homes.map((home) => start({ home })));
    expect(replicas.map(({ addresses }) => addresses.length > 0)).toEqual([true, true, true, true]);
    await until("all connected", () => replicas.every((r) => r.status().peers.every(({ connected }) => connected)));
    const { cluster, clusterId } = tools;
    const transport = createClientTransport({ cluster, clusterId });
    const client = new TestClient(tools, { client: () => transport }, clientKey());
    await client.start(4);
    cleanups.push(() => client.stop());
    expect((await client.submit([apply({ add: 20 }), apply({ add: 22 })])).values).toEqual([20, 42]);
    await until("all agree", () => new Set(replicas.map((r) => r.status().head.block)).size === 1);
    await replicas[3]?.[Symbol.asyncDispose]();
    expect((await client.submit([apply({ add: 1 })])).values).toEqual([43]);
  });
});

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
