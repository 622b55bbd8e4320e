/** `verify receipt`, `verify chain`, `verify evidence`, `verify page`: believe nobody, check it. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { type Client, verifyEvidence, verifyReceiptBundle, verifyReceiptBytes, verifyStateReceipt, type VerifiedReceipt } from "@narses/client";
import { NarsesError, seqNum, type ClusterConfig } from "@narses/core";
import { loadCluster } from "@narses/replica";
import { openBlockStore } from "@narses/storage";
import { codecOf } from "../../chain/codec.ts";
import { verifyLedgerChain, type ChainReport } from "../../chain/verify-chain.ts";
import { fetchBlocks, fetchHead } from "../../cluster/fetch-blocks.ts";
import { readReceiptFile, requireNewFile, type StoredReceipt } from "../../receipts/receipt-file.ts";
import { readStateReceipt } from "../../receipts/state-file.ts";
import { buildVerifyPage } from "../../receipts/verify-page.ts";
import { describeOperation, readOperation, type LedgerOperation } from "../../state-machine/operations.ts";
import { withConnection } from "../connection.ts";
import { CommandError, EXIT, usage, type Exit } from "../failure.ts";
import { addClusterOptions, clusterPath, examples, integerOption, type ClientFlags } from "../options.ts";
import type { Output } from "../output.ts";
import { argument, type Runner, type Shell } from "../shell.ts";
import { count, fields, plural, seconds } from "../table.ts";

type Args = readonly (string | undefined)[];

function operationOf(receipt: VerifiedReceipt): LedgerOperation | undefined {
  if (receipt.kind === "query") return undefined;
  try {
    return readOperation(receipt.operation);
  } catch {
    return undefined;
  }
}

/** A bundle's receipt is verified once; each of its payments must be the one it is filed under. */
function verifyBundle(stored: StoredReceipt, cluster: ClusterConfig, file: string): readonly VerifiedReceipt[] {
  const { payments, bytes, line } = stored;
  if (payments === undefined) return [verifyReceiptBytes(bytes, cluster)];
  const all = verifyReceiptBundle(bytes, cluster);
  return Object.entries(payments).map(([id, operation]) => {
    const verified = all[operation];
    if (verified === undefined)
      throw new NarsesError("RECEIPT_INVALID", `${file}:${line}: payment ${id} is filed as operation ${operation} of a bundle of ${all.length}`, {
        line,
        id,
      });
    const op = operationOf(verified);
    if (op?.type !== "transfer" || !op.idempotencyKey.endsWith(`:${id}`))
      throw new NarsesError("RECEIPT_INVALID", `${file}:${line}: operation ${operation} of the bundle is not payment ${id}`, { line, id });
    return verified;
  });
}

function receiptText(receipt: VerifiedReceipt, output: Output): string {
  const op = operationOf(receipt);
  const { result } = receipt;
  const outcome =
    result.status === "ok"
      ? `applied: ${JSON.stringify(result.value)}`
      : output.style("yellow", `${result.status}: ${result.code}: ${result.message}`);
  return fields([
    ["receipt", output.style("green", "valid")],
    ["operation", op === undefined ? JSON.stringify(receipt.operation) : describeOperation(op)],
    ...(op !== undefined && "reference" in op && op.reference !== undefined ? [["reference", op.reference] as const] : []),
    ...(op !== undefined && "idempotencyKey" in op ? [["key", op.idempotencyKey] as const] : []),
    ["result", outcome],
    ["signed by", `client key ${Buffer.from(receipt.publicKey).toString("hex")}`],
    ["block", `${receipt.seq} ${receipt.block}`],
    ["time", new Date(receipt.timestampMs).toISOString()],
    ["vouched by", `replicas ${receipt.signers.join(", ")}: at least one of them is correct`],
  ]);
}

async function receipt(shell: Shell, args: Args, flags: ClientFlags): Promise<Exit> {
  const file = argument(args, 0);
  const cluster = await loadCluster(clusterPath(flags));
  const stored = readReceiptFile(file);
  let payments = 0;
  const blocks = new Set<number>();
  let only: VerifiedReceipt | undefined;
  for (const entry of stored) {
    const verified = verifyBundle(entry, cluster, file);
    for (const { seq } of verified) blocks.add(seq);
    payments += verified.length;
    only = verified[0];
  }
  const { output } = shell;
  if (stored.length === 1 && stored[0]?.payments === undefined && only !== undefined) {
    const { result, ...rest } = only;
    output.result({ valid: true, ...rest, publicKey: Buffer.from(only.publicKey).toString("hex"), result }, receiptText(only, output));
  } else {
    output.result(
      { valid: true, bundles: stored.length, payments, blocks: blocks.size },
      `${output.style("green", "valid")}: ${plural(payments, "payment")} in ${plural(stored.length, "bundle")} of ` +
        `${plural(blocks.size, "block")}, each vouched for by f+1 replicas of cluster ${cluster.name}`,
    );
  }
  return EXIT.ok;
}

interface ChainFlags extends ClientFlags {
  readonly fromReplica?: number;
  readonly data?: string;
  readonly receipt?: string;
}

async function* storedBlocks(directory: string, cluster: ClusterConfig): AsyncGenerator<Uint8Array> {
  const blocks = existsSync(join(directory, "blocks")) ? join(directory, "blocks") : undefined;
  if (blocks === undefined)
    throw new CommandError(
      "DATA_MISSING",
      EXIT.setup,
      `--data ${directory}: there is no ${join(directory, "blocks")}; give the data directory of a replica, for example DIR/replica-0/data`,
      { field: "data", directory },
    );
  const codec = codecOf(cluster);
  const store = await openBlockStore({ directory: blocks, codec });
  try {
    for (let seq = 0; store.head !== undefined && seq <= store.head; seq++) {
      const block = await store.get(seqNum(seq));
      const gap = store.gaps.find(({ first, last }) => first <= seq && seq <= last);
      if (gap !== undefined)
        throw new CommandError(
          "BLOCKS_MISSING",
          EXIT.setup,
          `${blocks} lacks blocks ${gap.first} to ${gap.last}: that replica took over the state after slot ${gap.last} from others, ` +
            `its blocks start at ${gap.last + 1}; verify the chain of another replica`,
          { first: gap.first, last: gap.last },
        );
      if (block === undefined) throw new NarsesError("DATA_CORRUPT", `block ${seq} is missing in ${blocks}`, { seq });
      yield codec.encodeBlock(block);
    }
  } finally {
    await store.close();
  }
}

/** A chain is proved by its own certificates; a receipt from elsewhere ties it to what a client saw. */
function requireReceiptInChain(verified: VerifiedReceipt, report: ChainReport): void {
  if (verified.seq > report.head.seq)
    throw new NarsesError(
      "RECEIPT_INVALID",
      `the receipt is of block ${verified.seq}, the chain ends at ${report.head.seq}; fetch a longer one`,
      { check: "receipt" },
    );
  const hash = report.kept.get(verified.seq);
  if (hash !== verified.block)
    throw new NarsesError(
      "RECEIPT_INVALID",
      `block ${verified.seq} of the chain has hash ${String(hash)}, the receipt says ${verified.block}: they are of different histories`,
      { check: "receipt" },
    );
}

async function verifyFrom(
  shell: Shell,
  cluster: ClusterConfig,
  flags: ChainFlags,
  keep: ReadonlySet<number>,
): Promise<{ readonly report: ChainReport; readonly source: string }> {
  const onBlock = (seq: number): void => {
    if (seq % 20 === 0) shell.output.progress(`verified ${count(seq)} blocks`, seq % 1_000 === 0 && seq > 0);
  };
  if (flags.data !== undefined)
    return { report: await verifyLedgerChain(storedBlocks(flags.data, cluster), cluster, { onBlock, keep }), source: flags.data };
  return withConnection(flags, { anonymous: true, replicasNeeded: 1, signal: shell.signal }, async ({ client }) => {
    const untilMs = Date.now() + flags.timeout * 1_000;
    const asked: number[] = [];
    for (;;) {
      const replica = await replicaToAsk(client, { wanted: flags.fromReplica, asked, untilMs });
      asked.push(replica);
      const { seq } = await fetchHead(client, replica);
      try {
        const report = await verifyLedgerChain(fetchBlocks(client, { replica, first: 0, last: seq }), cluster, { onBlock, keep });
        return { report, source: `replica ${replica}` };
      } catch (error) {
        // It took over a state and lacks what was before: any other one will do, unless this one was asked for.
        if (!(error instanceof CommandError && error.code === "BLOCKS_MISSING") || flags.fromReplica !== undefined || asked.length === cluster.replicas.length) throw error;
        shell.output.progress(error.message, true);
      }
    }
  });
}

interface Choice {
  readonly wanted: number | undefined;
  readonly asked: readonly number[];
  readonly untilMs: number;
}

const POLL_MS = 50;

/** The one that is wanted, or any that was not asked yet; waits for its connection. @throws CommandError NOT_CONNECTED, unless it was named: then asking it says why. */
async function replicaToAsk(client: Client, { wanted, asked, untilMs }: Choice): Promise<number> {
  for (;;) {
    const { connected, missing } = client.status();
    const found = wanted === undefined ? connected.find((id) => !asked.includes(id)) : missing.some((id) => id === wanted) ? undefined : wanted;
    if (found !== undefined) return found;
    if (Date.now() >= untilMs) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  if (wanted !== undefined) return wanted;
  throw new CommandError("NOT_CONNECTED", EXIT.unreachable, asked.length === 0 ? "no replica is connected" : `no other replica than ${asked.join(", ")} is connected`);
}

async function chain(shell: Shell, _args: Args, flags: ChainFlags): Promise<Exit> {
  if (flags.data !== undefined && flags.fromReplica !== undefined)
    throw usage("--data and --from-replica exclude each other: give one", "data");
  const cluster = await loadCluster(clusterPath(flags));
  const [stored] = flags.receipt === undefined ? [] : readReceiptFile(flags.receipt);
  const anchor = stored === undefined ? undefined : verifyReceiptBytes(stored.bytes, cluster);
  const started = performance.now();
  const { report, source } = await verifyFrom(shell, cluster, flags, new Set(anchor === undefined ? [] : [anchor.seq]));
  if (anchor !== undefined) requireReceiptInChain(anchor, report);
  const { head } = report;
  const text = fields([
    ["chain", `${shell.output.style("green", "valid")}, from ${source} (${seconds(performance.now() - started)})`],
    ["blocks", `${count(report.blocks)}, genesis to ${head.seq}: parent hashes, transaction, result and state roots hold`],
    [
      "certificates",
      `${count(report.commits)} COMMIT votes, Q for each block${report.views.length > 1 ? `, in views ${report.views.map((view) => view.view).join(", ")}` : ""}`,
    ],
    [
      "executed again",
      `${plural(report.operations, "operation")} in ${plural(report.bundles, "signed bundle")}: every result and state root is the same`,
    ],
    ["head", head.hash],
    ["state root", head.stateRoot],
    ...(anchor === undefined ? [] : [["receipt", `block ${anchor.seq} of this chain is the one of the receipt`] as const]),
  ]);
  const { kept: _kept, ...numbers } = report;
  shell.output.result({ valid: true, source, ...numbers }, text);
  return EXIT.ok;
}

/** A file larger than any evidence is not read. */
const EVIDENCE_FILE_BYTES_MAX = 64 << 20;

async function evidence({ output }: Shell, args: Args, flags: ClientFlags): Promise<Exit> {
  const file = argument(args, 0);
  const cluster = await loadCluster(clusterPath(flags));
  const { size } = statSync(file);
  if (size > EVIDENCE_FILE_BYTES_MAX)
    throw new NarsesError("EVIDENCE_INVALID", `${file} has ${size} bytes, evidence has at most ${EVIDENCE_FILE_BYTES_MAX}: it is something else`, { file, size });
  const verified = verifyEvidence(readFileSync(file), cluster);
  const text = fields([
    ["evidence", output.style("green", "valid")],
    ["accused", `replica ${verified.accused}, key ${cluster.replicas[verified.accused]?.publicKey ?? ""}`],
    ["offence", `it ${verified.what}`],
    ["proof", "its own signatures: nobody else can have made them, and no correct replica makes them"],
  ]);
  output.result({ valid: true, ...verified }, text);
  return EXIT.ok;
}

async function state({ output }: Shell, args: Args, flags: ClientFlags): Promise<Exit> {
  const file = argument(args, 0);
  const verified = verifyStateReceipt(readStateReceipt(file), await loadCluster(clusterPath(flags)));
  const { key, present, value, seq, block, timestampMs, signers } = verified;
  const text = fields([
    ["proof", output.style("green", "valid")],
    ["key", key],
    ["value", present ? JSON.stringify(value) : "none: proven absent"],
    ["after block", `${seq} ${block}`],
    ["time", new Date(timestampMs).toISOString()],
    ["vouched by", `replicas ${signers.join(", ")}: at least one of them is correct`],
  ]);
  output.result({ valid: true, ...verified }, text);
  return EXIT.ok;
}

async function page({ output }: Shell, args: Args): Promise<Exit> {
  const file = argument(args, 0);
  requireNewFile(file);
  const html = await buildVerifyPage();
  writeFileSync(file, html, { flag: "wx" });
  output.result({ file, bytes: html.length }, `${file}: open it in a browser and drop cluster.json and receipts on it; it needs no network and can contact nobody`);
  return EXIT.ok;
}

export function registerVerify(program: Command, runner: Runner): void {
  const verify = program.command("verify").description("check receipts and chains against the cluster file, trusting nobody");
  const receiptCommand = verify.command("receipt <FILE>").description("verify a receipt, or all receipts of an import; needs no network");
  runner.run(
    examples(addClusterOptions(receiptCommand, { signs: false, reaches: false }), [
      "narses-ledger verify receipt inv-7.receipt --cluster cluster.json",
      "narses-ledger verify receipt day.receipts --cluster cluster.json --json",
    ]),
    receipt,
  );
  const chainCommand = verify
    .command("chain")
    .description("verify every block from genesis and execute it again")
    .option("--from-replica <N>", "replica to fetch blocks from (default: any)", integerOption(0, 255))
    .option("--data <DIR>", "read the blocks of a stopped replica from its data directory; needs no network")
    .option("--receipt <FILE>", "also check that this receipt belongs to the chain");
  runner.run(
    examples(addClusterOptions(chainCommand, { signs: true }), [
      "narses-ledger verify chain",
      "narses-ledger verify chain --from-replica 2 --receipt inv-7.receipt",
      "narses-ledger verify chain --data ./bank/replica-0/data --cluster ./bank/cluster.json",
    ]),
    chain,
  );
  const evidenceCommand = verify
    .command("evidence <FILE>")
    .description("verify a proof that a replica broke the protocol (DIR/replica-N/data/evidence/*.evidence); needs no network");
  runner.run(
    examples(addClusterOptions(evidenceCommand, { signs: false, reaches: false }), [
      "narses-ledger verify evidence replica-2-pair-votes-view-0-slot-7-1f3a5c7e9b0d2f48.evidence --cluster cluster.json",
    ]),
    evidence,
  );
  const stateCommand = verify.command("state <FILE>").description("verify the proof of an account or another key of the state; needs no network");
  runner.run(
    examples(addClusterOptions(stateCommand, { signs: false, reaches: false }), ["narses-ledger verify state alice.proof --cluster cluster.json"]),
    state,
  );
  const pageCommand = verify.command("page <FILE>").description("write a self-contained web page on which anybody can verify receipts, offline");
  runner.run(examples(pageCommand, ["narses-ledger verify page verify.html"]), page);
}
