/** `init`: keys, genesis and configuration of a new cluster. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { join } from "node:path";
import { Option, type Command } from "commander";
import { faultsTolerated, REPLICAS_MAX } from "@narses/core";
import { createKeyFile } from "@narses/crypto";
import { parseCluster } from "@narses/replica";
import { ASSET_CODE_PATTERN } from "../../state-machine/operations.ts";
import { readGenesis, type LedgerGenesis } from "../../state-machine/genesis.ts";
import { DECIMALS_MAX } from "../../amount.ts";
import { CommandError, EXIT, usage } from "../failure.ts";
import { examples, integerOption, readPassphrase } from "../options.ts";
import { argument, type Runner, type Shell } from "../shell.ts";

interface InitFlags {
  readonly replicas: number;
  readonly f?: number;
  readonly basePort: number;
  readonly host: string;
  readonly name: string;
  readonly clients: "open" | "listed";
  readonly asset?: readonly string[];
  readonly passphraseFile?: string;
}

export interface InitOptions extends InitFlags {
  readonly directory: string;
}

export interface Initialized {
  readonly directory: string;
  readonly cluster: string;
  readonly adminKey: string;
  readonly adminPublicKey: string;
  readonly replicas: readonly string[];
}

const DEFAULT_ASSETS = ["EUR:2", "CZK:2"];

function parseAsset(text: string): { readonly code: string; readonly decimals: number } {
  const [code = "", decimals = "2"] = text.split(":");
  if (!ASSET_CODE_PATTERN.test(code) || !/^\d$/.test(decimals) || Number(decimals) > DECIMALS_MAX) {
    throw usage(`--asset ${JSON.stringify(text)} must be CODE:DECIMALS, for example EUR:2, with 0 to ${DECIMALS_MAX} decimals`, "asset");
  }
  return { code, decimals: Number(decimals) };
}

function addressOf(host: string, port: number): string {
  const kind = isIPv4(host) ? "ip4" : isIPv6(host) ? "ip6" : "dns";
  if (kind === "dns" && !/^[A-Za-z0-9.-]{1,253}$/.test(host))
    throw usage(`--host ${JSON.stringify(host)} is no IP address and no host name`, "host");
  return `/${kind}/${host}/tcp/${port}`;
}

function checkFlags(flags: InitOptions): { readonly f: number } {
  const f = flags.f ?? faultsTolerated(flags.replicas);
  if (flags.replicas < 3 * f + 1)
    throw usage(
      `--f ${f} needs at least 3f+1 = ${3 * f + 1} replicas, got --replicas ${flags.replicas}; add replicas or lower --f to ${faultsTolerated(flags.replicas)}`,
      "f",
    );
  if (flags.basePort + flags.replicas - 1 > 65_535)
    throw usage(`--base-port ${flags.basePort} leaves no room for ${flags.replicas} ports up to 65535; choose a lower one`, "base-port");
  if (existsSync(flags.directory) && readdirSync(flags.directory).length > 0) {
    throw new CommandError(
      "DIRECTORY_NOT_EMPTY",
      EXIT.setup,
      `${flags.directory} is not empty, and nothing is ever overwritten; give a new directory, or move this one away`,
      { field: "DIR", directory: flags.directory },
    );
  }
  return { f };
}

const writeJson = (path: string, value: unknown): void => writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`, { flag: "wx" });

/** Everything is checked before the first file is written. Also used by the demo. */
export function initialize(flags: InitOptions): Initialized {
  const { f } = checkFlags(flags);
  const assets = (flags.asset ?? DEFAULT_ASSETS).map(parseAsset);
  const twice = assets.find((asset, i) => assets.findIndex((other) => other.code === asset.code) !== i);
  if (twice !== undefined) throw usage(`--asset names ${twice.code} twice`, "asset");
  const passphrase = readPassphrase(flags.passphraseFile);
  const secret = passphrase === undefined ? {} : { passphrase };
  const addresses = Array.from({ length: flags.replicas }, (_, i) => addressOf(flags.host, flags.basePort + i));
  const homes = addresses.map((_, i) => join(flags.directory, `replica-${i}`));
  for (const home of homes) mkdirSync(home, { recursive: true });
  const adminKey = join(flags.directory, "admin.key");
  const admin = createKeyFile(adminKey, { kind: "client", ...secret });
  const replicas = homes.map((home, i) => {
    const key = createKeyFile(join(home, "replica.key"), { kind: "replica", ...secret });
    return { id: i, publicKey: key.publicKey, networkKey: key.kind === "replica" ? key.networkKey : "", addresses: [addresses[i] ?? ""] };
  });
  const genesis: LedgerGenesis = readGenesis({
    ledger: 1,
    members: [{ publicKey: admin.publicKey, name: "admin", roles: ["admin", "member"] }],
    assets: assets.map((asset) => ({ ...asset, issuer: admin.publicKey })),
  });
  const cluster = parseCluster({
    version: 1,
    name: flags.name,
    f,
    replicas,
    clients: flags.clients,
    clientKeys: flags.clients === "listed" ? [admin.publicKey] : [],
    genesis,
  });
  const clusterFile = join(flags.directory, "cluster.json");
  writeJson(clusterFile, cluster);
  homes.forEach((home, i) => {
    writeJson(join(home, "cluster.json"), cluster);
    writeJson(join(home, "replica.json"), {
      replica: i,
      cluster: "cluster.json",
      key: "replica.key",
      data: "data",
      listen: [addresses[i]],
    });
  });
  return { directory: flags.directory, cluster: clusterFile, adminKey, adminPublicKey: admin.publicKey, replicas: homes };
}

async function init(shell: Shell, args: readonly (string | undefined)[], flags: InitFlags): Promise<undefined> {
  const directory = argument(args, 0);
  const made = initialize({ ...flags, directory });
  const f = faultsTolerated(flags.replicas);
  const text = [
    `${directory}/`,
    "  cluster.json    the cluster: give it to every replica and client; receipts verify against it",
    "  admin.key       signs as admin and issuer: keep it secret",
    ...made.replicas.map(
      (_, i) => `  replica-${i}/      home of replica ${i}, listens on port ${flags.basePort + i}; move it to its machine`,
    ),
    "",
    `n = ${flags.replicas} replicas tolerate f = ${flags.f ?? f}. Start each, then open an account:`,
    ...made.replicas.map((home) => `  narses-ledger start --home ${home} &`),
    `  narses-ledger account create alice --asset EUR --opening 1000.00 --dir ${directory}`,
  ];
  shell.output.result(made, text.join("\n"));
  return undefined;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

export function registerInit(program: Command, runner: Runner): void {
  const command = program
    .command("init <DIR>")
    .description("make keys, genesis and configuration of a new cluster in an empty directory")
    .option("--replicas <N>", "number of replicas, 3f+1 to tolerate f faults", integerOption(1, REPLICAS_MAX), 4)
    .option("--f <F>", "faults to tolerate (default: as many as N allows)", integerOption(0, 85))
    .option("--base-port <PORT>", "replica i listens on PORT + i", integerOption(1, 65_535), 7_100)
    .option("--host <HOST>", "address that replicas and clients dial", "127.0.0.1")
    .option("--name <NAME>", "name of the cluster", "ledger")
    .addOption(
      new Option("--clients <WHO>", "who may submit: any key (the ledger decides by role), or listed keys only")
        .choices(["open", "listed"])
        .default("open"),
    )
    .option("--asset <CODE:DECIMALS>", "asset issued by the admin; may be repeated (default: EUR:2 and CZK:2)", collect)
    .option("--passphrase-file <FILE>", "encrypt every key with the passphrase on the first line of FILE");
  runner.run(
    examples(command, ["narses-ledger init ./bank", "narses-ledger init ./bank --replicas 7 --base-port 9000 --asset EUR:2 --asset XAU:8"]),
    init,
  );
}
