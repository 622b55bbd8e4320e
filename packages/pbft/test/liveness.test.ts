/** Liveness of whole engines: whatever the network did before, and whatever f of them do, soon after it is well everything is served. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { replicaId, view } from "@narses/core";
import { viewChangeOf } from "./helpers.ts";
import { Net, type Delay } from "./net.ts";

const lcg = (seed: number): (() => number) => () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
const parameters = { checkpointInterval: 4, logWindow: 16, pipelineDepth: 4, requestTimeoutTicks: 20, viewChangeTimeoutTicks: 15, backoffExponentMax: 4, proposalDelayTicksMax: 10 };

/** Loss, long delays and links that are down, until `gst`; one or two ticks from then on. */
const badUntil = (gst: number, random: () => number): Delay => {
  const cut = new Map<string, number>();
  return ({ from, to, tick }) => {
    if (tick >= gst) return 1 + Math.floor(random() * 2);
    const link = `${from}-${to}`;
    if (random() < 0.01) cut.set(link, tick + 60);
    if ((cut.get(link) ?? 0) > tick || random() < 0.2) return undefined;
    return 1 + Math.floor(random() ** 3 * 40);
  };
};

describe("after the network heals", () => {
  test("every request any correct replica holds is executed everywhere, within twice f + 2 views at the longest timeouts, with f replicas silent and asking for any view", () => {
    fc.assert(fc.property(fc.constantFrom(4, 5, 6, 7), fc.integer({ min: 50, max: 400 }), fc.nat(2 ** 31 - 1), (n, gst, seed) => {
      const random = lcg(seed);
      const net = new Net({ n, parameters, delay: badUntil(gst, random) });
      const f = Math.floor((n - 1) / 3);
      const liars = new Set(Array.from({ length: f }, () => Math.floor(random() * n)));
      const correct = net.ids.filter((id) => !liars.has(id));
      const names: string[] = [];
      for (let tick = 0; tick < gst; tick += 10) {
        names.push(`r${tick}`);
        net.request(`r${tick}`, correct);
        if (tick > gst / 2) for (const id of liars) net.down.add(id);
        const wild = view(Math.floor(random() ** 6 * 1e6) + 1);
        for (const id of liars) for (const to of correct) net.send(id, to, { type: "view-change", signed: viewChangeOf(id, wild) });
        net.run(10);
      }
      net.run(1, () => false);
      const longest = (8 * parameters.requestTimeoutTicks + parameters.viewChangeTimeoutTicks) * 2 ** parameters.backoffExponentMax;
      const took = net.run(2 * (f + 2) * longest, () => correct.every((id) => names.every((name) => net.has(id, name))));
      net.agree();
      expect(took).toBeLessThan(2 * (f + 2) * longest);
    }), { numRuns: 40, seed: 7 });
  });

  test("after a long outage the timeouts are short again at once: a second crash costs one view change at the base timeouts", () => {
    const net = new Net({ n: 7, parameters: { ...parameters, backoffExponentMax: 6 } });
    // Two groups that hear nothing of each other's primaries: view after view fails, and k grows to its cap.
    const healthy = net.delay;
    net.delay = (at) => (["pre-prepare", "new-view", "decision"].includes(at.message.type) ? undefined : healthy(at));
    net.request("during");
    net.run(6_000);
    expect(net.status(1).timer?.ticksLeft ?? 0).toBeGreaterThan(100);
    net.delay = healthy;
    net.run(20_000, () => net.ids.every((id) => net.has(id, "during")));
    for (let i = 0; i < 5; i++) {
      net.request(`after${i}`);
      net.run(100, () => net.ids.every((id) => net.has(id, `after${i}`)));
    }
    const primary = net.view(1) % 7;
    net.down.add(primary);
    net.request("last", net.ids.filter((id) => id !== primary));
    const alive = net.ids.filter((id) => id !== primary);
    expect(net.run(1_000, () => alive.every((id) => net.has(id, "last")))).toBeLessThan(2 * parameters.requestTimeoutTicks);
  });

  test("four replicas and a partition that comes and goes at every phase of a view change: no deadlock (Fabric #1917)", () => {
    for (let start = 1; start < 40; start += 3) {
      const net = new Net({ parameters });
      net.down.add(0);
      net.request("a", [1, 2, 3]);
      const healthy = net.delay;
      net.run(start + parameters.requestTimeoutTicks - 10);
      net.delay = () => undefined;
      net.run(100);
      net.delay = healthy;
      expect(net.run(2_000, () => [1, 2, 3].every((id) => net.has(id, "a")))).toBeLessThan(300);
    }
  });
});

test("f liars alone, asking for every view there is, end no view: nothing is left, nothing delayed", () => {
  const net = new Net({ n: 7, parameters });
  for (let i = 0; i < 30; i++) {
    for (const id of [5, 6]) for (const to of [0, 1, 2, 3, 4]) net.send(id, to, { type: "view-change", signed: viewChangeOf(id, 1 + i * 1_000) });
    net.request(`r${i}`);
    net.run(20);
    expect(net.has(replicaId(1), `r${i}`)).toBe(true);
  }
  expect(net.ids.map((id) => net.view(id)).slice(0, 5)).toEqual([0, 0, 0, 0, 0]);
});
