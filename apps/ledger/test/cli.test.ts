/** The command line against a real cluster: four replicas over loopback, in this process. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NULL_DIGEST, seqNum, type Block, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { loadCluster } from "@narses/replica";
import { openBlockStore } from "@narses/storage";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codecOf } from "../src/chain/codec.ts";
import { openReplay } from "../src/chain/replay.ts";
import { createLedger } from "../src/state-machine/machine.ts";
import { runCommandLine } from "../src/cli/program.ts";
import { freePorts } from "../src/demo/replica-process.ts";
import { generatePaymentDay } from "../src/demo/payment-day.ts";

const root = mkdtempSync(join(tmpdir(), "narses-ledger-test-"));
const bank = join(root, "bank");
const path = (name: string): string => join(root, name);

interface Ran {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  json(): Record<string, unknown>;
  error(): Record<string, unknown>;
}

function begin(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): { readonly done: Promise<Ran>; out(): string } {
  let out = "";
  let err = "";
  const done = runCommandLine(args, {
    stdout: { write: (text) => void (out += text) },
    stderr: { write: (text) => void (err += text) },
    env: { ...process.env, NO_COLOR: "1" },
    signal,
  }).then((exit) => ({
    exit,
    out,
    err,
    json: () => JSON.parse(out) as Record<string, unknown>,
    error: () => (JSON.parse(err) as { error: Record<string, unknown> }).error,
  }));
  return { done, out: () => out };
}

const run = (...args: string[]): Promise<Ran> => begin(args).done;
/** A client command with --json. */
const ledger = (...args: string[]): Promise<Ran> => run(...args, "--dir", bank, "--json");

const stop = new AbortController();
const replicas: Promise<Ran>[] = [];

async function untilReady(started: { readonly done: Promise<Ran>; out(): string }): Promise<void> {
  const ended = started.done.then((ran) => {
    throw new TypeError(`a replica ended at start: ${ran.err}`);
  });
  ended.catch(() => undefined);
  while (!started.out().startsWith("ready replica ")) await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10))]);
}

beforeAll(async () => {
  const base = await freePorts(4);
  expect((await run("init", bank, "--base-port", String(base), "--asset", "EUR:2", "--asset", "CZK:2")).exit).toBe(0);
  const started = [0, 1, 2, 3].map((i) => begin(["start", "--home", join(bank, `replica-${i}`), "--log-level", "silent"], stop.signal));
  replicas.push(...started.map(({ done }) => done));
  await Promise.all(started.map(untilReady));
});

afterAll(async () => {
  stop.abort();
  await Promise.all(replicas);
  rmSync(root, { recursive: true, force: true });
});

/** Executing the same chain under other rules, or a header that lies about the state, is noticed at the block in question. */
async function expectOtherRulesToShow(): Promise<void> {
  const cluster = await loadCluster(join(bank, "cluster.json"));
  const store = await openBlockStore({ directory: join(bank, "replica-3", "data", "blocks"), codec: codecOf(cluster) });
  const blocks = await Promise.all([0, 1, 2].map((seq) => store.get(seqNum(seq))));
  await store.close();
  const generous: StateMachine = { ...createLedger(hasher), apply: () => ({ replayed: false }) } as StateMachine;
  const execute = async (app: StateMachine, change: (header: Block["header"]) => Block["header"]): Promise<void> => {
    const replay = await openReplay(cluster, app);
    try {
      for (const block of blocks) if (block !== undefined) await replay.execute({ ...block, header: change(block.header) });
    } finally {
      await replay.close();
    }
  };
  const honest = createLedger(hasher) as StateMachine;
  await expect(execute(honest, (header) => header)).resolves.toBeUndefined();
  await expect(execute(generous, (header) => header)).rejects.toMatchObject({
    code: "RECEIPT_INVALID",
    data: { check: "execution", seq: 1, field: "resultRoot" },
  });
  const lie = (header: Block["header"]): Block["header"] => (header.seq === 2 ? { ...header, stateRoot: NULL_DIGEST } : header);
  await expect(execute(honest, lie)).rejects.toMatchObject({ data: { check: "execution", seq: 2, field: "stateRoot" } });
}

describe("accounts and transfers", () => {
  it("move money and leave a receipt that verifies offline", async () => {
    expect((await ledger("account", "create", "alice", "--asset", "EUR", "--opening", "100.00")).json()).toMatchObject({
      replayed: false,
      id: "alice",
    });
    expect((await ledger("account", "create", "bob")).exit).toBe(0);
    const paid = await ledger(
      "transfer",
      "alice",
      "bob",
      "12.50",
      "EUR",
      "--idempotency-key",
      "k1",
      "--reference",
      "Invoice 7",
      "--receipt",
      path("k1.receipt"),
    );
    expect(paid.json()).toMatchObject({ replayed: false, balance: "87.50", idempotencyKey: "k1" });
    const verified = await run("verify", "receipt", path("k1.receipt"), "--cluster", join(bank, "cluster.json"), "--json");
    expect(verified.json()).toMatchObject({
      valid: true,
      operation: { type: "transfer", amount: "12.50", reference: "Invoice 7" },
      result: { status: "ok" },
    });
    expect((await ledger("account", "show", "bob")).json()).toMatchObject({ holdings: [{ asset: "EUR", balance: "12.50" }] });
  });

  it("do not pay twice for one key, and say so when the payment differs", async () => {
    expect(
      (await ledger("transfer", "alice", "bob", "12.5", "EUR", "--idempotency-key", "k1", "--reference", "Invoice 7")).json(),
    ).toMatchObject({ replayed: true, balance: "87.50" });
    const conflict = await ledger("transfer", "alice", "bob", "99", "EUR", "--idempotency-key", "k1");
    expect([conflict.exit, conflict.error()["code"]]).toEqual([4, "IDEMPOTENCY_CONFLICT"]);
  });

  it.each([
    [["alice", "bob", "87.51", "EUR"], 4, "OVERDRAFT", "amount"],
    [["alice", "nobody", "1", "EUR"], 4, "ACCOUNT_UNKNOWN", "to"],
    [["alice", "bob", "1.005", "EUR"], 4, "AMOUNT_INVALID", "amount"],
    [["alice", "bob", "1e309", "EUR"], 2, "AMOUNT_INVALID", "amount"],
    [["alice", "bob", "-1", "EUR"], 2, "AMOUNT_INVALID", "amount"],
    [["alice", "bob", "NaN", "EUR"], 2, "AMOUNT_INVALID", "amount"],
    [["alice", "bob", "0", "EUR"], 2, "AMOUNT_INVALID", "amount"],
    [["alice", "bob", "1", "USD"], 4, "ASSET_UNKNOWN", "asset"],
  ])("of %j end with status %i, %s, naming %s", async (args, exit, code, field) => {
    const ran = await ledger("transfer", ...args);
    expect([ran.exit, ran.out]).toEqual([exit, ""]);
    expect(ran.error()).toMatchObject({ code, data: { field } });
  });

  it("need a client's key, of a member", async () => {
    const foreign = path("foreign.key");
    expect((await run("key", "create", foreign)).exit).toBe(0);
    expect((await ledger("transfer", "alice", "bob", "1", "EUR", "--key", foreign)).error()["code"]).toBe("NOT_A_MEMBER");
    const wrong = await ledger("transfer", "alice", "bob", "1", "EUR", "--key", join(bank, "replica-0", "replica.key"));
    expect([wrong.exit, wrong.error()["code"]]).toEqual([3, "KEY_INVALID"]);
  });
});

describe("import", () => {
  it("applies nothing of a file with a bad line, and names file, line and column", async () => {
    const file = path("bad.csv");
    writeFileSync(file, "order_id,account_from,bank_to,account_to,amount,purpose\n1,1,YZ,2,5.00,HH\n2,1,YZ,2,5.005,HH\n");
    const ran = await ledger("import", file);
    expect([ran.exit, ran.error()["code"]]).toEqual([7, "FILE_INVALID"]);
    expect(ran.error()["message"]).toContain(`${file}:3: column 5 (amount): "5.005" has 3 decimals, the asset has 2`);
    expect((await ledger("account", "show", "HOME:1")).error()["code"]).toBe("ACCOUNT_UNKNOWN");
  });

  it("applies every payment once, however often the file comes, with receipts for all", async () => {
    const file = path("day.csv");
    writeFileSync(file, generatePaymentDay({ seed: 9, payments: 300 }));
    const options = ["--opening-balance", "60000.00"];
    const first = await ledger("import", file, ...options, "--receipts", path("day.receipts"));
    expect(first.json()).toMatchObject({
      payments: 300,
      applied: 300,
      replayed: 0,
      refused: 0,
      sums: [{ asset: "EUR", unchanged: true, after: "0.00" }],
    });
    const copy = path("same-content.csv");
    copyFileSync(file, copy);
    expect((await ledger("import", copy, ...options)).json()).toMatchObject({ applied: 0, replayed: 300, refused: 0 });
    expect((await ledger("verify", "receipt", path("day.receipts"))).json()).toMatchObject({ valid: true, payments: 300 });
    expect((await ledger("totals")).json()).toMatchObject({ balanced: true, transfers: 301 });
  });
});

describe("the cluster", () => {
  it("has one state root, and a chain that verifies and executes again", async () => {
    const status = (await ledger("status")).json() as { replicas: { seq: number; stateRoot: string }[] };
    expect(status).toMatchObject({ n: 4, f: 1, healthy: true });
    expect(new Set(status.replicas.map((replica) => replica.stateRoot)).size).toBe(1);
    const chain = await ledger("verify", "chain", "--from-replica", "2", "--receipt", path("k1.receipt"));
    expect(chain.json()).toMatchObject({ valid: true, head: { seq: status.replicas[0]?.seq, stateRoot: status.replicas[0]?.stateRoot } });
    expect((await ledger("block", "show", "2")).json()).toMatchObject({
      seq: 2,
      view: 0,
      operations: [{ text: "create account bob", status: "ok" }],
    });
  });

  it("keeps its port and its data directory to itself", async () => {
    const locked = await run("start", "--home", join(bank, "replica-0"), "--log-level", "silent", "--json");
    expect([locked.exit, locked.error()["code"]]).toEqual([3, "DATA_DIR_LOCKED"]);
  });

  it("shows an account with the consistency asked for, or says which one it got instead", async () => {
    expect((await ledger("account", "show", "alice")).json()).toMatchObject({ id: "alice", consistency: "ordered" });
    expect((await ledger("account", "show", "alice", "--consistency", "fast")).json()).toMatchObject({
      consistency: "ordered",
      fallback: "this cluster has no fast reads",
    });
    const wrong = await ledger("account", "show", "alice", "--consistency", "fast", "--prove", path("alice.proof"));
    expect(wrong.exit).toBe(2);
  });

  it("refuses a receipt that was changed, or is of another cluster", async () => {
    const stored = JSON.parse(readFileSync(path("k1.receipt"), "utf8")) as { receipt: string };
    const bytes = Buffer.from(stored.receipt, "base64");
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    writeFileSync(path("forged.receipt"), JSON.stringify({ ...stored, receipt: bytes.toString("base64") }));
    const forged = await ledger("verify", "receipt", path("forged.receipt"));
    expect([forged.exit, forged.error()["code"]]).toEqual([6, "RECEIPT_INVALID"]);
    const cluster = JSON.parse(readFileSync(join(bank, "cluster.json"), "utf8")) as Record<string, unknown>;
    writeFileSync(path("other.json"), JSON.stringify({ ...cluster, name: "other" }));
    expect((await run("verify", "receipt", path("k1.receipt"), "--cluster", path("other.json"), "--json")).exit).toBe(6);
  });

  it("stops cleanly, and its chain verifies from the disk alone", async () => {
    stop.abort();
    expect((await Promise.all(replicas)).map((ran) => ran.exit)).toEqual([0, 0, 0, 0]);
    const chain = await ledger("verify", "chain", "--data", join(bank, "replica-3", "data"));
    expect(chain.json()).toMatchObject({ valid: true });
    await expectOtherRulesToShow();
    const unreachable = await ledger("transfer", "alice", "bob", "1", "EUR", "--timeout", "1");
    expect([unreachable.exit, unreachable.error()["code"]]).toEqual([5, "NOT_CONNECTED"]);
  });
});

describe("setting up", () => {
  it.each([
    [["init", path("x"), "--replicas", "4", "--f", "2"], 2, "USAGE"],
    [["init", path("x"), "--replicas", "0"], 2, "USAGE"],
    [["init", path("x"), "--base-port", "65534"], 2, "USAGE"],
    [["init", path("x"), "--asset", "euro"], 2, "USAGE"],
    [["init", bank], 3, "DIRECTORY_NOT_EMPTY"],
    [["start", "--home", path("nowhere")], 3, "CONFIG_INVALID"],
    [["frobnicate"], 2, "USAGE"],
    [["transfer", "a", "b"], 2, "USAGE"],
    [["import", path("missing.csv"), "--dir", bank], 3, "ENOENT"],
  ])("%j ends with status %i and %s", async (args, exit, code) => {
    const ran = await run(...args, "--json");
    expect([ran.exit, ran.error()["code"], ran.out]).toEqual([exit, code, ""]);
  });

  it.each([
    ["three replicas for f = 1", (c: { replicas: Record<string, unknown>[] }) => c.replicas.pop(), "3f+1 = 4"],
    [
      "a key used twice",
      (c: { replicas: Record<string, unknown>[] }) => void (c.replicas[1] = { ...c.replicas[1], publicKey: c.replicas[0]?.["publicKey"] }),
      "replicas[1].publicKey",
    ],
  ])("a cluster file with %s is refused by name", async (_, change, text) => {
    const cluster = JSON.parse(readFileSync(join(bank, "cluster.json"), "utf8")) as { replicas: Record<string, unknown>[] };
    change(cluster);
    writeFileSync(path("wrong.json"), JSON.stringify(cluster));
    const ran = await run("status", "--cluster", path("wrong.json"), "--json");
    expect([ran.exit, ran.error()["code"]]).toEqual([3, "CONFIG_INVALID"]);
    expect(ran.error()["message"]).toContain(text);
  });

  it("every command has help with an example", async () => {
    for (const args of [
      ["init"],
      ["start"],
      ["account", "create"],
      ["account", "list"],
      ["account", "show"],
      ["transfer"],
      ["import"],
      ["block", "show"],
      ["status"],
      ["verify", "receipt"],
      ["verify", "chain"],
    ]) {
      const { exit, out } = await run(...args, "--help");
      expect(exit).toBe(0);
      expect(out).toContain(`  $ narses-ledger ${args.join(" ")}`);
    }
  });
});
