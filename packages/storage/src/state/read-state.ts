/** What a state store starts from: the record of itself, the leaf hashes, the tree they make. Finishes an install first. */
import { NarsesError, seqNum, type Digest, type SeqNum } from "@narses/core";
import { FETCH_STATE, dataCorrupt } from "../errors.ts";
import { decodeAnchor, type StateAnchor } from "./anchor.ts";
import type { StateBackend } from "./backend.ts";
import { finishInstall } from "./install.ts";
import { decodeMeta } from "./meta.ts";
import { BUCKET_BITS_DEFAULT, BUCKET_BITS_MAX, BUCKET_BITS_MIN } from "./page.ts";
import type { StateOptions } from "./state-store.ts";
import { HashTree } from "./tree.ts";

export interface Opened {
  readonly tree: HashTree;
  readonly durableSeq: SeqNum;
  readonly root: Digest;
  readonly fresh: boolean;
  readonly anchor: StateAnchor | undefined;
}

export async function readState(options: StateOptions, backend: StateBackend): Promise<Opened> {
  const { hasher, bucketBits } = options;
  if (bucketBits !== undefined && (!Number.isSafeInteger(bucketBits) || bucketBits < BUCKET_BITS_MIN || bucketBits > BUCKET_BITS_MAX)) {
    throw new RangeError(`bucketBits must be an integer from ${BUCKET_BITS_MIN} to ${BUCKET_BITS_MAX}, got ${bucketBits}`);
  }
  const install = await backend.record("install");
  if (install !== undefined) await finishInstall(hasher, backend, install);
  const bytes = await backend.record("meta");
  if (bytes === undefined) {
    for await (const _leaves of backend.leaves()) {
      throw dataCorrupt(`state ${backend.name} has pages but no meta record`, FETCH_STATE, { path: backend.name });
    }
    const tree = new HashTree(hasher, bucketBits ?? BUCKET_BITS_DEFAULT);
    return { tree, durableSeq: seqNum(0), root: tree.root(), fresh: true, anchor: undefined };
  }
  const meta = decodeMeta(bytes, backend.name);
  if (bucketBits !== undefined && bucketBits !== meta.bits) {
    const message = `state ${backend.name} has ${meta.bits} bucket bits, the configuration says ${bucketBits}: they cannot change in a living cluster`;
    throw new NarsesError("CONFIG_INVALID", message, { field: "bucketBits" });
  }
  const tree = new HashTree(hasher, meta.bits);
  let wellFormed = true;
  for await (const [parent, hashes] of backend.leaves()) wellFormed = tree.setLeaves(parent, hashes) && wellFormed;
  const root = tree.root();
  if (!wellFormed || root !== meta.root) {
    const what = `state ${backend.name} at slot ${meta.seq} has root ${root}, its record says ${meta.root}`;
    throw dataCorrupt(what, FETCH_STATE, { path: backend.name, seq: meta.seq });
  }
  const record = await backend.record("anchor");
  const anchor = record === undefined ? undefined : decodeAnchor(record, backend.name).anchor;
  return { tree, durableSeq: meta.seq, root, fresh: false, anchor: anchor?.header.seq === meta.seq ? anchor : undefined };
}

