/** PBFT (OSDI'99) §4.3, "Garbage Collection". K = 2, L = 4. */
import { describe, expect, test } from "vitest";
import { digest, seqNum } from "@narses/core";
import { Recorded, words } from "./paper-stage.ts";

const after = (slots: number, options: ConstructorParameters<typeof Recorded>[1] = {}): Recorded => {
  const stage = new Recorded(4, options);
  for (let i = 0; i < slots; i++) stage.order();
  return stage;
};

describe("PBFT §4.3", () => {
  test("§4.3: checkpoints are taken when the sequence number is divisible by K; the replica multicasts n and the state's digest", () => {
    const stage = after(3);
    for (const id of stage.ids) expect(stage.acts(id).flatMap((e) => (e.type === "checkpoint" ? [e.seq] : []))).toEqual([2]);
    const roots = new Set(stage.ids.flatMap((id) => stage.acts(id).flatMap((e) => (e.type === "checkpoint" ? [e.root] : []))));
    expect(roots.size).toBe(1);
  });

  test("§4.3: 2f+1 checkpoint messages for n with the same digest are the proof of correctness: the checkpoint is stable", () => {
    const stage = after(2, { holdCheckpoints: true });
    stage.checkpointDurable(0);
    stage.checkpointDurable(1);
    stage.pass();
    expect(stage.ids.map((id) => stage.shell(id).status().stableSeq)).toEqual([0, 0, 0, 0]);
    stage.checkpointDurable(2);
    stage.pass();
    expect(stage.ids.map((id) => stage.shell(id).status().stableSeq)).toEqual([2, 2, 2, 0]);
  });

  test("§4.3: then all pre-prepare, prepare and commit messages at or below n are discarded from the log", () => {
    const stage = after(3);
    const slots = stage.disks.map((disk) => [...new Set(disk.records.flatMap((r) => ("seq" in r ? [r.seq] : r.type === "prepared" ? [r.certificate.prePrepare.body.seq] : [])))]);
    expect(slots).toEqual([[3], [3], [3], [3]]);
  });

  test("§4.3: the proof is durable before anything is discarded", () => {
    const stage = after(2);
    for (const id of stage.ids) {
      const order = words(stage.acts(id));
      expect(order.indexOf("truncate")).toBe(order.indexOf("persist stable") + 1);
    }
  });

  test("§4.3: the checkpoint protocol advances the watermarks: h to the last stable checkpoint, H = h + L", () => {
    const stage = after(5);
    for (const id of stage.ids) expect([stage.shell(id).status().stableSeq, stage.shell(id).status().highWatermark]).toEqual([4, 8]);
  });

  test("§4.3: without stability the primary proposes nothing above H", () => {
    const stage = after(4, { holdCheckpoints: true });
    stage.request(0, stage.makeBundle());
    expect(stage.inFlight).toEqual([]);
    for (const id of [0, 1, 2, 3]) stage.checkpointDurable(id);
    stage.pass();
    expect(stage.executed(3)).toContain(5);
  });

  test("§4.3: a faulty replica's digest does not count, however it lies", () => {
    const stage = after(2, { holdCheckpoints: true });
    const { epoch } = stage.config(3);
    for (const to of [0, 1, 2]) {
      const signed = stage.signer(3).sign({ type: "checkpoint", epoch, sender: stage.config(3).self, seq: seqNum(2), root: digest(String(to).repeat(64)) });
      stage.inject(3, to, { type: "checkpoint", signed });
    }
    stage.pass();
    stage.checkpointDurable(0);
    stage.checkpointDurable(1);
    stage.pass();
    expect([0, 1, 2].map((id) => stage.shell(id).status().stableSeq)).toEqual([0, 0, 0]);
    stage.checkpointDurable(2);
    stage.pass();
    expect([0, 1, 2].map((id) => stage.shell(id).status().stableSeq)).toEqual([2, 2, 2]);
  });
});
