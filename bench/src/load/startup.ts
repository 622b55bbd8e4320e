/** From nothing to the first committed operation: four processes, started together. The clients' process runs already. */
import { rmSync } from "node:fs";
import { createHomes } from "./homes.ts";
import type { Child } from "./ipc.ts";
import type { LoadReport, LoadRequest, OpenRequest } from "./load-spec.ts";
import type { Program } from "./program.ts";
import { loadChild, replicaChild } from "./stage.ts";

export interface Startup {
  readonly readyMs: number;
  readonly firstAnswerMs: number;
}

export async function startup(program: Program, n: number): Promise<Startup> {
  const homes = await createHomes(n, {});
  const load = loadChild(program);
  const replicas: Child[] = [];
  try {
    await load.ready;
    const startMs = performance.now();
    for (const [id, home] of homes.homes.entries()) {
      replicas.push(replicaChild(program, id, home));
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
