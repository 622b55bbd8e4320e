/** `why`: what a replica waits for and from whom, for whoever was just paged. Of a stopped replica: from its vote log. */
import type { Command } from "commander";
import { quorums } from "@narses/core";
import { loadCluster, parseWhyReport, renderWhy, whyStopped, type WhyReport } from "@narses/replica";
import { whyUnanswered } from "../../cluster/replica-report.ts";
import { openConnection, type Connection } from "../connection.ts";
import { CommandError, EXIT, failureOf, usage, type Exit } from "../failure.ts";
import { addClusterOptions, clusterPath, examples, integerOption, type ClientFlags } from "../options.ts";
import type { Runner, Shell } from "../shell.ts";

interface WhyFlags extends ClientFlags {
  readonly replica?: number;
  readonly home?: string;
}

/** How long a replica that is not connected yet is waited for, once another one is. */
const STRAGGLERS_MS = 1_500;
const REPLICA_MAX = 255;

interface Answer {
  readonly replica: number;
  readonly report: WhyReport | undefined;
  /** Why there is no report. */
  readonly problem: string | undefined;
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function ask({ client, transport }: Connection, replicas: readonly number[]): Promise<readonly Answer[]> {
  const deadline = Date.now() + STRAGGLERS_MS;
  const missing = (): boolean => replicas.some((replica) => transport.peers()[replica]?.connected !== true);
  while (missing() && Date.now() < deadline) await delay(50);
  return Promise.all(
    replicas.map(async (replica): Promise<Answer> => {
      try {
        return { replica, report: parseWhyReport(await client.call(replica, "why")), problem: undefined };
      } catch (error) {
        return { replica, report: undefined, problem: whyUnanswered(error, transport.peers()[replica]?.problem) };
      }
    }),
  );
}

/** A cluster that nobody answers for is a finding, not a failure. */
async function answersOf(flags: WhyFlags, replicas: readonly number[]): Promise<readonly Answer[]> {
  try {
    const timeouts = { connectMs: Math.min(flags.timeout, 3) * 1_000, callMs: 2_000 };
    const connection = await openConnection(flags, { anonymous: true, replicasNeeded: 1, timeouts });
    try {
      return await ask(connection, replicas);
    } finally {
      await connection.close();
    }
  } catch (error) {
    const { code, data } = failureOf(error);
    if (code !== "NOT_CONNECTED") throw error;
    const problems = Array.isArray(data["problems"]) ? (data["problems"] as readonly (string | undefined)[]) : [];
    return replicas.map((replica) => ({ replica, report: undefined, problem: problems[replica] ?? "not reached" }));
  }
}

const STOPPED_HINT = "Of a stopped replica: narses-ledger why --home DIR/replica-N";

const unanswered = ({ replica, problem }: Answer): string => `Replica ${replica} does not answer: ${problem ?? "unknown"}.`;

async function why(shell: Shell, _args: readonly (string | undefined)[], flags: WhyFlags): Promise<Exit> {
  if (flags.home !== undefined) {
    if (flags.replica !== undefined) throw usage("--home names a stopped replica, --replica a running one; give one of them", "home");
    const report = await whyStopped(flags.home);
    shell.output.result(report, renderWhy(report));
    return report.halted === null ? EXIT.ok : EXIT.setup;
  }
  const cluster = await loadCluster(clusterPath(flags));
  const n = cluster.replicas.length;
  if (flags.replica !== undefined && flags.replica >= n) throw usage(`--replica must be from 0 to ${n - 1}, got ${flags.replica}`, "replica");
  const wanted = flags.replica === undefined ? cluster.replicas.map(({ id }) => Number(id)) : [flags.replica];
  const answers = await answersOf(flags, wanted);
  const [only] = answers;
  if (flags.replica !== undefined && only?.report === undefined)
    throw new CommandError("NOT_CONNECTED", EXIT.unreachable, only === undefined ? "no answer" : `${unanswered(only)} ${STOPPED_HINT}`, { replica: flags.replica });
  if (flags.replica !== undefined && only?.report !== undefined) shell.output.result(only.report, renderWhy(only.report));
  else shell.output.result({ replicas: answers }, pageOf(answers, quorums(n, cluster.f).strong));
  return answers.some(({ report }) => report !== undefined) ? EXIT.ok : EXIT.unreachable;
}

/** The replicas' first sentences, then the pages of those that wait for something. */
function pageOf(answers: readonly Answer[], needed: number): string {
  const up = answers.filter(({ report }) => report !== undefined).length;
  const verdict = `${up === 0 ? "None" : `Only ${up}`} of ${answers.length} replicas ${up === 1 ? "answers" : "answer"}, ${needed} are needed to decide anything.`;
  const summary = [...(up < needed ? [verdict] : []), ...answers.map((answer) => answer.report?.headline ?? unanswered(answer))].join("\n");
  const pages = answers.flatMap(({ report }) => (report === undefined || report.findings.length === 0 ? [] : [renderWhy(report)]));
  const hints = [...(up > 0 ? ["Of one replica, all it says: narses-ledger why --replica N"] : []), ...(up < answers.length ? [STOPPED_HINT] : [])];
  return [[summary, ...pages].join(`\n\n${"─".repeat(72)}\n`), hints.join("\n")].join("\n\n");
}

export function registerWhy(program: Command, runner: Runner): void {
  const command = addClusterOptions(
    program.command("why").description("what a replica waits for: votes that are missing or rejected and why, peers, timers, errors"),
    { signs: true },
  )
    .option("--replica <N>", "ask this replica only, and print all it says", integerOption(0, REPLICA_MAX))
    .option("--home <DIR>", "home directory of a stopped replica: what its vote log says it would wait for; nothing is changed");
  runner.run(
    examples(command, [
      "narses-ledger why",
      "narses-ledger why --replica 2",
      "narses-ledger why --home ./bank/replica-2",
      "narses-ledger why --replica 2 --json | jq .findings",
    ]),
    why,
  );
}
