/** `asset create | list`, `member set | show`, `key create`, `totals` */
import type { Command } from "commander";
import { createKeyFile } from "@narses/crypto";
import { formatForPeople, formatMinor } from "../../amount.ts";
import { ROLES, type Role } from "../../state-machine/operations.ts";
import { withConnection } from "../connection.ts";
import { EXIT, usage, type Exit } from "../failure.ts";
import { addClusterOptions, examples, integerOption, readPassphrase, type ClientFlags } from "../options.ts";
import { argument, type Runner, type Shell } from "../shell.ts";
import { count, table } from "../table.ts";

type Args = readonly (string | undefined)[];

async function createAsset(
  shell: Shell,
  args: Args,
  flags: ClientFlags & { readonly decimals: number; readonly issuer?: string; readonly name?: string },
): Promise<undefined> {
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result, seq } = await ledger.submit({
      type: "asset.create",
      code: argument(args, 0),
      decimals: flags.decimals,
      issuer: flags.issuer,
      name: flags.name,
    });
    shell.output.result(
      { ...result, block: seq },
      result.replayed
        ? `asset ${result.code} was there already, alike`
        : `asset ${result.code} with ${result.decimals} decimals created in block ${seq}`,
    );
  });
  return undefined;
}

async function listAssets(shell: Shell, _args: Args, flags: ClientFlags): Promise<undefined> {
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result } = await ledger.ask({ type: "assets" });
    const rows = result.assets.map((asset) => [
      asset.code,
      String(asset.decimals),
      asset.supply,
      `${asset.issuer.slice(0, 12)}…`,
      asset.name,
    ]);
    shell.output.result(
      result,
      table(
        [{ title: "asset" }, { title: "decimals", right: true }, { title: "supply", right: true }, { title: "issuer" }, { title: "name" }],
        rows,
      ),
    );
  });
  return undefined;
}

async function setMember(
  shell: Shell,
  args: Args,
  flags: ClientFlags & { readonly role?: readonly string[]; readonly name?: string },
): Promise<undefined> {
  const roles = (flags.role ?? []).map((role): Role => {
    const known = ROLES.find((candidate) => candidate === role);
    if (known === undefined) throw usage(`--role ${JSON.stringify(role)} is unknown; use ${ROLES.join(" or ")}`, "role");
    return known;
  });
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result, seq } = await ledger.submit({ type: "member.set", publicKey: argument(args, 0), name: flags.name, roles });
    shell.output.result(
      { ...result, block: seq },
      `key ${result.publicKey.slice(0, 16)}… has ${result.roles.length === 0 ? "no role any more" : `the roles ${result.roles.join(", ")}`} (block ${seq})`,
    );
  });
  return undefined;
}

async function showMember(shell: Shell, args: Args, flags: ClientFlags): Promise<undefined> {
  await withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result } = await ledger.ask({ type: "member", publicKey: argument(args, 0) });
    shell.output.result(
      result,
      result.member === null ? "not a member" : `${result.member.name || "unnamed"}: ${result.member.roles.join(", ") || "no roles"}`,
    );
  });
  return undefined;
}

/** The supply of every asset, and the proof by addition that money is conserved. */
async function totals(shell: Shell, _args: Args, flags: ClientFlags): Promise<Exit> {
  return withConnection(flags, { signal: shell.signal }, async ({ ledger }) => {
    const { result, seq } = await ledger.ask({ type: "summary" });
    const sums = await Promise.all(result.assets.map((asset) => ledger.sum(asset.code)));
    const assets = result.assets.map((asset, i) => ({
      code: asset.code,
      supply: asset.supply,
      decimals: asset.decimals,
      sum: formatMinor(sums[i]?.minor ?? 0n, asset.decimals),
    }));
    const balanced = sums.every((sum) => sum.minor === 0n);
    const rows = assets.map((asset) => [asset.code, formatForPeople(BigInt(asset.supply.replace(".", "")), asset.decimals), asset.sum]);
    const text = table([{ title: "asset" }, { title: "in circulation", right: true }, { title: "sum of all balances", right: true }], rows);
    const counts = `${count(result.accounts)} accounts, ${count(result.transfers)} payments, block ${seq}`;
    const verdict = balanced
      ? "every asset adds up to zero: nothing was made or lost"
      : "the balances do not add up to zero: somebody may have paid meanwhile, run it again; if it stays, verify the chain";
    shell.output.result(
      { block: seq, accounts: result.accounts, members: result.members, transfers: result.transfers, balanced, assets },
      `${text}\n\n${counts}\n${verdict}`,
    );
    return balanced ? EXIT.ok : EXIT.unverified;
  });
}

async function createKey(shell: Shell, args: Args, flags: { readonly passphraseFile?: string }): Promise<undefined> {
  const passphrase = readPassphrase(flags.passphraseFile);
  const file = argument(args, 0);
  const key = createKeyFile(file, { kind: "client", ...(passphrase === undefined ? {} : { passphrase }) });
  shell.output.result({ file, publicKey: key.publicKey }, `${file}\npublic key ${key.publicKey}`);
  return undefined;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

export function registerGovernance(program: Command, runner: Runner): void {
  const asset = program.command("asset").description("create and list assets");
  const create = asset
    .command("create <CODE>")
    .description("create an asset (admins)")
    .requiredOption("--decimals <N>", "digits after the point, 0 to 8", integerOption(0, 8))
    .option("--issuer <PUBLIC_KEY>", "key that may issue and redeem it (default: the signing key)")
    .option("--name <TEXT>", "name for people");
  runner.run(
    examples(addClusterOptions(create, { signs: true }), ["narses-ledger asset create CZK --decimals 2 --name 'Czech koruna'"]),
    createAsset,
  );
  runner.run(
    examples(addClusterOptions(asset.command("list").description("assets and their supply"), { signs: true }), [
      "narses-ledger asset list",
    ]),
    listAssets,
  );
  const member = program.command("member").description("who may do what");
  const set = member
    .command("set <PUBLIC_KEY>")
    .description("set the roles of a key (admins); no --role takes all of them away")
    .option("--role <ROLE>", `${ROLES.join(" or ")}; may be given twice`, collect)
    .option("--name <TEXT>", "name for people");
  runner.run(
    examples(addClusterOptions(set, { signs: true }), ["narses-ledger member set 1f8b…64 hex digits… --role member --name 'Banca Aquila'"]),
    setMember,
  );
  runner.run(
    examples(addClusterOptions(member.command("show <PUBLIC_KEY>").description("roles of a key"), { signs: true }), [
      "narses-ledger member show 1f8b…64 hex digits…",
    ]),
    showMember,
  );
  const key = program.command("key").description("key files of clients");
  const createKeyCommand = key
    .command("create <FILE>")
    .description("make a client key and print its public key")
    .option("--passphrase-file <FILE>", "encrypt it with the passphrase on the first line of FILE");
  runner.run(
    examples(createKeyCommand, ["narses-ledger key create alice.key", "narses-ledger key create alice.key --passphrase-file pass.txt"]),
    createKey,
  );
  const totalsCommand = program.command("totals").description("supply of every asset, and the check that all balances add up to zero");
  runner.run(examples(addClusterOptions(totalsCommand, { signs: true }), ["narses-ledger totals", "narses-ledger totals --json"]), totals);
}
