/** Connections come, go and come back: refusals, kill -9, restarts, a larger mesh. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Stream } from "@libp2p/interface";
import { digest, epoch, NarsesError, type ClusterConfig } from "@narses/core";
import { afterEach, describe, expect, it } from "vitest";
import { createTransport, peerIdOf, REPLICA_PROTOCOL } from "../src/index.ts";
import { clusterOf, CLUSTER_ID, freePorts, seedOf } from "./cluster.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { Probe, Watch } from "./probe.ts";
import { closed, fixture, framedHello, strangerSeed } from "./real.ts";

const net = fixture();

describe("who may speak", () => {
  it("refuses a stranger on the replica protocol, by name, on the refusing side", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const { log, probe } = await net.replica(cluster, 0);
    const { connection } = await net.dial(cluster, 0, strangerSeed(1));
    const gone = closed(connection);
    connection.newStream(REPLICA_PROTOCOL).catch(() => undefined);
    await gone;
    await log.untilLine(/refused .*: its key is not in the cluster file, so it cannot be a replica/);
    expect(probe.transitions).toEqual([]);
  });

  it("refuses another cluster id and another epoch, naming the field on both sides, and keeps trying", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const one = await net.replica(cluster, 0);
    const other = await net.replica(cluster, 1, { clusterId: digest("cd".repeat(32)) });
    const field = new RegExp(`handshake: cluster id is ${"cd".repeat(32)}, here ${CLUSTER_ID}`);
    await one.log.untilLine(field);
    await other.log.untilLine(new RegExp(`handshake: cluster id is ${CLUSTER_ID}, here ${"cd".repeat(32)}`));
    const later = await net.replica({ ...cluster, epoch: epoch(1) }, 2);
    await one.log.untilLine(/handshake: epoch is 1, here 0/);
    await later.log.untilLine(/handshake: epoch is 0, here 1/);
    const client = await net.client(cluster, { clusterId: digest("ef".repeat(32)) });
    await client.log.untilLine(/refused replica 0: handshake: cluster id is/);
    expect([one, other, later, client].map(({ probe }) => probe.transitions)).toEqual([[], [], [], []]);

    await other.transport.stop();
    await net.replica(cluster, 1);
    await one.probe.untilConnected(id(1));
  });

  it("does not start under a key that is not its own", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const start = (seed: Uint8Array): Promise<unknown> => net.replica(cluster, 0, { networkSeed: seed });
    const refusal = (message: RegExp): object => ({ code: "KEY_INVALID", message: expect.stringMatching(message) as string });
    await expect(start(strangerSeed(1))).rejects.toMatchObject(refusal(/is not in the cluster file; replica 0 needs/));
    await expect(start(seedOf(3))).rejects.toMatchObject(refusal(/belongs to replica 3/));
    await expect(start(new Uint8Array(31))).rejects.toMatchObject(refusal(/32 bytes, got 31/));
  });

  it("a replica that answers under another key is not taken for the one that was dialled", async () => {
    const ports = await freePorts(4);
    const cluster = await clusterOf(ports);
    // replica 1 listens where replica 2 is expected
    const [r0, r1, r2, r3] = cluster.replicas;
    if (r0 === undefined || r1 === undefined || r2 === undefined || r3 === undefined) expect.fail();
    const replicas = [r0, { ...r1, addresses: r2.addresses }, { ...r2, addresses: r1.addresses }, r3];
    const swapped: ClusterConfig = { ...cluster, replicas };
    await net.replica(cluster, 1);
    const client = await net.client(swapped);
    await client.log.untilLine(/cannot reach replica 2: .*(match|expected)/i);
    expect(client.probe.transitions).toEqual([]);
  });

  it("names what is wrong with listen addresses and the cluster file", async () => {
    const [port = 0] = await freePorts(1);
    const cluster = await clusterOf([port]);
    await net.replica(cluster, 0);
    for (const address of [`/ip4/127.0.0.1/tcp/${port}`, `/ip4/127.0.0.1/tcp/${port}/ws`]) {
      const second = net.replica(cluster, 0, { listen: [address] });
      await expect(second).rejects.toMatchObject({ code: "PORT_IN_USE", data: { address, port } });
    }
    await expect(net.replica(cluster, 0, { listen: ["/ip4/192.0.2.1/tcp/7100"] })).rejects.toMatchObject({
      code: "CONFIG_INVALID", message: expect.stringMatching(/cannot listen on \/ip4\/192.0.2.1\/tcp\/7100: EADDRNOTAVAIL/) as string,
    });
    const at = (address: string): ClusterConfig => ({ ...cluster, replicas: cluster.replicas.map((r) => ({ ...r, addresses: [address] })) });
    const options = { cluster, clusterId: CLUSTER_ID, self: id(0), networkSeed: seedOf(0), listen: [] };
    for (const [changes, field] of [
      [{ listen: ["127.0.0.1:7100"] }, "listen[0]"],
      [{ listen: ["/ip4/127.0.0.1/udp/7100"] }, "listen[0]"],
      [{ limits: { pingMs: 0 } }, "limits.pingMs"],
      [{ limits: { silenceMs: 5_001 } }, "limits.silenceMs"],
      [{ limits: { replicaQueueBytesMax: 1_000 } }, "limits.replicaQueueBytesMax"],
      [{ cluster: at("here") }, "replicas[0].addresses[0]"],
      [{ cluster: at(`/ip4/127.0.0.1/tcp/1/p2p/${peerIdOf("00".repeat(32))}`) }, "replicas[0].addresses[0]"],
    ] as const) {
      let problem: unknown;
      try {
        createTransport({ ...options, ...changes });
      } catch (caught) {
        problem = caught;
      }
      expect(problem).toBeInstanceOf(NarsesError);
      expect(problem).toMatchObject({ code: "CONFIG_INVALID", data: { field } });
    }
    expect(() => createTransport({ ...options, self: id(1) })).toThrow(RangeError);
  });
});

describe("a replica that dies", () => {
  const children = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of children) child.kill("SIGKILL");
    children.clear();
  });

  async function spawned(cluster: ClusterConfig, i: number): Promise<ChildProcess> {
    const child = fork(fileURLToPath(new URL("./peer-process.ts", import.meta.url)), [JSON.stringify(cluster), String(i)], {
      execArgv: ["--import", "tsx", "--conditions=@narses/source"],
    });
    children.add(child);
    await new Promise((resolve, reject) => {
      child.once("message", resolve);
      child.once("exit", (code) => reject(new Error(`peer process ended with ${String(code)}`)));
    });
    return child;
  }

  it("by kill -9 is missed at once, frames to it are refused, and it is back soon after its restart", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const { transport, probe } = await net.replica(cluster, 0);
    const first = await spawned(cluster, 1);
    await probe.untilConnected(id(1));
    const client = await net.client(cluster);
    await client.probe.untilConnected(id(0), id(1));
    transport.send(id(1), numbered(1));
    await probe.until("the echo", () => probe.frames.length === 1);

    const killed = performance.now();
    first.kill("SIGKILL");
    await probe.until("the loss", () => !probe.connected.has(id(1)));
    await client.probe.until("the loss", () => !client.probe.connected.has(id(1)));
    expect(performance.now() - killed).toBeLessThan(1_000);
    expect(transport.send(id(1), numbered(2))).toBe(false);

    await spawned(cluster, 1);
    await probe.untilConnected(id(1));
    transport.send(id(1), numbered(3));
    await probe.until("the echo", () => probe.frames.length === 2);
    expect(probe.frames.map(({ frame }) => numberOf(frame))).toEqual([1, 3]);
    expect(probe.transitions).toEqual(["+1", "-1", "+1"]);
  });

  it("by suspension is missed after the silence, and stop does not wait for it", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const { transport, probe } = await net.replica(cluster, 0, { limits: { pingMs: 250, silenceMs: 1_000 } });
    const child = await spawned(cluster, 1);
    const client = await net.client(cluster);
    await probe.untilConnected(id(1));
    await client.probe.untilConnected(id(1));
    child.kill("SIGSTOP");
    await probe.until("the loss", () => !probe.connected.has(id(1)));
    const before = performance.now();
    await Promise.all([transport.stop(), client.transport.stop()]);
    expect(performance.now() - before).toBeLessThan(2_500);
  });
});

describe("a peer that shook hands", () => {
  it("as another process since, makes connections to the old one stale, in either direction", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const links: { stream: Stream; gone: Promise<string> }[] = [];
    const watch = new Watch();
    let instance = "11".repeat(16);
    await net.rawReplica(cluster, 1, REPLICA_PROTOCOL, (stream, connection) => {
      links.push({ stream, gone: closed(connection) });
      stream.send(framedHello("replica", 1, { instance }));
      watch.changed();
    });
    const { probe, log } = await net.replica(cluster, 0);
    await watch.until("a link", () => links.length === 1);
    const before = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    before.stream.send(framedHello("replica", 1, { instance }));
    await probe.untilConnected(id(1));

    instance = "22".repeat(16);
    const again = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    again.stream.send(framedHello("replica", 1, { instance }));
    await links[0]?.gone; // TCP had not noticed that the old process is no more
    await log.untilLine(/cannot reach replica 1: the peer restarted/);
    await watch.until("a link to the new process", () => links.length === 2);
    await probe.until("both ways", () => probe.transitions.length === 3);

    instance = "33".repeat(16);
    const stale = closed(again.connection);
    links[1]?.stream.abort(new Error("gone")); // the link comes back first this time
    await stale;
    await log.untilLine(/replica 1 closed its connection: the peer restarted/);
    expect(probe.transitions.slice(0, 3)).toEqual(["+1", "-1", "+1"]);
  });

  it("and hangs up each time, is dialled at growing intervals", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const watch = new Watch();
    const dialled: number[] = [];
    await net.rawReplica(cluster, 1, REPLICA_PROTOCOL, (stream, connection) => {
      dialled.push(performance.now());
      stream.send(framedHello("replica", 1));
      setTimeout(() => connection.abort(new Error("no")), 20);
      watch.changed();
    });
    await net.replica(cluster, 0);
    await watch.until("six dials", () => dialled.length >= 6);
    // 50, 71, 100, 141, 200 ms, with jitter at least half of that
    expect((dialled[5] ?? 0) - (dialled[0] ?? 0)).toBeGreaterThan((50 + 70 + 100 + 141 + 200) / 2);
  });
});

describe("a mesh", () => {
  it("of 7 replicas connects, all started at once, and answers", async () => {
    const cluster = await clusterOf(await freePorts(7));
    const nodes = await Promise.all(cluster.replicas.map((replica) => net.replica(cluster, replica.id)));
    await Promise.all(nodes.map(({ probe }) => probe.until("six peers", () => probe.connected.size === 6)));
    nodes.forEach(({ transport }, i) => nodes.forEach((_, j) => i !== j && transport.send(id(j), numbered(10 * i + j))));
    await Promise.all(nodes.map(({ probe }) => probe.until("six frames", () => probe.frames.length === 6)));
    nodes.forEach(({ probe }, j) => expect(probe.frames.every(({ from, frame }) => numberOf(frame) === 10 * from + j)).toBe(true));
    expect(nodes.every(({ probe }) => probe.transitions.length === 6)).toBe(true);
  });

  it("does not sit out a delay when the peer calls", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const patient = { redialMsMin: 60_000, redialMsMax: 60_000 };
    const a = await net.replica(cluster, 0, { limits: patient });
    await a.log.untilLine(/cannot reach replica 1: .*ECONNREFUSED.*; dialling again until it answers/);
    const b = await net.replica(cluster, 1, { limits: patient });
    await Promise.all([a.probe.untilConnected(id(1)), b.probe.untilConnected(id(0))]);
  });

  it("ends when asked while it is still dialling", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const listen = cluster.replicas[0]?.addresses ?? [];
    const transport = createTransport({ cluster, clusterId: CLUSTER_ID, self: id(0), networkSeed: seedOf(0), listen });
    const starting = transport.start(new Probe());
    const before = performance.now();
    await transport.stop();
    await starting;
    expect(performance.now() - before).toBeLessThan(2_500);
    expect(transport.peers().every(({ connected }) => !connected)).toBe(true);
  });
});
