/** Options that several commands share, and the reading of their values. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidArgumentError, Option, type Command } from "commander";
import { CommandError, EXIT } from "./failure.ts";

export interface ClientFlags {
  readonly dir?: string;
  readonly cluster?: string;
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly timeout: number;
}

/** For commander: an integer in a range. */
export function integerOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
    return value;
  };
}

/** --dir, --cluster and, for commands that sign, --key and --passphrase-file. */
export function addClusterOptions(command: Command, options: { readonly signs: boolean; readonly reaches?: boolean }): Command {
  command
    .addOption(new Option("--dir <DIR>", "directory made by `init`; gives defaults for --cluster and --key").env("NARSES_DIR"))
    .option("--cluster <FILE>", "cluster file (default: DIR/cluster.json)");
  if (options.signs) {
    command
      .option("--key <FILE>", "client key that signs (default: DIR/admin.key)")
      .option("--passphrase-file <FILE>", "file with the passphrase of the key, if it is encrypted");
  }
  if (options.reaches !== false)
    command.option("--timeout <SECONDS>", "give up after this long without an answer", integerOption(1, 86_400), 30);
  return command;
}

/** Path of the cluster file; DIR defaults to the working directory. */
export const clusterPath = (flags: Pick<ClientFlags, "dir" | "cluster">): string => flags.cluster ?? join(flags.dir ?? ".", "cluster.json");
export const keyPath = (flags: Pick<ClientFlags, "dir" | "key">): string => flags.key ?? join(flags.dir ?? ".", "admin.key");

/** The passphrase: the file's first line. @throws CommandError when it cannot be read or is empty. */
export function readPassphrase(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError("PASSPHRASE_FILE", EXIT.setup, `--passphrase-file: ${error instanceof Error ? error.message : String(error)}`, {
      field: "passphrase-file",
      file,
    });
  }
  const passphrase = text.split(/\r?\n/, 1)[0] ?? "";
  if (passphrase === "")
    throw new CommandError(
      "PASSPHRASE_FILE",
      EXIT.setup,
      `--passphrase-file: the first line of ${file} is empty; it must be the passphrase`,
      { field: "passphrase-file", file },
    );
  return passphrase;
}

/** Adds examples below a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`);
}
