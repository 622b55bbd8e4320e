/**
 * kill -9 at the persist/send boundaries of protocol notes 1.6, with real processes: a replica kills itself with SIGKILL at a
 * named moment of a named row, as primary and as backup, and is started again with the next one. The other replicas keep
 * every statement it ever signed. NARSES_E2E=full runs every moment of every row; otherwise two of each. The same
 * exhaustively, disk operation by disk operation, is in packages/replica/test/crash-points.test.ts.
 */
import { describe, expect, test } from "vitest";
import { MOMENTS, TRUNCATION_MOMENTS, type CrashSpec, type Row } from "./program-options.ts";
import { freePorts, makeHomes } from "./homes.ts";
import { Seats, until, type Child } from "./seats.ts";

const FULL = process.env["NARSES_E2E"] === "full";
const N = 4;
const TIMEOUT_MS = FULL ? 900_000 : 240_000;
/** Operations or view changes within which a row must have occurred. */
const TRIES_MAX = 60;

const momentsOf = (row: Row): readonly CrashSpec["moment"][] => {
  if (row === "truncation") return FULL ? TRUNCATION_MOMENTS : ["synced, nothing sent", "cut written, not synced"];
  return FULL ? MOMENTS : ["written, not synced", "sent to one peer"];
};
const specs = (...rows: readonly Row[]): readonly CrashSpec[] => rows.flatMap((row) => momentsOf(row).map((moment) => ({ row, moment })));

async function opened(parameters: Parameters<typeof makeHomes>[0]["parameters"]): Promise<Seats> {
  const base = await freePorts(N);
  return Seats.of(await makeHomes({ listen: Array.from({ length: N }, (_, i) => base + i), parameters: { checkpointInterval: 2, logWindow: 64, pipelineDepth: 4, ...parameters } }));
}

/** Drives the cluster until the victim has killed itself; what it drives with must bring the row about sooner or later. */
async function killedBy(child: Child, { row, moment }: CrashSpec, drive: () => Promise<unknown>): Promise<void> {
  await child.ready;
  for (let i = 0; !child.gone(); i++) {
    if (i >= TRIES_MAX) throw new RangeError(`${row}, ${moment}: did not occur`);
    await Promise.race([child.ended, drive()]);
  }
  const { how, said } = await child.ended;
  expect(how, `${row}, ${moment}: ${said}`).toBe("SIGKILL");
}

/** Everything holds: acknowledged once, one head, one history that verifies, nobody contradicted himself. */
async function expectWhole(seats: Seats): Promise<void> {
  expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
  const head = await seats.oneHead();
  for (let id = 0; id < N; id++) {
    // Who took a state over fetches the blocks from before.
    await until(`every block at replica ${id}`, async () => (await seats.status(id)).backfill === null);
    expect(await seats.verifiedChain(id, head.seq)).toBe(head.block);
  }
  expect(seats.contradictions).toEqual([]);
}

describe("kill -9 at persist/send boundaries, real processes", () => {
  test("in the normal case, as primary and as backup: the view stays, for a restarted primary must go on as it began", async () => {
    const patient = 60_000;
    const seats = await opened({ requestTimeoutTicks: patient, disconnectTimeoutTicks: patient, viewChangeTimeoutTicks: patient, proposalDelayTicksMax: 0 });
    try {
      const plan = [
        { victim: 0, list: specs("PRE-PREPARE", "COMMIT", "CHECKPOINT", "truncation") },
        { victim: 2, list: specs("PREPARE", "COMMIT", "CHECKPOINT", "truncation") },
      ];
      for (let id = 1; id < N; id++) await seats.seat(id);
      for (const { victim, list } of plan) {
        await seats.unseat(victim);
        for (const spec of list) await killedBy(seats.spawn(victim, spec), spec, () => seats.add());
        await seats.spawn(victim).ready;
      }
      await seats.add();
      await expectWhole(seats);
      for (let id = 0; id < N; id++) expect((await seats.status(id)).engine.view, seats.warnings.join("\n")).toBe(0);
    } finally {
      await seats.stop();
    }
  }, TIMEOUT_MS);

  test("in view changes, as old primary, new primary and backup", async () => {
    const seats = await opened({ requestTimeoutTicks: 30, disconnectTimeoutTicks: 30, viewChangeTimeoutTicks: 30, backoffExponentMax: 3 });
    try {
      for (let id = 1; id < N; id++) await seats.seat(id);
      /** The primary is not heard any more, until there is another one. */
      const depose = async (child: Child): Promise<void> => {
        const left = seats.view;
        seats.delivers = (message) => message.type !== "pre-prepare" || message.signed.body.view > left;
        void seats.add();
        await until("another view", () => child.gone() || seats.seated.every((replica) => { const { engine } = replica.status(); return engine.view > left && engine.active; }));
        seats.delivers = () => true;
        if (!child.gone()) await Promise.race([child.ended, seats.add()]);
      };
      for (const spec of specs("VIEW-CHANGE by a backup", "NEW-VIEW, its sender", "NEW-VIEW, a receiver", "VIEW-CHANGE by the primary")) {
        const child = seats.spawn(0, spec);
        await killedBy(child, spec, () => depose(child));
      }
      await seats.spawn(0).ready;
      await seats.add();
      await expectWhole(seats);
    } finally {
      await seats.stop();
    }
  }, TIMEOUT_MS);
});
