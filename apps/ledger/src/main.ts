/** The process of `narses-ledger`: signals in, exit status out. */
import { runCommandLine } from "./cli/program.ts";
import { EXIT, failureOf, interrupted } from "./cli/failure.ts";

const stop = new AbortController();
const signals = ["SIGINT", "SIGTERM"] as const;
for (const name of signals) {
  process.once(name, () => {
    for (const each of signals) process.removeAllListeners(each); // a second one, of either kind, ends the process at once
    stop.abort(interrupted(name));
  });
}
// A reader that has seen enough (head, less) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(EXIT.ok);
});

try {
  process.exitCode = await runCommandLine(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: stop.signal,
  });
} catch (error) {
  const { code, message } = failureOf(error);
  process.stderr.write(`error: ${message} [${code}]\n`);
  process.exitCode = EXIT.internal;
}
