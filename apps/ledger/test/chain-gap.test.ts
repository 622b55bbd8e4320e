/** A replica that took over the state and has not fetched the blocks before it: what the command line says, and does instead. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasher } from "@narses/crypto";
import { createTransport } from "@narses/network";
import { loadCluster, silentLogger, startReplica, type ReplicaTransport, type RunningReplica, type TransportContext } from "@narses/replica";
import { afterAll, beforeAll, expect, test } from "vitest";
import { codecOf } from "../src/chain/codec.ts";
import { openConnection } from "../src/cli/connection.ts";
import { runCommandLine } from "../src/cli/program.ts";
import { freePorts } from "../src/demo/replica-process.ts";
import { createLedger } from "../src/state-machine/machine.ts";

const root = mkdtempSync(join(tmpdir(), "narses-gap-test-"));
const bank = join(root, "bank");
const JOINER = 0;
const ACCOUNTS = 16;
const replicas: RunningReplica[] = [];
/** Nobody gives the joiner a block. */
let withheld = true;

async function run(...args: string[]): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  let out = "";
  let err = "";
  const exit = await runCommandLine(args[0] === "init" ? args : [...args, "--dir", bank, "--json"], {
    stdout: { write: (text) => void (out += text) },
    stderr: { write: (text) => void (err += text) },
    env: { NO_COLOR: "1" },
    signal: new AbortController().signal,
  });
  return { exit, out, err };
}

async function start(id: number): Promise<void> {
  const codec = codecOf(await loadCluster(join(bank, "cluster.json")));
  const withholding = (context: TransportContext): ReplicaTransport => {
    const inner = createTransport(context);
    const isBlock = (frame: Uint8Array): boolean => {
      const decoded = codec.decodePeer(frame);
      return decoded.ok && decoded.value.type === "block-part";
    };
    return {
      start: (handlers) => inner.start(handlers),
      stop: () => inner.stop(),
      addresses: () => inner.addresses(),
      peers: () => inner.peers(),
      send: (to, frame) => (to === JOINER && withheld && isBlock(frame)) || inner.send(to, frame),
    };
  };
  replicas.push(await startReplica({ home: join(bank, `replica-${id}`), app: createLedger(hasher), logger: silentLogger, transport: withholding }));
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await holds()); i++) {
    if (i >= 2_000) throw new RangeError(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

beforeAll(async () => {
  expect((await run("init", bank, "--base-port", String(await freePorts(4)))).exit).toBe(0);
  const file = join(bank, "cluster.json");
  const cluster = JSON.parse(readFileSync(file, "utf8")) as { parameters: object };
  const changed = JSON.stringify({ ...cluster, parameters: { ...cluster.parameters, checkpointInterval: 4, logWindow: 8, pipelineDepth: 4, disconnectTimeoutTicks: 20 } });
  writeFileSync(file, changed);
  for (const id of [0, 1, 2, 3]) writeFileSync(join(bank, `replica-${id}`, "cluster.json"), changed);
  await Promise.all([1, 2, 3].map(start));
  const { ledger, close } = await openConnection({ dir: bank, timeout: 60 });
  for (let i = 0; i < ACCOUNTS; i++) await ledger.submit({ type: "account.create", id: `a${i}`, owner: undefined, name: undefined, opening: undefined });
  await close();
  await start(JOINER);
  await until("the joiner to take over the state", () => (replicas.at(-1)?.status().lastTransfer ?? null) !== null);
});

afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.stop()));
  rmSync(root, { recursive: true, force: true });
});

test("verify chain and block show name the gap of the replica that was asked for, and what to do", async () => {
  const gap = replicas.at(-1)?.status().blockGaps[0];
  expect(gap).toBeDefined();
  const chain = await run("verify", "chain", "--from-replica", String(JOINER));
  expect([chain.exit, chain.out]).toEqual([5, ""]);
  const { error } = JSON.parse(chain.err) as { error: Record<string, unknown> };
  expect(error).toMatchObject({ code: "BLOCKS_MISSING", data: { replica: JOINER, seq: gap?.first } });
  expect(error["message"]).toContain(`replica ${JOINER} does not have block ${gap?.first}: this replica lacks blocks ${gap?.first} to ${gap?.last}`);
  expect(error["message"]).toContain("Ask another replica, or later");
  const block = await run("block", "show", String(gap?.last), "--from-replica", String(JOINER));
  expect([block.exit, JSON.parse(block.err)]).toMatchObject([5, { error: { code: "BLOCKS_MISSING" } }]);
});

test("verify chain goes on with another replica when none is named; with the blocks here, this one's verifies too", async () => {
  const any = await run("verify", "chain");
  expect([any.exit, JSON.parse(any.out)]).toMatchObject([0, { valid: true }]);
  expect((JSON.parse(any.out) as { source: string }).source).not.toBe(`replica ${JOINER}`);
  withheld = false;
  await until("the joiner to have every block", () => replicas.at(-1)?.status().backfill === null);
  const own = await run("verify", "chain", "--from-replica", String(JOINER));
  expect([own.exit, JSON.parse(own.out)]).toMatchObject([0, { valid: true, source: `replica ${JOINER}` }]);
});
