#!/usr/bin/env node
/** Runs the compiled program, or in a checkout that was not compiled, the sources through tsx. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const compiled = new URL("../dist/main.js", import.meta.url);
if (existsSync(compiled)) {
  await import(compiled.href);
} else {
  const source = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const args = ["--import", import.meta.resolve("tsx"), "--conditions=@narses/source", source, ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  // The child gets its own copy of a signal from a terminal; one sent to this process alone is passed on.
  for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => child.kill(name));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128);
  });
}
