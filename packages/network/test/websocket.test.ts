/** A replica that also listens for websockets, as browsers need, and a client that dials nothing else. */
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clusterOf, freePorts } from "./cluster.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { fixture } from "./real.ts";

const net = fixture();

describe("websockets", () => {
  // Node 20 has no WebSocket to dial with: borrow the one the listener is made of.
  const had = "WebSocket" in globalThis;
  beforeAll(() => {
    if (had) return;
    const require = createRequire(import.meta.url);
    Object.defineProperty(globalThis, "WebSocket", { value: (require("ws") as { WebSocket: unknown }).WebSocket, configurable: true });
  });
  afterAll(() => {
    if (!had) Reflect.deleteProperty(globalThis, "WebSocket");
  });

  it("carry a client's frames both ways, large ones too, beside TCP", async () => {
    const [tcp = 0, ws = 0] = await freePorts(2);
    const cluster = await clusterOf([tcp]);
    const { transport, probe } = await net.replica(cluster, 0, { listen: [`/ip4/127.0.0.1/tcp/${tcp}`, `/ip4/127.0.0.1/tcp/${ws}/ws`] });
    expect(transport.addresses().map((address) => address.replace(/\/p2p\/.*/, "")).sort()).toEqual(
      [`/ip4/127.0.0.1/tcp/${tcp}`, `/ip4/127.0.0.1/tcp/${ws}/ws`].sort(),
    );
    const browserCluster = { ...cluster, replicas: cluster.replicas.map((replica) => ({ ...replica, addresses: [`/ip4/127.0.0.1/tcp/${ws}/ws`] })) };
    const browser = await net.client(browserCluster);
    const plain = await net.client(cluster);
    await Promise.all([browser.probe.untilConnected(id(0)), plain.probe.untilConnected(id(0))]);
    browser.transport.send(id(0), numbered(1, 1 << 20));
    await probe.until("a frame", () => probe.clientFrames.length === 1);
    expect(probe.clientFrames[0]?.frame.length).toBe(1 << 20);
    probe.clientFrames[0]?.client.send(numbered(2, 3 << 20));
    await browser.probe.until("the answer", () => browser.probe.frames.length === 1);
    expect(browser.probe.frames.map(({ frame }) => [numberOf(frame), frame.length])).toEqual([[2, 3 << 20]]);
    await browser.transport.stop();
    await probe.until("the client's end", () => probe.gone.length === 1);
  });
});
