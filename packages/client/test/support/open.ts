import { assert } from "@narses/core";
import type { Client } from "../../src/client.ts";
import { connect } from "../../src/connect.ts";
import type { ConnectOptions } from "../../src/options.ts";
import { FakeCluster, keyOf, type FakeClusterOptions } from "./fake-cluster.ts";
import { FakeTimers } from "./fake-timers.ts";

export interface Opened {
  readonly cluster: FakeCluster;
  readonly timers: FakeTimers;
  readonly client: Client;
}

/** A connected client whose first request id is 1, unless the options say otherwise. */
export async function open(clusterOptions: FakeClusterOptions = {}, options: Partial<ConnectOptions> = {}): Promise<Opened> {
  const cluster = new FakeCluster(clusterOptions);
  const timers = new FakeTimers();
  const client = await connect({ cluster: cluster.config, key: keyOf("client"), transport: cluster.transport, timers, jitterSeed: 1, ...options });
  return { cluster, timers, client };
}

/** The reason a promise rejects with; fails when it resolves. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([promise]);
  assert(outcome.status === "rejected", "a promise that should have been rejected was not");
  return outcome.reason;
}

/** Whether a promise has settled by the end of this turn. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}
