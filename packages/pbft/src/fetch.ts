/** Payloads for who lacks them: whole batches by digest, and bundles that a compact pre-prepare named. Content-addressed: anyone may answer, nobody is trusted. */
import type { Batch, Bundle, Digest, FetchBundles, ReplicaId } from "@narses/core";
import { emit, reject, type Replica } from "./state.ts";

/** Requests for payloads that are answered to one peer in a status interval. */
const FETCHES_PER_INTERVAL_MAX = 32;
/** Payloads of this many bytes are given to one peer in a status interval, and the one that exceeds it. */
const FETCHED_BYTES_MAX = 4 << 20;

/** What is left of the share of `from`: takes the bytes of a payload off, as long as something is left. Undefined: nothing is, as it is told. */
function shareOf(r: Replica, from: ReplicaId, message: "fetch-batch" | "fetch-bundles"): ((bytes: number) => boolean) | undefined {
  const peer = r.peers.get(from);
  if (peer === undefined) return undefined;
  const interval = Math.floor(r.tick / r.config.parameters.statusIntervalTicks);
  const { count, bytes: before } = peer.fetched?.interval === interval ? peer.fetched : { count: 0, bytes: 0 };
  if (count >= FETCHES_PER_INTERVAL_MAX || before >= FETCHED_BYTES_MAX) {
    reject(r, from, message, "RATE_LIMITED", `${count} payloads of ${before} bytes were asked for in one status interval`);
    return undefined;
  }
  let given = before;
  peer.fetched = { interval, count: count + 1, bytes: given };
  return (bytes) => {
    if (given >= FETCHED_BYTES_MAX) return false;
    given += bytes;
    peer.fetched = { interval, count: count + 1, bytes: given };
    return true;
  };
}

function findBatch(r: Replica, digest: Digest): Batch | undefined {
  for (const { payloads } of r.slots.values()) {
    const batch = payloads.get(digest);
    if (batch !== undefined) return batch;
  }
  return undefined;
}

export function onFetchBatch(r: Replica, from: ReplicaId, digest: Digest): void {
  const give = shareOf(r, from, "fetch-batch");
  const batch = give && findBatch(r, digest);
  if (batch !== undefined && give?.(batch.bytes.length) === true) emit(r, { type: "send", to: from, message: { type: "batch", batch } });
}

/** Out of the batch they are asked for, if it is here, and out of what waits: who lacks one of them may hold the others. */
export function onFetchBundles(r: Replica, from: ReplicaId, { seq, digest, bundles }: FetchBundles): void {
  const give = shareOf(r, from, "fetch-bundles");
  if (give === undefined) return;
  const batch = r.slots.get(seq)?.payloads.get(digest);
  const held = new Map<Digest, Bundle>(batch?.bundles.map((bundle) => [bundle.digest, bundle]));
  for (const wanted of new Set(bundles)) {
    const bundle = held.get(wanted) ?? r.waiting.get(wanted)?.bundle;
    if (bundle === undefined) continue;
    if (!give(bundle.bytes.length)) return;
    emit(r, { type: "send", to: from, message: { type: "forward", bundle } });
  }
}
