/**
 * What an operator does to real processes, by the command line: stops replicas while clients are busy, loses a disk and
 * brings the replica back, keeps proofs and verifies them.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openConnection, type Connection } from "../../apps/ledger/src/cli/connection.ts";
import { Cluster, ledger } from "./cluster.ts";
import { until } from "./seats.ts";

const N = 4;
const LANES = 4;
const LOST = 3;
const TIMEOUT_MS = 180_000;
const PATIENCE = ["--timeout", "120"];
/** Checkpoints and windows small enough that a lost replica is further behind than the others' logs reach. */
const PARAMETERS = { checkpointInterval: 4, logWindow: 8, pipelineDepth: 4, disconnectTimeoutTicks: 40 };

let cluster: Cluster;
let client: Connection;
let opened = 0;

/** One more account; resolves when it is acknowledged. */
async function open(): Promise<void> {
  const { result } = await client.ledger.submit({ type: "account.create", id: `account-${opened++}`, owner: undefined, name: undefined, opening: undefined });
  expect(result.replayed).toBe(false);
}

/** Clients that do not stop while `act` runs; every operation is acknowledged in the end. */
async function underLoad(act: () => Promise<void>): Promise<void> {
  let done = false;
  const lanes = Array.from({ length: LANES }, async () => {
    while (!done) await open();
  });
  try {
    await act();
  } finally {
    done = true;
  }
  await Promise.all(lanes);
}

const why = async (id: number): Promise<string> => (await cluster.run(["why", "--replica", String(id)])).stdout;

beforeAll(async () => {
  cluster = await Cluster.create(N, PARAMETERS);
  client = await openConnection({ dir: cluster.dir, timeout: 600 });
}, TIMEOUT_MS);

afterAll(async () => {
  await client.close();
  await cluster.destroy();
}, TIMEOUT_MS);

test("stopped in turn and then all at once while clients are busy, and started again: nothing acknowledged is lost, nothing is done twice", async () => {
  await underLoad(async () => {
    for (const id of cluster.ids) {
      await open();
      expect(await cluster.stop(id)).toBe(0);
      expect(JSON.parse((await ledger(["wal", "inspect", "--home", cluster.home(id), "--last", "1", "--json"])).stdout)).toMatchObject({ closedCleanly: true });
      await open();
      await cluster.start(id);
    }
    await open();
    expect(await Promise.all(cluster.ids.map((id) => cluster.stop(id)))).toEqual([0, 0, 0, 0]);
    await Promise.all(cluster.ids.map((id) => cluster.start(id)));
    await open();
  });
  // Every operation was acknowledged as a new one; a second execution would have answered "replayed", a lost one leaves a hole.
  const { accounts } = await cluster.json<{ accounts: readonly { readonly id: string }[] }>(["account", "list", "--limit", "100000", ...PATIENCE]);
  const ids = accounts.map(({ id }) => id).filter((id) => id.startsWith("account-"));
  expect(ids.sort()).toEqual(Array.from({ length: opened }, (_, i) => `account-${i}`).sort());
  const states = await cluster.settled();
  expect(new Set(states.map(({ seq, stateRoot }) => `${seq} ${stateRoot}`)).size).toBe(1);
}, TIMEOUT_MS);

test("a lost data directory: refused with what to do; one command later it is there again, does not vote, and has every block", async () => {
  expect(await cluster.stop(LOST)).toBe(0);
  rmSync(join(cluster.home(LOST), "data"), { recursive: true });
  for (let i = 0; i < 2 * PARAMETERS.logWindow; i++) await open();
  const refused = /^replica 3 ended with 3: error: replica 3 has voted before .*its data directory .* is empty; mount it\. If it is lost, start once with --rejoin: /s;
  await expect(cluster.start(LOST)).rejects.toThrow(refused);
  await underLoad(() => cluster.start(LOST, "--rejoin"));
  await open();
  const states = await cluster.settled();
  expect(new Set(states.map(({ seq, stateRoot }) => `${seq} ${stateRoot}`)).size).toBe(1);
  expect(await why(LOST)).toMatch(/Replica 3 does not vote, because .*\n(.*\n)*.*before it may vote/);
  // Once is enough: it remembers that it has forgotten.
  await cluster.stop(LOST);
  await cluster.start(LOST);
  expect(await why(LOST)).toContain("Replica 3 does not vote");
  await until("its chain to be whole", async () => (await cluster.run(["verify", "chain", "--from-replica", String(LOST), ...PATIENCE])).status === 0);
}, TIMEOUT_MS);

test("proofs of state, of absence and of a payment are kept and verify offline; changed ones do not", async () => {
  const file = (name: string): string => join(cluster.dir, name);
  const verify = (kind: string, name: string): ReturnType<Cluster["run"]> => cluster.run(["verify", kind, file(name), "--json"]);
  const damage = (from: string, to: string): void => {
    const stored = JSON.parse(readFileSync(file(from), "utf8")) as { readonly receipt: string };
    const bytes = Buffer.from(stored.receipt, "base64");
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    writeFileSync(file(to), JSON.stringify({ ...stored, receipt: bytes.toString("base64") }));
  };
  await cluster.json(["account", "create", "alice", "--asset", "EUR", "--opening", "100.00", ...PATIENCE]);
  await cluster.json(["account", "create", "bob", ...PATIENCE]);
  await cluster.json(["transfer", "alice", "bob", "12.50", "EUR", "--receipt", file("paid.receipt"), ...PATIENCE]);
  const receipt = await verify("receipt", "paid.receipt");
  expect([receipt.status, JSON.parse(receipt.stdout)]).toMatchObject([0, { valid: true, operation: { type: "transfer", amount: "12.50" } }]);

  // A stale read is of a checkpoint: of the first one after the payment.
  for (let i = 0; i < PARAMETERS.checkpointInterval; i++) await open();
  let shown: { readonly holdings: readonly { readonly balance: string }[]; readonly consistency: string; readonly block: number } | undefined;
  await until("a checkpoint with the payment", async () => {
    rmSync(file("bob.proof"), { force: true });
    shown = await cluster.json(["account", "show", "bob", "--prove", file("bob.proof"), ...PATIENCE]);
    return shown?.holdings[0]?.balance === "12.50";
  });
  expect(shown?.consistency).toBe("stale");
  const state = await verify("state", "bob.proof");
  expect([state.status, JSON.parse(state.stdout)]).toMatchObject([0, { valid: true, present: true, seq: shown?.block }]);
  for (const [kind, name] of [["state", "bob.proof"], ["receipt", "paid.receipt"]] as const) {
    damage(name, `forged-${name}`);
    const forged = await verify(kind, `forged-${name}`);
    expect([kind, forged.status, forged.stdout, JSON.parse(forged.stderr)]).toMatchObject([kind, 6, "", { error: { code: "RECEIPT_INVALID" } }]);
  }
  const nobody = await cluster.run(["account", "show", "nobody", "--prove", file("nobody.proof"), "--json", ...PATIENCE]);
  expect([nobody.status, nobody.stdout, JSON.parse(nobody.stderr)]).toMatchObject([4, "", { error: { code: "ACCOUNT_UNKNOWN" } }]);
  const absent = await verify("state", "nobody.proof");
  expect([absent.status, JSON.parse(absent.stdout)]).toMatchObject([0, { valid: true, present: false }]);
}, TIMEOUT_MS);
