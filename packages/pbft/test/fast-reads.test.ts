/** What clusters with fast reads add to ordering: durable decisions before they are shown, and decision forwarding (the attack itself: test/paper-srds21-*). */
import { describe, expect, test } from "vitest";
import type { Effect } from "@narses/core";
import { batchOf, bench, commit, committedOf, configOf, persistCommitted, prepareSlot, stableOf, types } from "./helpers.ts";
import { Net } from "./net.ts";

const a = batchOf("a");
const records = (effects: readonly Effect[]): readonly Effect[] => effects.filter((e) => e.type === "persist");
const durable = (effect: Effect): Effect => ({ ...effect, lazy: false }) as Effect;

describe("a decision is durable before it is shown", () => {
  test("not prepared here: written before it is executed, not when convenient", () => {
    const b = bench(configOf(3, 4, { fastReads: true }));
    const certificate = committedOf(0, 1, a.digest, [0, 1, 2]);
    const effects = b.from(0, { type: "decision", certificate, batch: a });
    expect(effects[0]).toEqual(durable(persistCommitted(certificate, a)));
    expect(types(effects)).toEqual(["persist", "execute"]);
  });

  test("prepared here, or without fast reads: the log says enough, and it is written when convenient", () => {
    const prepared = bench(configOf(1, 4, { fastReads: true }));
    prepareSlot(prepared, 1, 0, 1, a);
    expect([0, 2].flatMap((id) => records(prepared.from(id, commit(id, 0, 1, a.digest))))).toMatchObject([{ lazy: true }]);
    const without = bench(configOf(3));
    expect(records(without.from(0, { type: "decision", certificate: committedOf(0, 1, a.digest, [0, 1, 2]), batch: a }))).toMatchObject([{ lazy: true }]);
  });

  test("decided during a state transfer: written once the state is here, before anything of it is executed", () => {
    const b = bench(configOf(3, 4, { fastReads: true }));
    expect(types(b.from(0, { type: "stable", stable: stableOf(10, [0, 1, 2]) }))).toContain("transfer");
    const [eleven, thirteen] = [11, 13].map((seq) => committedOf(0, seq, a.digest, [0, 1, 2])) as [ReturnType<typeof committedOf>, ReturnType<typeof committedOf>];
    for (const certificate of [thirteen, eleven]) expect(records(b.from(0, { type: "decision", certificate, batch: a }))).toEqual([]);
    const effects = b.step({ type: "transferred", stable: stableOf(10, [0, 1, 2]), obsolete: [] });
    for (const certificate of [eleven, thirteen]) expect(effects).toContainEqual(durable(persistCommitted(certificate, a)));
    const execute = effects.findIndex((e) => e.type === "execute");
    expect(effects[execute]).toMatchObject({ seq: 11 });
    expect(effects.findLastIndex((e) => e.type === "persist")).toBeLessThan(execute);
  });
});

describe("screening and forwarding", () => {
  test("with screening, nothing is forwarded while nobody is in the dark", () => {
    const net = new Net({ parameters: { statusIntervalTicks: 25, fastReads: true, checkpointInterval: 128, logWindow: 256, pipelineDepth: 8 } });
    for (let i = 0; i < 10; i++) {
      net.request(`r${i}`);
      net.run(20);
    }
    expect(net.executed.map((list) => list.length)).toEqual([10, 10, 10, 10]);
    expect(net.effects.filter(({ effect }) => effect.type === "send" && effect.message.type === "decision")).toEqual([]);
  });

  test("one COMMIT of each replica passes until the decision was forwarded, and no second; none without fast reads", () => {
    for (const fastReads of [true, false]) {
      const b = bench(configOf(1, 4, { fastReads }));
      prepareSlot(b, 1, 0, 1, a);
      for (const id of [0, 2]) b.from(id, commit(id, 0, 1, a.digest));
      const late = commit(3, 0, 1, a.digest);
      expect(b.engine.screen(late)?.code).toBe(fastReads ? undefined : "DUPLICATE");
      if (!fastReads) continue;
      b.from(3, late);
      expect(b.engine.screen(late)?.code).toBe("DUPLICATE");
      b.tick(5);
      expect(b.engine.screen(commit(3, 0, 1, a.digest))?.code).toBe("DUPLICATE");
    }
  });
});
