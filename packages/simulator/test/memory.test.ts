/** Lost and old disks: a replica that does not remember what it said never contradicts it, whatever the others do. */
import { digest, type Effect, type Memory, type ReplicaId } from "@narses/core";
import { describe, expect, test } from "vitest";
import { describePlan, simulate, simulateEngine, Stage } from "../src/index.ts";

describe("a disk is lost, and the replica rejoins", () => {
  // The oracles watch it as a correct replica: no second statement for anything it signed before the loss.
  test.each([[4, 0], [4, 1], [7, 1], [7, 2]] as const)("n = %i, %i liars: nobody contradicts himself", async (n, byzantine) => {
    let bounded = 0;
    for (let seed = 1; seed <= 3; seed++) {
      for (const faults of ["crash", "all"] as const) {
        const r = await (seed === 1 ? simulate : simulateEngine)({ seed, n, byzantine, faults, wipes: 1, chaosMs: 1_000, traceLines: 60_000 });
        expect(r.outcome === "ok" ? undefined : [...describePlan(r.plan), r.detail].join("\n")).toBeUndefined();
        if (r.trace.some((line) => line.includes("memory bounded"))) bounded++;
      }
    }
    // A floor needs the word of n − Q + f + 1 others: with a disk lost and as many liars as are tolerated, there is none.
    if (byzantine < (n - 1) / 3) expect(bounded).toBeGreaterThan(1);
  });
});

describe("an old copy of the disk", () => {
  const L = 8;
  interface Watch {
    readonly stage: Stage;
    readonly memories: string[];
    readonly proposed: Map<string, Set<string>>;
  }

  function watched(memory: (id: ReplicaId) => Memory | undefined): Watch {
    const memories: string[] = [];
    const proposed: Watch["proposed"] = new Map();
    const stage = new Stage({
      n: 4, parameters: { checkpointInterval: 4, logWindow: L, pipelineDepth: 4, requestTimeoutTicks: 20, viewChangeTimeoutTicks: 10 }, memory,
      onEffect: (id, effect: Effect) => void (effect.type === "memory" && memories.push(`r${id} ${effect.state}`)),
      onSigned: (_id, { body }) => {
        if (body.type !== "pre-prepare") return;
        const key = `r${body.sender} v${body.view} n${body.seq}`;
        proposed.set(key, (proposed.get(key) ?? new Set()).add(body.digest));
      },
    });
    return { stage, memories, proposed };
  }

  /** Slots 1 to 4 are decided; r0, the primary, proposes slot 5, then comes back from a copy of before that. */
  function restoredPrimary(memory: (id: ReplicaId) => Memory | undefined): Watch {
    const watch = watched(memory);
    const { stage } = watch;
    for (let i = 0; i < 2; i++) {
      stage.request(0, stage.makeBundle());
      stage.pass();
    }
    const copy = stage.disks[0]?.copy();
    stage.request(0, stage.makeBundle());
    stage.pass(({ from, to }) => from === 0 && to !== 0);
    stage.drop();
    stage.crash(0);
    if (copy !== undefined) stage.disks[0]?.restore(copy);
    stage.start(0);
    stage.request(0, stage.makeBundle());
    stage.pass();
    return watch;
  }

  test("negative control: without the question the primary proposes a slot twice", () => {
    const { proposed } = restoredPrimary(() => undefined);
    expect([...proposed].filter(([, digests]) => digests.size > 1).map(([key]) => key)).toEqual(["r0 v0 n3"]);
  });

  test("the others show what it said: it is silent, and they go on in the next view without it; two views later it votes again", () => {
    let starts = 0;
    const { stage, memories, proposed } = restoredPrimary(() => ({ nonce: digest((++starts).toString(16).padStart(64, "0")) }));
    expect(memories).toEqual(["r0 lost", "r0 bounded"]);
    expect([...proposed.values()].every((digests) => digests.size === 1)).toBe(true);
    expect(stage.shell(0).status().silence).toMatchObject({ cause: "amnesia", floor: { view: 0 + 1 + 1, seq: 2 + L } });
    const order = (count: number): void => {
      for (let i = 0; i < count; i++) {
        for (const id of [0, 1, 2, 3]) stage.request(id, stage.makeBundle());
        stage.pass();
      }
    };
    // Its silence ends view 0; in view 1 the others pass the window it may have voted in; one view later it votes again.
    order(1);
    for (const id of [1, 2, 3]) stage.tick(id, 21);
    stage.pass();
    order(5);
    for (const id of [0, 1, 2, 3]) stage.tick(id, 10);
    stage.pass();
    expect(stage.shell(0).status()).toMatchObject({ view: 1, active: true });
    expect(stage.shell(0).status().stableSeq).toBeGreaterThanOrEqual(2 + L);
    expect(memories.at(-1)).toBe("r0 bounded");
    for (const id of [2, 3]) stage.request(id, stage.makeBundle());
    stage.drop(({ to }) => to === 1);
    for (const id of [2, 3]) stage.tick(id, 60);
    stage.pass();
    expect(stage.shell(0).status()).toMatchObject({ view: 2, active: true });
    expect(memories.at(-1)).toBe("r0 sound");
    // Without another one its votes are needed, and come.
    stage.crash(1);
    const before = stage.shell(3).status().executedSeq;
    stage.request(2, stage.makeBundle());
    stage.pass();
    expect(stage.shell(3).status().executedSeq).toBeGreaterThan(before);
    expect([...proposed.values()].every((digests) => digests.size === 1)).toBe(true);
  });
});
