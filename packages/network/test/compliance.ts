/** What every implementation of `Transport` and `ClientTransport` must do: run by the libp2p one and the one in memory. */
import { bytesEqual, FRAME_BYTES_MAX } from "@narses/core";
import { afterEach, describe, expect, it } from "vitest";
import type { NetworkClientTransport, NetworkTransport } from "../src/index.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { Probe } from "./probe.ts";

export interface Harness {
  /** A new transport for replica i of 4, not started. */
  transport(i: number): NetworkTransport;
  client(): NetworkClientTransport;
}

/** The end of this turn of the event loop has passed. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

export function complies(name: string, make: () => Promise<Harness>): void {
  describe(`${name} complies with the transport ports`, () => {
    const running: { stop(): Promise<void> }[] = [];
    afterEach(async () => {
      await Promise.all(running.splice(0).map((transport) => transport.stop()));
    });

    async function started(harness: Harness, i: number): Promise<{ transport: NetworkTransport; probe: Probe }> {
      const transport = harness.transport(i);
      const probe = new Probe();
      running.push(transport);
      await transport.start(probe);
      return { transport, probe };
    }

    async function mesh(harness: Harness, n = 4): Promise<{ transport: NetworkTransport; probe: Probe }[]> {
      const nodes = await Promise.all(Array.from({ length: n }, (_, i) => started(harness, i)));
      await Promise.all(nodes.map(({ probe }, i) => probe.untilConnected(...nodes.map((_, j) => id(j)).filter((j) => j !== i))));
      return nodes;
    }

    async function startedClient(harness: Harness): Promise<{ client: NetworkClientTransport; probe: Probe }> {
      const client = harness.client();
      const probe = new Probe();
      running.push(client);
      await client.start(probe.asClient);
      return { client, probe };
    }

    it("exchanges frames of every size between four replicas, whole, unaltered and in order", async () => {
      const nodes = await mesh(await make());
      const sizes = [4, 5, 200, 65_503, 65_507, 65_508, 200_000, 5 << 20];
      nodes.forEach(({ transport }, i) => {
        nodes.forEach((_, j) => {
          if (i === j) return;
          sizes.forEach((bytes, k) => expect(transport.send(id(j), numbered(100 * i + k, bytes))).toBe(true));
        });
      });
      for (const [j, { probe }] of nodes.entries()) {
        await probe.until(`${3 * sizes.length} frames at replica ${j}`, () => probe.frames.length === 3 * sizes.length);
        for (let i = 0; i < 4; i++) {
          if (i === j) continue;
          const frames = probe.framesFrom(id(i));
          expect(frames.map((frame) => frame.length)).toEqual(sizes);
          frames.forEach((frame, k) => expect(bytesEqual(frame, numbered(100 * i + k, sizes[k]))).toBe(true));
        }
      }
      expect(nodes[0]?.transport.peers()).toMatchObject(
        [1, 2, 3].map((replica) => ({ replica, connected: true, framesSent: sizes.length, framesReceived: sizes.length, dropped: 0 })),
      );
    });

    it("hands over frames that nobody else writes to", async () => {
      const [a, b] = await mesh(await make(), 2);
      const frame = numbered(7, 500);
      a?.transport.send(id(1), frame);
      await b?.probe.until("the frame", () => b.probe.frames.length === 1);
      frame.fill(0xff); // the sender may reuse its buffer once the frame has left
      const first = b?.probe.frames[0]?.frame;
      expect(first !== undefined && bytesEqual(first, numbered(7, 500))).toBe(true);
      expect(first?.buffer.byteLength).toBe(500);
      for (let n = 0; n < 200; n++) a?.transport.send(id(1), numbered(n, 500));
      await b?.probe.until("200 more", () => b.probe.frames.length === 201);
      expect(first !== undefined && bytesEqual(first, numbered(7, 500))).toBe(true);
    });

    it("sends everything queued in one turn with one write", async () => {
      const [a, b] = await mesh(await make(), 2);
      await nextTurn();
      const before = a?.transport.peers()[0]?.writes ?? Number.NaN;
      for (let n = 0; n < 250; n++) a?.transport.send(id(1), numbered(n, 200));
      await b?.probe.until("250 frames", () => b.probe.frames.length === 250);
      expect(a?.transport.peers()[0]?.writes).toBe(before + 1);
      expect(b?.probe.frames.map(({ frame }) => numberOf(frame))).toEqual(Array.from({ length: 250 }, (_, n) => n));
    });

    it("reports each transition once, and carries on after a peer stopped and came back", async () => {
      const harness = await make();
      const [a, b] = await mesh(harness, 2);
      expect(a?.probe.transitions).toEqual(["+1"]);
      await b?.transport.stop();
      await a?.probe.until("the loss", () => a.probe.transitions.length === 2);
      expect(a?.transport.send(id(1), numbered(1))).toBe(false);
      expect(a?.transport.peers()[0]).toMatchObject({ connected: false, queuedBytes: 0 });
      expect(b?.probe.transitions).toEqual(["+0"]); // nothing after stop

      const again = await started(harness, 1);
      await a?.probe.untilConnected(id(1));
      await again.probe.untilConnected(id(0));
      expect(a?.transport.send(id(1), numbered(2))).toBe(true);
      await again.probe.until("a frame", () => again.probe.frames.length === 1);
      expect(a?.probe.transitions).toEqual(["+1", "-1", "+1"]);
    });

    it("says false for a peer that never started, and nothing is delivered later", async () => {
      const harness = await make();
      const a = await started(harness, 0);
      expect(a.transport.send(id(1), numbered(1))).toBe(false);
      const b = await started(harness, 1);
      await a.probe.untilConnected(id(1));
      a.transport.send(id(1), numbered(2));
      await b.probe.until("a frame", () => b.probe.frames.length > 0);
      expect(b.probe.frames.map(({ frame }) => numberOf(frame))).toEqual([2]);
    });

    it("drops a frame above the cap and keeps the connection", async () => {
      const [a, b] = await mesh(await make(), 2);
      expect(a?.transport.send(id(1), new Uint8Array(FRAME_BYTES_MAX + 1))).toBe(false);
      expect(a?.transport.send(id(1), numbered(3))).toBe(true);
      await b?.probe.until("a frame", () => b.probe.frames.length === 1);
      expect(a?.transport.peers()[0]).toMatchObject({ dropped: 1, framesSent: 1, connected: true });
    });

    it("refuses misuse by the caller", async () => {
      const harness = await make();
      const { transport } = await started(harness, 2);
      expect(() => transport.send(id(2), numbered(1))).toThrow(RangeError);
      expect(() => transport.send(id(4), numbered(1))).toThrow(RangeError);
      expect(() => transport.send(id(0), new Uint8Array(0))).toThrow(RangeError);
      await expect((async () => transport.start(new Probe()))()).rejects.toThrow(TypeError);
    });

    it("carries client frames both ways, and reports a client that leaves", async () => {
      const harness = await make();
      const nodes = await mesh(harness);
      const one = await startedClient(harness);
      const two = await startedClient(harness);
      await one.probe.untilConnected(...nodes.map((_, i) => id(i)));
      await two.probe.untilConnected(...nodes.map((_, i) => id(i)));
      one.client.send(id(2), numbered(1, 300_000));
      two.client.send(id(2), numbered(2));
      const { probe } = nodes[2] ?? expect.fail();
      await probe.until("two client frames", () => probe.clientFrames.length === 2);
      const from = (n: number): (typeof probe.clientFrames)[number] =>
        probe.clientFrames.find(({ frame }) => numberOf(frame) === n) ?? expect.fail();
      expect(bytesEqual(from(1).frame, numbered(1, 300_000))).toBe(true);
      expect(from(1).client).not.toBe(from(2).client);
      expect(from(1).client.label).not.toBe(from(2).client.label);
      expect(from(1).client.send(numbered(11))).toBe(true);
      expect(from(2).client.send(numbered(12))).toBe(true);
      await one.probe.until("an answer", () => one.probe.frames.length === 1);
      await two.probe.until("an answer", () => two.probe.frames.length === 1);
      const answers = [...one.probe.frames, ...two.probe.frames].map((got) => `${got.from}:${numberOf(got.frame)}`);
      expect(answers).toEqual(["2:11", "2:12"]);
      // the same client is the same connection
      one.client.send(id(2), numbered(3));
      await probe.until("a third", () => probe.clientFrames.length === 3);
      expect(from(3).client).toBe(from(1).client);

      await one.client.stop();
      await probe.until("the client's end", () => probe.gone.length === 1);
      expect(probe.gone[0]).toBe(from(1).client);
      expect(from(1).client.send(numbered(13))).toBe(false);
      expect(nodes[2]?.transport.clients().connections).toBe(1);
    });

    it("tells a client which replicas it has, through a restart", async () => {
      const harness = await make();
      const a = await started(harness, 0);
      const { client, probe } = await startedClient(harness);
      await probe.untilConnected(id(0));
      expect(client.send(id(1), numbered(1))).toBe(false);
      await a.transport.stop();
      await probe.until("the loss", () => !probe.connected.has(id(0)));
      await started(harness, 0);
      await probe.until("the return", () => probe.connected.has(id(0)));
      expect(probe.transitions).toEqual(["+0", "-0", "+0"]);
      expect(client.peers().map(({ connected }) => connected)).toEqual([true, false, false, false]);
    });

    it("delivers what was sent in the turn of stop, calls no handler after it, and stops twice", async () => {
      const [a, b] = await mesh(await make(), 2);
      for (let n = 0; n < 20; n++) a?.transport.send(id(1), numbered(n));
      const stopping = a?.transport.stop();
      b?.transport.send(id(0), numbered(1));
      await stopping;
      await a?.transport.stop();
      await b?.probe.until("the loss", () => !b.probe.connected.has(id(0)));
      await b?.probe.until("20 frames", () => b.probe.frames.length === 20);
      expect(a?.probe.frames).toHaveLength(0);
      expect(a?.probe.transitions).toEqual(["+1"]);
      expect(a?.transport.send(id(1), numbered(1))).toBe(false);
    });
  });
}
