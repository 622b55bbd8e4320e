/** `account create | list | show | overdraft` */
import { Option, type Command } from "commander";
import { readProvenAccount } from "../../client/proven-account.ts";
import { requireNewFile } from "../../receipts/receipt-file.ts";
import { saveStateReceipt } from "../../receipts/state-file.ts";
import type { AccountAnswer } from "../../state-machine/questions.ts";
import type { Opening } from "../../state-machine/operations.ts";
import { withConnection } from "../connection.ts";
import { CommandError, EXIT, usage } from "../failure.ts";
import { addClusterOptions, examples, integerOption, type ClientFlags } from "../options.ts";
import { argument, type Runner, type Shell } from "../shell.ts";
import { fields, plural, table } from "../table.ts";
import { checkAmount } from "../values.ts";

interface CreateFlags extends ClientFlags {
  readonly owner?: string;
  readonly name?: string;
  readonly asset?: string;
  readonly opening?: string;
}

async function create(shell: Shell, args: readonly (string | undefined)[], flags: CreateFlags): Promise<undefined> {
  const id = argument(args, 0);
  if ((flags.asset === undefined) !== (flags.opening === undefined))
    throw usage("--asset and --opening belong together: give both, or neither for an empty account", "opening");
  let opening: readonly Opening[] | undefined;
  if (flags.asset !== undefined && flags.opening !== undefined) {
    checkAmount(flags.opening, "--opening");
    opening = [{ asset: flags.asset, amount: flags.opening }];
  }
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result, seq } = await ledger.submit({ type: "account.create", id, owner: flags.owner, name: flags.name, opening });
    const what = result.replayed
      ? `account ${id} was there already, with the same owner and opening balance`
      : `account ${id} created in block ${seq}${flags.opening === undefined ? "" : ` with ${flags.opening} ${flags.asset ?? ""}`}`;
    shell.output.result({ ...result, block: seq }, what);
  });
  return undefined;
}

const balances = (account: AccountAnswer): string =>
  account.holdings.map((holding) => `${holding.balance} ${holding.asset}`).join(", ") || "–";

async function list(
  shell: Shell,
  _args: readonly (string | undefined)[],
  flags: ClientFlags & { readonly limit: number },
): Promise<undefined> {
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result: first } = await ledger.ask({ type: "accounts", offset: 0, limit: 1 });
    const accounts: AccountAnswer[] = [];
    for await (const account of ledger.accounts()) {
      if (accounts.length === flags.limit) break;
      accounts.push(account);
    }
    const rows = accounts.map((account) => [account.id, account.kind, balances(account), `${account.owner.slice(0, 12)}…`, account.name]);
    const text = table(
      [{ title: "account" }, { title: "kind" }, { title: "balance", right: true }, { title: "owner" }, { title: "name" }],
      rows,
    );
    const more = first.total > accounts.length ? `\n… ${plural(first.total - accounts.length, "more account")}; use --limit` : "";
    shell.output.result({ total: first.total, accounts }, text + more);
  });
  return undefined;
}

function describe(account: AccountAnswer): string {
  const holdings = account.holdings.map((holding) => [holding.asset, holding.balance, holding.overdraft]);
  const head = fields([
    ["account", account.id],
    ["name", account.name || "–"],
    ["owner", account.owner],
    ["kind", account.kind],
  ]);
  if (holdings.length === 0) return `${head}\nno balance in any asset yet`;
  return `${head}\n\n${table([{ title: "asset" }, { title: "balance", right: true }, { title: "overdraft limit", right: true }], holdings)}`;
}

interface ShowFlags extends ClientFlags {
  readonly consistency?: "ordered" | "fast" | "stale";
  readonly prove?: string;
}

async function show(shell: Shell, args: readonly (string | undefined)[], flags: ShowFlags): Promise<undefined> {
  const id = argument(args, 0);
  const { prove, consistency = prove === undefined ? "ordered" : "stale" } = flags;
  if (prove !== undefined && consistency !== "stale") throw usage("--prove keeps the proof of a stale read; give --consistency stale, or leave it out", "prove");
  if (prove !== undefined) requireNewFile(prove);
  await withConnection(flags, { signal: shell.signal }, async ({ ledger, client, cluster }) => {
    if (consistency === "stale") {
      const { account, proof } = await readProvenAccount(client, id, { signal: shell.signal });
      if (prove !== undefined) saveStateReceipt(prove, proof, cluster);
      const age = `as of block ${proof.seq} (${new Date(proof.timestampMs).toISOString()}), stale: proven by a checkpoint of replicas ${proof.signers.join(", ")}`;
      const kept = prove === undefined ? "" : `\nproof kept in ${prove}: narses-ledger verify state ${prove}`;
      if (account === undefined) throw new CommandError("ACCOUNT_UNKNOWN", EXIT.refused, `account ${id} did not exist ${age}${kept}`, { account: id, block: proof.seq });
      shell.output.result({ ...account, block: proof.seq, consistency, timestampMs: proof.timestampMs }, `${describe(account)}\n\n${age}${kept}`);
      return;
    }
    const { result, seq, consistency: achieved, fallback } = await ledger.ask({ type: "account", id }, { consistency });
    const why = fallback === undefined ? "" : ` (not fast: ${fallback})`;
    const text = `${describe(result)}\n\nas of block ${seq}, ${achieved}${why}`;
    shell.output.result({ ...result, block: seq, consistency: achieved, ...(fallback !== undefined && { fallback }) }, text);
  });
  return undefined;
}

async function overdraft(
  shell: Shell,
  args: readonly (string | undefined)[],
  flags: ClientFlags & { readonly asset: string; readonly limit: string },
): Promise<undefined> {
  checkAmount(flags.limit, "--limit", { zeroAllowed: true });
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result, seq } = await ledger.submit({
      type: "account.overdraft",
      id: argument(args, 0),
      asset: flags.asset,
      limit: flags.limit,
    });
    shell.output.result({ ...result, block: seq }, `account ${result.id} may go ${result.limit} ${result.asset} below zero (block ${seq})`);
  });
  return undefined;
}

export function registerAccount(program: Command, runner: Runner): void {
  const account = program.command("account").description("open, list and look at accounts");
  const createCommand = account
    .command("create <ID>")
    .description("open an account, with an opening balance if the key issues the asset")
    .option("--owner <PUBLIC_KEY>", "key that may pay from it (default: the signing key)")
    .option("--name <TEXT>", "name for people")
    .option("--asset <CODE>", "asset of the opening balance")
    .option("--opening <AMOUNT>", "opening balance, for example 1000.00");
  runner.run(
    examples(addClusterOptions(createCommand, { signs: true }), [
      "narses-ledger account create alice --asset EUR --opening 1000.00",
      "narses-ledger account create bob --name 'Bob, Ravenna' --dir ./bank",
    ]),
    create,
  );
  const listCommand = account
    .command("list")
    .description("accounts in order of creation")
    .option("--limit <N>", "show at most this many", integerOption(1, 1_000_000), 100);
  runner.run(
    examples(addClusterOptions(listCommand, { signs: true }), [
      "narses-ledger account list",
      "narses-ledger account list --limit 10000 --json",
    ]),
    list,
  );
  const showCommand = account
    .command("show <ID>")
    .description("balances and owner of an account")
    .addOption(
      new Option("--consistency <WHICH>", "ordered and fast are linearizable; stale is as of a checkpoint, with a proof").choices(["ordered", "fast", "stale"]),
    )
    .option("--prove <FILE>", "keep the proof of a stale read in a new file");
  runner.run(
    examples(addClusterOptions(showCommand, { signs: true }), [
      "narses-ledger account show alice",
      "narses-ledger account show alice --consistency fast",
      "narses-ledger account show alice --prove alice.proof",
    ]),
    show,
  );
  const overdraftCommand = account
    .command("overdraft <ID>")
    .description("set how far an account may go below zero (admins)")
    .requiredOption("--asset <CODE>", "asset")
    .requiredOption("--limit <AMOUNT>", "limit, 0 to forbid");
  runner.run(
    examples(addClusterOptions(overdraftCommand, { signs: true }), ["narses-ledger account overdraft alice --asset EUR --limit 500.00"]),
    overdraft,
  );
}
