/** `block show`: one block, with what its operations asked and got. */
import type { Command } from "commander";
import { NULL_DIGEST, type Block } from "@narses/core";
import { decodePayload, decodeResult } from "@narses/wire";
import { codecOf } from "../../chain/codec.ts";
import { describeOperation, readOperation } from "../../state-machine/operations.ts";
import { fetchBlock, fetchHead } from "../../cluster/fetch-blocks.ts";
import { withConnection, type Connection } from "../connection.ts";
import { usage } from "../failure.ts";
import { addClusterOptions, examples, integerOption, type ClientFlags } from "../options.ts";
import type { Runner, Shell } from "../shell.ts";
import { fields, plural } from "../table.ts";

interface BlockFlags extends ClientFlags {
  readonly fromReplica?: number;
  readonly limit: number;
}

interface OperationView {
  readonly client: string;
  readonly kind: "apply" | "query";
  readonly operation: unknown;
  readonly text: string;
  readonly status: string;
  readonly code: string | undefined;
}

/** What an operation asks, in words when it is one of the ledger's. */
function describe(operation: unknown, kind: "apply" | "query"): string {
  if (kind === "query") return `question ${JSON.stringify(operation)}`;
  try {
    return describeOperation(readOperation(operation));
  } catch {
    return `unknown operation ${JSON.stringify(operation)?.slice(0, 120) ?? ""}`;
  }
}

function operationsOf(block: Block): readonly OperationView[] {
  return (block.batch?.bundles ?? []).flatMap((bundle, i) =>
    bundle.operations.map(({ kind, payload }, j): OperationView => {
      const operation = decodePayload(payload);
      const bytes = block.results[i]?.[j];
      const result = bytes === undefined ? undefined : decodeResult(bytes);
      const outcome = result?.ok === true ? result.value : undefined;
      return {
        client: bundle.client,
        kind,
        operation: operation.ok ? operation.value : null,
        text: operation.ok ? describe(operation.value, kind) : "malformed payload",
        status: outcome?.status ?? "unknown",
        code: outcome === undefined || outcome.status === "ok" ? undefined : outcome.code,
      };
    }),
  );
}

const signersOf = (block: Block): readonly number[] =>
  [...new Set((block.certificate?.commits ?? []).map((commit) => Number(commit.frame.body.sender)))].sort((a, b) => a - b);

/** Any connected replica will do: blocks are checked by `verify`, not by who sent them. */
function replicaFor(connection: Connection, wanted: number | undefined): number {
  const replica = wanted ?? connection.client.status().connected[0];
  if (replica === undefined) throw usage("no replica is connected", "from-replica");
  return replica;
}

async function show(shell: Shell, args: readonly (string | undefined)[], flags: BlockFlags): Promise<undefined> {
  const which = args[0] ?? "latest";
  if (which !== "latest" && !/^\d{1,15}$/.test(which))
    throw usage(`SEQ ${JSON.stringify(which)} must be a block number from 0, or latest`, "SEQ");
  await withConnection(flags, { anonymous: true, replicasNeeded: 1, signal: shell.signal }, async (connection) => {
    const { client, cluster } = connection;
    const replica = replicaFor(connection, flags.fromReplica);
    const seq = which === "latest" ? (await fetchHead(client, replica)).seq : Number(which);
    const codec = codecOf(cluster);
    const { bytes, hash } = await fetchBlock(client, replica, seq, codec);
    const block = codec.decodeBlock(bytes);
    const { header, certificate } = block;
    const operations = operationsOf(block);
    const rows: (readonly [string, string])[] = [
      ["block", `${header.seq}${header.seq === 0 ? " (genesis)" : ""}`],
      ["hash", hash],
      ["parent", header.parent],
      ["time", header.seq === 0 ? "–" : new Date(header.timestampMs).toISOString()],
      ["transaction root", header.bundleRoot],
      ["result root", header.resultRoot],
      ["state root", header.stateRoot],
      [
        "batch",
        header.batchDigest === NULL_DIGEST
          ? "empty"
          : `${header.batchDigest}, ${plural(operations.length, "operation")} in ${plural(block.batch?.bundles.length ?? 0, "bundle")}`,
      ],
      ["committed by", certificate === undefined ? "–" : `replicas ${signersOf(block).join(", ")} in view ${certificate.view}`],
    ];
    const shown = operations.slice(0, flags.limit).map((op, i) => `  ${String(i + 1).padStart(4)}  ${op.text}: ${op.code ?? op.status}`);
    const more =
      operations.length > shown.length ? [`        … and ${plural(operations.length - shown.length, "more operation")}; use --limit`] : [];
    const value = {
      hash,
      ...header,
      view: certificate?.view,
      signers: signersOf(block),
      operations: operations.slice(0, flags.limit),
      operationCount: operations.length,
      fromReplica: replica,
    };
    shell.output.result(value, [fields(rows), ...(shown.length > 0 ? ["", ...shown, ...more] : [])].join("\n"));
  });
  return undefined;
}

export function registerBlock(program: Command, runner: Runner): void {
  const block = program.command("block").description("look at blocks");
  const command = block
    .command("show [SEQ]")
    .description("header, commit certificate and operations of a block (default: the latest)")
    .option("--from-replica <N>", "replica to ask (default: any)", integerOption(0, 255))
    .option("--limit <N>", "show at most this many operations", integerOption(0, 100_000), 20);
  runner.run(
    examples(addClusterOptions(command, { signs: true }), [
      "narses-ledger block show",
      "narses-ledger block show 17 --limit 100",
      "narses-ledger block show latest --json",
    ]),
    show,
  );
}
