/** `wal inspect`: the vote log of a stopped replica, record by record. Reads only. */
import type { Command } from "commander";
import { inspectHome, type InspectedRecord, type LogInspection } from "@narses/replica";
import { EXIT, type Exit } from "../failure.ts";
import { examples, integerOption } from "../options.ts";
import type { Runner, Shell } from "../shell.ts";
import { count, plural, table } from "../table.ts";

interface InspectFlags {
  readonly home: string;
  readonly last?: number;
  readonly seq?: number;
}

const COLUMNS = [
  { title: "LSN", right: true },
  { title: "type" },
  { title: "view", right: true },
  { title: "seq", right: true },
  { title: "digest" },
  { title: "bytes", right: true },
  { title: "segment" },
  { title: "offset", right: true },
  { title: "holds" },
];

const row = (r: InspectedRecord): readonly string[] => [
  String(r.lsn),
  r.type,
  r.view === undefined ? "" : String(r.view),
  r.seq === undefined ? "" : String(r.seq),
  r.digest === undefined ? "" : r.digest.slice(0, 12),
  count(r.bytes),
  r.segment,
  String(r.offset),
  r.holds,
];

function select(records: readonly InspectedRecord[], { last, seq }: InspectFlags): readonly InspectedRecord[] {
  const matching = seq === undefined ? records : records.filter((record) => record.seq === seq);
  return last === undefined ? matching : matching.slice(-last);
}

function summary(replica: number, { directory, segments, closedCleanly, records, damage }: LogInspection): string {
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const ending =
    damage !== undefined ? "DAMAGED" : closedCleanly ? "closed cleanly" : "not closed: the process was killed; the log is complete up to its last sync";
  return `vote log of replica ${replica}: ${directory}\n${plural(records.length, "live record")} in ${plural(segments.length, "segment")} of ${count(bytes)} bytes, ${ending}`;
}

function page(replica: number, log: LogInspection, shown: readonly InspectedRecord[]): string {
  const parts = [summary(replica, log)];
  if (log.damage !== undefined)
    parts.push(`damage: ${log.damage.message}\n  file    ${log.damage.file}\n  offset  ${log.damage.offset}\nwhat precedes the damage:`);
  if (shown.length > 0) parts.push(table(COLUMNS, shown.map(row)));
  else parts.push(log.records.length === 0 ? "no records" : "no such record");
  return parts.join("\n\n");
}

async function inspect(shell: Shell, _args: readonly (string | undefined)[], flags: InspectFlags): Promise<Exit> {
  const { replica, log } = await inspectHome(flags.home);
  const shown = select(log.records, flags);
  const { directory, segments, closedCleanly, damage } = log;
  const value = {
    replica,
    directory,
    segments,
    closedCleanly,
    damage: damage ?? null,
    recordsTotal: log.records.length,
    records: shown.map(({ record: _record, ...rest }) => rest),
  };
  shell.output.result(value, page(replica, log, shown));
  return damage === undefined ? EXIT.ok : EXIT.setup;
}

export function registerWal(program: Command, runner: Runner): void {
  const group = program.command("wal").description("the vote log of a replica: what it must remember having said");
  const command = group
    .command("inspect")
    .description("list the records a start would read back; names file and offset of damage, and what precedes it (exit status 3)")
    .requiredOption("--home <DIR>", "home directory of a stopped replica; nothing in it is changed")
    .option("--last <N>", "only the last N of them", integerOption(1, 1_000_000))
    .option("--seq <N>", "only those about slot N", integerOption(0, Number.MAX_SAFE_INTEGER));
  runner.run(
    examples(command, [
      "narses-ledger wal inspect --home ./bank/replica-2 --last 20",
      "narses-ledger wal inspect --home ./bank/replica-2 --seq 117",
      "narses-ledger wal inspect --home ./bank/replica-2 --json | jq '.records[] | {type, view, seq}'",
    ]),
    inspect,
  );
}
