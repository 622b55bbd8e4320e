/** The shell keeps production's promises: durable before said, one life at a time, state and log in step after a crash. */
import { describe, expect, test } from "vitest";
import type { LogRecord, SignedBody, Vote } from "@narses/core";
import { Random } from "../src/random.ts";
import { Stage, type StageOptions } from "../src/stage.ts";

const SMALL: StageOptions = { n: 4, parameters: { checkpointInterval: 2, logWindow: 4, pipelineDepth: 2 } };

const holds = (records: readonly LogRecord[], vote: Vote): boolean => records.some((r) => (vote.phase === "prepare"
  ? r.type === "pre-prepared" && r.view === vote.view && r.seq === vote.seq && r.digest === vote.digest
  : r.type === "prepared" && r.certificate.prePrepare.body.view === vote.view && r.certificate.prePrepare.body.seq === vote.seq));

describe("shell", () => {
  test("when a vote is signed, what it vouches for is on the disk", () => {
    let votes = 0;
    const stage: Stage = new Stage({
      ...SMALL,
      onSigned: (id, { body }: { readonly body: SignedBody }) => {
        if (body.type !== "votes") return;
        for (const vote of body.votes) {
          votes++;
          expect(holds(stage.disks[id]?.records ?? [], vote)).toBe(true);
        }
      },
    });
    for (let i = 0; i < 5; i++) {
      stage.request(0, stage.makeBundle());
      stage.pass();
    }
    expect(votes).toBe(5 * (3 + 4));
  });

  test("with merging, votes of one turn share a frame; without, each has its own", () => {
    const frames = (mergeVotes: boolean): readonly number[] => {
      const sizes: number[] = [];
      const stage = new Stage({ ...SMALL, mergeVotes, onSigned: (_id, { body }) => void (body.type === "votes" && sizes.push(body.votes.length)) });
      for (const bundle of [stage.makeBundle(), stage.makeBundle()]) stage.request(0, bundle);
      // Both proposals wait at r1 and are taken in one turn after its restart.
      stage.pass(({ to }) => to === 1);
      stage.crash(1);
      stage.start(1);
      return sizes;
    };
    expect(frames(false)).toEqual([1, 1, 1, 1]);
    expect(frames(true)).toEqual([1, 1, 2]);
  });

  test("after a crash anywhere in a turn, records and state still fit together", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = new Random(`crash ${seed}`);
      const stage = new Stage(SMALL);
      for (let i = 0; i < 3; i++) {
        stage.request(0, stage.makeBundle());
        stage.pass();
      }
      const shell = stage.shell(1);
      stage.request(0, stage.makeBundle());
      for (const { to, from, message } of stage.inFlight) if (to === 1) shell.deliver({ type: "message", from, message: message as never });
      shell.step();
      shell.crash(random.pick(["kill", "power"] as const), random);
      stage.crash(1);
      stage.start(1);
      expect(stage.shell(1).status().executedSeq).toBeGreaterThanOrEqual(2);
      stage.pass();
      for (let i = 0; i < 20; i++) for (const id of stage.ids) stage.tick(id, 10);
      stage.pass();
      expect(new Set(stage.ids.map((id) => stage.shell(id).stateNow.head)).size).toBe(1);
    }
  });

  test("a bundle that was executed is answered from the session, and never given to the engine again", () => {
    const answers: string[] = [];
    const inputs: string[] = [];
    const stage = new Stage({ ...SMALL, onAnswer: (_id, { answer }) => void answers.push(answer.result), onInput: (_id, input) => void inputs.push(input.type) });
    const bundle = stage.makeBundle();
    stage.request(0, bundle);
    stage.pass();
    inputs.length = 0;
    stage.request(2, bundle);
    stage.inject(3, 0, { type: "forward", bundle });
    stage.pass();
    expect(inputs).toEqual([]);
    expect(answers).toEqual(["1:1", "1:1", "1:1", "1:1", "1:1"]);
  });
});
