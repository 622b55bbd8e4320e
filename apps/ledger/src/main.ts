/** The process of `narses-ledger`: signals in, exit status out. */
import { runCommandLine } from "./cli/program.ts";
import { EXIT, failureOf, interrupted } from "./cli/failure.ts";

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => stop.abort(interrupted(name))); // a second one ends the process at once
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
