/** What every command gets, and how a commander action becomes one. */
import type { Command } from "commander";
import { EXIT, type Exit } from "./failure.ts";
import type { Output } from "./output.ts";

export interface Shell {
  readonly output: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** Creates the shell of one command run; `json` is known once options are parsed. */
export type OpenShell = (json: boolean) => Shell;

export interface Runner {
  /** Makes `handler` the action of `command`. Arguments are strings (or lists of them), flags the command's and the program's options. */
  run<Flags>(
    command: Command,
    handler: (shell: Shell, args: readonly (string | undefined)[], flags: Flags) => Promise<Exit | undefined>,
  ): void;
  /** Exit status of the command that ran. */
  readonly exit: Exit;
}

export function createRunner(openShell: OpenShell): Runner {
  let exit: Exit = EXIT.ok;
  return {
    get exit() {
      return exit;
    },
    run: <Flags>(
      command: Command,
      handler: (shell: Shell, args: readonly (string | undefined)[], flags: Flags) => Promise<Exit | undefined>,
    ) => {
      command.action(async () => {
        const flags: Flags & { readonly json?: boolean } = command.optsWithGlobals();
        const shell = openShell(flags.json === true);
        try {
          exit = (await handler(shell, command.processedArgs as (string | undefined)[], flags)) ?? EXIT.ok;
        } catch (error) {
          exit = shell.output.fail(error);
        }
      });
    },
  };
}

/** A required argument: commander has checked that it is there. */
export function argument(args: readonly (string | undefined)[], index: number): string {
  const value = args[index];
  if (value === undefined) throw new RangeError(`argument ${index} is missing`);
  return value;
}
