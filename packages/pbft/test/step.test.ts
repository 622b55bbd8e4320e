/** The engine as a function: same inputs, same effects; broken promises of the shell stop it. */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { type Effect, InvariantViolation, type Input, replicaId, seqNum, view } from "@narses/core";
import { createEngine } from "../src/index.ts";
import { batchOf, bench, commit, configOf, frameOf, newViewOf, prepare, prePrepare, prePrepareOf, sign, statusOf, tools, viewChangeOf, vote, WALL_MS, mintMessage } from "./helpers.ts";

const batches = ["a", "b"].map((name) => batchOf(name));
const arbitraryInput: fc.Arbitrary<Input> = fc.record({
  kind: fc.integer({ min: 0, max: 7 }), sender: fc.integer({ min: 0, max: 3 }), v: fc.integer({ min: 0, max: 2 }), n: fc.integer({ min: 0, max: 10 }), which: fc.integer({ min: 0, max: 1 }),
}).map(({ kind, sender, v, n, which }): Input => {
  const batch = batches[which] as (typeof batches)[number];
  const from = replicaId(sender);
  switch (kind) {
    case 0:
      return mintMessage(from, prePrepare(v, n, batch));
    case 1:
      return mintMessage(from, prepare(sender, v, n, batch.digest));
    case 2:
    case 3:
      return mintMessage(from, commit(sender, v, n, batch.digest));
    case 4:
      return mintMessage(from, { type: "view-change", signed: viewChangeOf(sender, v + 1) });
    case 5:
      return mintMessage(from, { type: "new-view", signed: newViewOf(v + 1, [0, 1, 3].map((id) => viewChangeOf(id, v + 1))) });
    case 6:
      return mintMessage(from, statusOf({ view: view(v), executedSeq: seqNum(n) }));
    default:
      return { type: "tick", wallMs: WALL_MS };
  }
});

/** Votes of replica 2 never come from others in this test. */
const notSelf = (input: Input): boolean => input.type !== "message" || input.message.type !== "votes" || input.message.signed.body.sender !== 2;

describe("step", () => {
  test("the same inputs give the same effects, whatever they are", () => {
    fc.assert(fc.property(fc.array(arbitraryInput.filter(notSelf), { maxLength: 60 }), (inputs) => {
      const run = (): readonly string[] => {
        const { step } = bench(configOf(2));
        return inputs.map((input) => {
          try {
            return JSON.stringify(step(input));
          } catch (error) {
            // Random votes can amount to more than f liars: then the engine stops, and does so the same way.
            expect(error).toBeInstanceOf(InvariantViolation);
            return (error as Error).message;
          }
        });
      };
      expect(run()).toEqual(run());
    }), { numRuns: 200 });
  });

  test("whatever arrives, no two different votes for one key, and none in a view that was left", () => {
    fc.assert(fc.property(fc.array(arbitraryInput.filter(notSelf), { maxLength: 120 }), (inputs) => {
      const { step } = bench(configOf(2));
      const said = new Map<string, string>();
      let left = 0;
      const judge = (effect: Effect): void => {
        if (effect.type === "view-change") left = effect.view;
        if (effect.type !== "vote") return;
        const { phase, view: v, seq, digest } = effect.vote;
        expect(v).toBeGreaterThanOrEqual(left);
        expect(said.get(`${phase} ${v} ${seq}`) ?? digest).toBe(digest);
        said.set(`${phase} ${v} ${seq}`, digest);
      };
      try {
        for (const input of inputs) {
          for (const effect of step(input)) {
            judge(effect);
            if (effect.type === "vote") step({ type: "own", signed: frameOf(2, effect.vote) }).forEach(judge);
          }
        }
      } catch (error) {
        if (!(error instanceof InvariantViolation)) throw error;
      }
    }), { numRuns: 300 });
  });

  test("says its name, and nothing before start", () => {
    const engine = createEngine(configOf(1), tools);
    expect(engine.name).toBe("pbft");
    expect(() => engine.step({ type: "tick", wallMs: WALL_MS })).toThrow(/first input is tick, not start/);
  });

  test("an own message of another sender is a broken promise of the shell", () => {
    const b = bench(configOf(1));
    expect(() => b.own(frameOf(2, vote("prepare", 0, 1, batchOf("a").digest)))).toThrow(/names replica 2 as sender/);
    expect(() => b.own(sign({ ...prePrepareOf(0, 1, batchOf("a").digest).body }))).toThrow(InvariantViolation);
  });

  test("an own vote that contradicts an earlier one stops the replica", () => {
    const b = bench(configOf(1));
    b.own(frameOf(1, vote("commit", 0, 1, batchOf("a").digest)));
    expect(() => b.own(frameOf(1, vote("commit", 0, 1, batchOf("b").digest)))).toThrow(/differs from an earlier one/);
  });
});
