/** Checks what each package would publish (publint), after a build. Prints problems and exits 1 when there are any. */
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
process.stdout.write(problems === 0 ? "package shape: ok\n" : `package shape: ${problems} problems\n`);
process.exitCode = problems === 0 ? 0 : 1;
