/**
 * Checks what each package would publish, after a build: its shape (publint), and that the compiled simulator loads an application in
 * TypeScript. Prints problems and exits 1 when there are any.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = new URL("..", import.meta.url).pathname;
let problems = 0;
for (const name of readdirSync(join(root, "packages")).sort()) {
  const pkgDir = join(root, "packages", name);
  const pkg = JSON.parse(readFileSync(join(pkgDir, "package.json"), "utf8")) as Record<string, unknown>;
  const { messages } = await publint({ pkgDir, strict: true, pack: false });
  for (const message of messages) {
    problems++;
    process.stdout.write(`${String(pkg["name"])}: ${formatMessage(message, pkg) ?? message.code}\n`);
  }
}
const simulator = join(root, "packages/simulator");
const args = ["dist/main.js", "--app", "examples/counter.ts", "--seed", "42", "--faults", "byzantine", "--chaos", "200"];
const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: simulator, encoding: "utf8" });
if (status !== 0) {
  problems++;
  process.stdout.write(`@narses/simulator: node ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}\n`);
}
process.stdout.write(problems === 0 ? "package shape: ok\n" : `package shape: ${problems} problems\n`);
process.exitCode = problems === 0 ? 0 : 1;
