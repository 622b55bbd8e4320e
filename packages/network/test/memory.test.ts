import { afterEach, describe, expect, it, vi } from "vitest";
import { createMemoryNetwork, type MemoryNetwork, type NetworkTransport } from "../src/index.ts";
import { complies, nextTurn } from "./compliance.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { Probe } from "./probe.ts";

complies("the network in memory", async () => {
  const network = createMemoryNetwork({ replicas: 4 });
  return { transport: (i) => network.transport(id(i)), client: () => network.client() };
});

describe("the network in memory", () => {
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });

  async function pair(network: MemoryNetwork): Promise<{ a: NetworkTransport; pa: Probe; pb: Probe }> {
    const [a, b] = [network.transport(id(0)), network.transport(id(1))];
    const [pa, pb] = [new Probe(), new Probe()];
    await a.start(pa);
    await b.start(pb);
    stops.push(() => a.stop(), () => b.stop());
    await Promise.all([pa.untilConnected(id(1)), pb.untilConnected(id(0))]);
    return { a, pa, pb };
  }

  it("cuts and mends one connection", async () => {
    const network = createMemoryNetwork({ replicas: 2 });
    const { a, pa, pb } = await pair(network);
    network.cut(id(1), id(0));
    await pa.until("the loss", () => pa.connected.size === 0);
    expect(a.send(id(1), numbered(1))).toBe(false);
    network.mend(id(0), id(1));
    await pb.until("the return", () => pb.transitions.length === 3);
    expect(pa.transitions).toEqual(["+1", "-1", "+1"]);
  });

  it("bounds the queue of a replica that does not read: drops the new frame, counts it, keeps the old ones", async () => {
    const network = createMemoryNetwork({ replicas: 2, limits: { replicaQueueBytesMax: 1_040, replicaFrameBytesMax: 1_000 } });
    const { a, pb } = await pair(network);
    network.hold(id(1));
    expect([1, 2, 3].map((n) => a.send(id(1), numbered(n, 500)))).toEqual([true, true, false]);
    await nextTurn();
    expect(a.peers()[0]).toMatchObject({ queuedBytes: 1_008, dropped: 1 });
    network.release(id(1));
    await pb.until("what was queued", () => pb.frames.length === 2);
    expect(pb.frames.map(({ frame }) => numberOf(frame))).toEqual([1, 2]);
    expect(a.peers()[0]?.queuedBytes).toBe(0);
  });

  it("lets a handler's failure surface, and loses nothing that came with it", async () => {
    const network = createMemoryNetwork({ replicas: 2 });
    const { a, pb } = await pair(network);
    const failures: unknown[] = [];
    vi.stubGlobal("queueMicrotask", (run: () => void) => {
      try {
        run();
      } catch (problem) {
        failures.push(problem);
      }
    });
    pb.onFrame = (_, frame) => {
      if (numberOf(frame) === 1) throw new TypeError("handler failed");
    };
    for (const n of [0, 1, 2]) a.send(id(1), numbered(n));
    await pb.until("the others", () => pb.frames.length === 2);
    vi.unstubAllGlobals();
    expect(failures).toEqual([new TypeError("handler failed")]);
    expect(pb.frames.map(({ frame }) => numberOf(frame))).toEqual([0, 2]);
  });

  it("has room for each replica once", async () => {
    const network = createMemoryNetwork({ replicas: 1 });
    const first = network.transport(id(0));
    await first.start(new Probe());
    await expect(network.transport(id(0)).start(new Probe())).rejects.toThrow(TypeError);
    await first.stop();
    expect(() => network.transport(id(1))).toThrow(RangeError);
  });
});
