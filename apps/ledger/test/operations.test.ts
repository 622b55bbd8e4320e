/** Operating real processes: `why`, `wal inspect`, the admin endpoint, and what signals do. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../src/cli/program.ts";
import { freePorts } from "../src/demo/replica-process.ts";

const PROGRAM = ["--import", "tsx", "--conditions=@narses/source", fileURLToPath(new URL("../src/main.ts", import.meta.url))];
const root = mkdtempSync(join(tmpdir(), "narses-operations-test-"));
const bank = join(root, "bank");
const home = (id: number): string => join(bank, `replica-${id}`);

async function run(...args: string[]): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  let out = "";
  let err = "";
  const exit = await runCommandLine(args, {
    stdout: { write: (text) => void (out += text) },
    stderr: { write: (text) => void (err += text) },
    env: { NO_COLOR: "1" },
    signal: new AbortController().signal,
  });
  return { exit, out, err };
}

interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  admin: string;
}

/** Starts a replica as a process of its own; resolves when it is ready. */
async function start(id: number): Promise<Process> {
  const child = spawn(process.execPath, [...PROGRAM, "start", "--home", home(id), "--admin", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  const made: Process = { child, ended, admin: "" };
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      said += chunk.toString();
      made.admin = /admin endpoint (http:\S+?)"/.exec(said)?.[1] ?? made.admin;
      if (/^ready replica /m.test(said) && made.admin !== "") resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    void ended.then(() => reject(new TypeError(`replica ${id} ended at start: ${said}`)));
  });
  return made;
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 200; i++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new TypeError(`waited in vain for: ${what}`);
}

const replicas: Process[] = [];

beforeAll(async () => {
  expect((await run("init", bank, "--base-port", String(await freePorts(4)))).exit).toBe(0);
  replicas.push(...(await Promise.all([0, 1, 2, 3].map(start))));
});

afterAll(async () => {
  for (const { child } of replicas) child.kill("SIGKILL");
  await Promise.all(replicas.map(({ ended }) => ended));
  rmSync(root, { recursive: true, force: true });
});

describe("operations", () => {
  it("why and the admin endpoint of a healthy cluster", async () => {
    const account = await run("account", "create", "alice", "--dir", bank, "--json");
    expect([account.exit, account.err]).toEqual([0, ""]);
    // The answer came from W of them; what follows is about all four.
    for (const { admin } of replicas) {
      await until("every replica to execute slot 1", async () => (/^narses_executed_seq 1$/m.test(await (await fetch(`${admin}/metrics`)).text()) ? true : undefined));
    }
    const all = await run("why", "--dir", bank);
    expect(all.exit).toBe(0);
    for (const id of [0, 1, 2, 3]) expect(all.out).toContain(`Replica ${id} is waiting for`);
    const one = JSON.parse((await run("why", "--replica", "2", "--dir", bank, "--json")).out) as Record<string, unknown>;
    expect(one).toMatchObject({ replica: 2, source: "live", halted: null, executedSeq: 1, peers: [{ replica: 0, connected: true }, { replica: 1 }, { replica: 3 }] });
    const health = await fetch(`${replicas[1]?.admin ?? ""}/health`);
    expect([health.status, await health.json()]).toMatchObject([200, { replica: 1, healthy: true, reachable: 4 }]);
    expect(await (await fetch(`${replicas[1]?.admin ?? ""}/metrics`)).text()).toContain("\nnarses_executed_seq 1\n");
  });

  it("of a replica that was killed: why and the vote log still tell, and a running one is left alone", async () => {
    replicas[3]?.child.kill("SIGKILL");
    await replicas[3]?.ended;
    const log = await run("wal", "inspect", "--home", home(3), "--json");
    // One that saw Q commits before it saw Q prepares wrote only `committed`; every replica that executed wrote that.
    expect(JSON.parse(log.out)).toMatchObject({ replica: 3, closedCleanly: false, damage: null, records: expect.arrayContaining([expect.objectContaining({ type: "committed", view: 0, seq: 1 })]) as unknown });
    const page = await run("wal", "inspect", "--home", home(3), "--seq", "1");
    expect(page.out).toMatch(/^ *\d+ {2}committed +0 +1 +[0-9a-f]{12} .*votes-\d{12}\.wal .*commits of/m);
    expect((await run("wal", "inspect", "--home", home(3), "--seq", "99")).out).toContain("no such record");
    const offline = await run("why", "--home", home(3));
    // One that learnt the decision before the batch executed it, but wrote no payload down: it would ask for it again.
    expect([offline.exit, offline.out.split("\n")[0]]).toEqual([0, expect.stringMatching(/^Replica 3 is stopped\. Started now, it would be waiting for (nothing but its peers|the payload of slot 1,)/)]);
    for (const args of [["why"], ["wal", "inspect"]]) {
      const held = await run(...args, "--home", home(0), "--json");
      expect([held.exit, (JSON.parse(held.err) as { error: { code: string } }).error.code]).toEqual([3, "DATA_DIR_LOCKED"]);
    }
    const gone = await run("why", "--replica", "3", "--dir", bank, "--timeout", "3");
    expect([gone.exit, gone.err]).toEqual([5, expect.stringContaining("Replica 3 does not answer")]);
    const rest = await run("why", "--dir", bank);
    expect(rest.out).toContain("Replica 3 does not answer");
    expect(rest.out).toContain("Of a stopped replica: narses-ledger why --home");
    // With just Q of them left nothing is decided without the votes of replica 1: its log holds a whole slot from here on.
    expect((await run("account", "create", "bob", "--dir", bank, "--json")).exit).toBe(0);
  });

  it("too few replicas: health says so, why names the peers that are missing", async () => {
    replicas[2]?.child.kill("SIGKILL");
    await replicas[2]?.ended;
    const health = await until("replica 0 to notice", async () => {
      const response = await fetch(`${replicas[0]?.admin ?? ""}/health`);
      return response.status === 503 ? ((await response.json()) as { reasons: string[] }) : undefined;
    });
    expect(health.reasons[0]).toBe("reaches 1 of 3 peers, needs 2 for a quorum of 3");
    const { headline } = (await (await fetch(`${replicas[0]?.admin ?? ""}/why`)).json()) as { headline: string };
    expect(headline).toMatch(/^Replica 0 is waiting for 1 more peer: it reaches 1 of 3 and needs 2; not reached: replica 2 \(.+\), replica 3 \(/);
    expect((await run("why", "--dir", bank)).out).toContain("Only 2 of 4 replicas answer, 3 are needed to decide anything.");
  });

  it("SIGTERM ends a replica with 0, its log closed and its data directory free", async () => {
    replicas[1]?.child.kill("SIGTERM");
    expect(await replicas[1]?.ended).toEqual({ code: 0, signal: null });
    expect(existsSync(join(home(1), "data", "holder.json"))).toBe(false);
    expect(JSON.parse((await run("wal", "inspect", "--home", home(1), "--json")).out)).toMatchObject({ closedCleanly: true });
  });

  it("SIGINT does the same; a second signal does not wait", async () => {
    const stopping = await start(1);
    replicas.push(stopping);
    stopping.child.kill("SIGINT");
    await until("it to close its data directory", async () => (existsSync(join(home(1), "data", "holder.json")) ? undefined : true));
    stopping.child.kill("SIGINT");
    // Killed by the second one, unless it was gone by then.
    expect([{ code: 0, signal: null }, { code: null, signal: "SIGINT" }]).toContainEqual(await stopping.ended);
    expect(JSON.parse((await run("wal", "inspect", "--home", home(1), "--json")).out)).toMatchObject({ closedCleanly: true });
  });

  it("a damaged vote log is told by file and offset; the replica starts without it and does not vote", async () => {
    const clean = JSON.parse((await run("wal", "inspect", "--home", home(1), "--json")).out) as { directory: string; records: { type: string; segment: string; offset: number; lsn: number }[] };
    // Damage with valid records before and behind it: at the end it would be a torn tail.
    const record = clean.records[clean.records.findIndex(({ type }) => type === "pre-prepared") + 1];
    if (record === undefined || record === clean.records.at(-1)) throw new TypeError(`too few records: ${clean.records.map(({ type }) => type).join(" ")}`);
    const lsns = clean.records.map(({ lsn }) => lsn);
    expect(lsns.every((lsn) => lsn >= 1)).toBe(true);
    expect(new Set(lsns).size).toBe(lsns.length);
    const file = join(clean.directory, record.segment);
    writeFileSync(file, readFileSync(file).fill(0xff, record.offset, record.offset + 1));
    const damaged = await run("wal", "inspect", "--home", home(1));
    expect(damaged.exit).toBe(3);
    expect(damaged.out).toMatch(/\n {2}file {4}\/.*votes-\d+\.wal\n {2}offset {2}\d+\nwhat precedes the damage:\n\n(?:.*\n)+? *\d+ {2}pre-prepared/);
    expect(damaged.out).toContain(`  file    ${file}\n`);
    const why = await run("why", "--home", home(1));
    expect([why.exit, why.out]).toEqual([3, expect.stringContaining("Replica 1 is stopped, and cannot go on as it was: vote log")]);
    const started = await start(1);
    const report = await fetch(`${started.admin}/why`).then((response) => response.json() as Promise<{ headline: string }>);
    started.child.kill("SIGTERM");
    await started.ended;
    expect(report.headline).toMatch(/^Replica 1 does not vote, because its vote log was lost or damaged/);
  });

  it("usage is checked, and help has examples", async () => {
    for (const args of [["why", "--replica", "9", "--dir", bank], ["why", "--replica", "1", "--home", home(1)], ["wal", "inspect"], ["wal", "inspect", "--home", home(1), "--last", "0"]]) {
      expect([args, (await run(...args, "--json")).exit]).toEqual([args, 2]);
    }
    expect((await run("wal", "inspect", "--home", root, "--json")).exit).toBe(3);
    for (const args of [["why"], ["wal", "inspect"]]) expect((await run(...args, "--help")).out).toContain(`  $ narses-ledger ${args.join(" ")}`);
  });
});
