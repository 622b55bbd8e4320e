/** From nothing to the first committed operation: four processes, started together. The clients' process runs already. */
import { existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createHomes } from "./homes.ts";
import { Child } from "./ipc.ts";
import type { LoadReport, LoadRequest, OpenRequest } from "./load-spec.ts";
import { loadChild, replicaChild } from "./stage.ts";

const BENCH = fileURLToPath(new URL("../..", import.meta.url));
const COMPILED = fileURLToPath(new URL("../../../packages/replica/dist/index.js", import.meta.url));

export const isCompiled = (): boolean => existsSync(COMPILED);

/** A replica out of the compiled packages: what an installed one runs. No file of this package is compiled, so it is given as text. */
const compiledReplica = (home: string): string => `
import { createPinoLogger, startReplica } from "@narses/replica";
const app = { apply: (operation, { store, client }) => {
  const [count, bytes] = store.get(client) ?? [0, 0];
  store.put(client, [count + 1, bytes + operation.length]);
  return count + 1;
} };
await startReplica({ home: ${JSON.stringify(home)}, app, logger: createPinoLogger({ level: "error" }) });
process.on("disconnect", () => process.exit(0));
process.send({ id: 0, value: "ready" });
`;

export interface Startup {
  readonly readyMs: number;
  readonly firstAnswerMs: number;
}

export async function startup(n: number, compiled: boolean): Promise<Startup> {
  const homes = await createHomes(n, {});
  const load = loadChild();
  const replicas: Child[] = [];
  try {
    await load.ready;
    const startMs = performance.now();
    for (const [id, home] of homes.homes.entries()) {
      replicas.push(compiled ? new Child({ name: `replica ${id}`, args: ["--input-type=module", "--eval", compiledReplica(home)], cwd: BENCH }) : replicaChild(id, home));
    }
    const ready = Promise.all(replicas.map((replica) => replica.ready)).then(() => performance.now() - startMs);
    await load.call("open", { cluster: homes.cluster, clients: 1, bundlesInFlight: 1 } satisfies OpenRequest);
    const request: LoadRequest = { arrival: { type: "closed", inFlight: 1 }, unit: 1, payloadBytes: 128, durationMs: 60_000, operationsMax: 1 };
    await load.call<LoadReport>("run", request);
    const firstAnswerMs = performance.now() - startMs;
    return { readyMs: await ready, firstAnswerMs };
  } finally {
    await Promise.all([load, ...replicas].map((child) => child.kill()));
    rmSync(homes.directory, { recursive: true, force: true });
  }
}
