/**
 * Real processes, real sockets, kill -9. The payments are real standing orders when the data is at hand beside the checkout,
 * else the shipped sample.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

interface Imported {
  readonly payments: number;
  readonly applied: number;
  readonly replayed: number;
  readonly refused: number;
  readonly sums: readonly { readonly before: string; readonly after: string; readonly unchanged: boolean }[];
}

const REAL = fileURLToPath(new URL("../../../shared/data/pkdd99/orders.csv", import.meta.url));
const SAMPLE = fileURLToPath(new URL("../../apps/ledger/samples/payment-day.csv", import.meta.url));
const CHAOS_PAYMENTS = 1_500;
const CHAOS_BATCH = ["--batch-id", "chaos"];
const KILLS = 5;
/** Replicas that were killed execute again what they had executed; on a busy machine that takes its time. */
const PATIENCE = ["--timeout", "150"];

const data = existsSync(REAL) ? { file: REAL, options: ["--asset", "EUR", "--opening-balance", "100000.00"] } : { file: SAMPLE, options: ["--opening-balance", "60000.00"] };
if (!existsSync(REAL)) process.stdout.write("real payment orders skipped: no data; using the shipped sample\n");

function expectOneState(states: Awaited<ReturnType<Cluster["settled"]>>): void {
  expect(states.filter((s) => s.reachable).length).toBe(4);
  expect(new Set(states.map((s) => `${s.seq} ${s.stateRoot}`)).size).toBe(1);
}

describe("a ledger on four real replicas", () => {
  let cluster: Cluster;
  let chaosFile: string;
  beforeAll(async () => {
    cluster = await Cluster.create(4);
    const lines = readFileSync(data.file, "utf8").trimEnd().split("\n");
    chaosFile = join(cluster.dir, "chaos.csv");
    writeFileSync(chaosFile, `${lines.slice(0, CHAOS_PAYMENTS + 1).join("\n")}\n`);
  }, 60_000);
  afterAll(() => cluster.destroy(), 60_000);

  const importFile = (file: string, batch: readonly string[] = []): Promise<Imported> => cluster.json<Imported>(["import", file, ...data.options, ...batch, ...PATIENCE]);

  test("imports every payment once, keeps the sum, agrees on one state, and its chain verifies", async () => {
    const total = readFileSync(data.file, "utf8").trimEnd().split("\n").length - 1;
    const first = await importFile(data.file);
    expect(first).toMatchObject({ payments: total, applied: total, replayed: 0, refused: 0 });
    expect(first.sums.every((sum) => sum.unchanged)).toBe(true);
    expectOneState(await cluster.settled());
    const again = await importFile(data.file);
    expect(again).toMatchObject({ applied: 0, replayed: total, refused: 0 });
    const verified = await cluster.run(["verify", "chain", ...PATIENCE]);
    expect(verified.status, verified.stderr).toBe(0);
  }, 180_000);

  test("kill -9 of each replica in turn, five times at random moments: the same result", async () => {
    let seed = 20_261_121;
    const random = (): number => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    let done = false;
    const chaos = async (): Promise<void> => {
      for (let i = 0; i < KILLS && !done; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100 + random() * 600));
        await cluster.kill(i % 4);
        await new Promise((resolve) => setTimeout(resolve, random() * 400));
        await cluster.start(i % 4);
      }
    };
    const striking = chaos();
    const report = await importFile(chaosFile, CHAOS_BATCH).finally(() => (done = true));
    await striking;
    expect(report).toMatchObject({ payments: CHAOS_PAYMENTS, applied: CHAOS_PAYMENTS, replayed: 0, refused: 0 });
    expect(report.sums.every((sum) => sum.unchanged)).toBe(true);
    expectOneState(await cluster.settled());
  }, 180_000);

  test("all four killed at once and restarted: every acknowledged payment is there", async () => {
    await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
    await Promise.all(cluster.ids.map((id) => cluster.start(id)));
    const again = await importFile(chaosFile, CHAOS_BATCH);
    expect(again).toMatchObject({ applied: 0, replayed: CHAOS_PAYMENTS, refused: 0 });
    expectOneState(await cluster.settled());
    const verified = await cluster.run(["verify", "chain", ...PATIENCE]);
    expect(verified.status, verified.stderr).toBe(0);
  }, 180_000);
});
