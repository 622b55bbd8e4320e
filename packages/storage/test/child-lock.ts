/** Locks a data directory, says how that went, and holds it until it is killed or its input ends. For data-directory.test.ts. */
import { NarsesError, digest, replicaId } from "@narses/core";
import { lockDataDirectory } from "../src/index.ts";

const [path = "", cluster = ""] = process.argv.slice(2);
try {
  const directory = await lockDataDirectory(path, { clusterId: digest(cluster), replica: replicaId(0) });
  process.stdout.write(`held ${directory.instance}\n`);
  process.stdin.resume().once("end", () => void directory.release());
} catch (error) {
  process.stdout.write(error instanceof NarsesError ? `${error.code} ${String(error.data["pid"])}\n` : `${String(error)}\n`);
}
