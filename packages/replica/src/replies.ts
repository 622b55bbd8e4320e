/**
 * Answers to clients: one signature per block and replica, a Merkle path per bundle. A reply goes to every connection of
 * its client; one that was missed is rebuilt from the block store.
 */
import type {
  BlockStore, Bundle, ClientConnection, Digest, Epoch, Hasher, Logger, Outcome, ReplicaId, Reply, SeqNum, Signed, Signer, View,
} from "@narses/core";
import { merkleTree, type MerkleTree } from "@narses/crypto";
import { blockHash, resultLeaf, type Codec } from "@narses/wire";
import type { ClientConnections } from "./client-connections.ts";
import type { Counters } from "./counters.ts";
import type { ExecutedSlot } from "./executor.ts";
import { OUTCOMES_CACHED_MAX, REPLY_FRAMES_BYTES_MAX, RESENDS_MAX } from "./limits.ts";
import { describeError } from "./log.ts";
import type { KeptReply } from "./reply-record.ts";

export interface RepliesOptions {
  readonly self: ReplicaId;
  readonly epoch: Epoch;
  readonly signer: Signer;
  readonly codec: Pick<Codec, "encodeToClient">;
  readonly hasher: Hasher;
  readonly blocks: Pick<BlockStore, "get">;
  readonly connections: ClientConnections;
  readonly view: () => View;
  /** After it nothing is said any more. */
  readonly stopped: () => boolean;
  readonly counters: Counters;
  readonly logger: Logger;
}

export interface Replies {
  /** A slot was executed: answers its bundles wherever their clients are connected. */
  executed(slot: ExecutedSlot): void;
  /** A bundle executed before came again: answers its sender, at once if the reply was made lately, else out of the block store. */
  resend(connection: ClientConnection, bundle: Bundle, record: KeptReply): void;
  refuse(connection: ClientConnection, bundleDigest: Digest, code: string, detail: string): void;
}

interface Place {
  readonly header: ExecutedSlot["block"]["header"];
  readonly hash: Digest;
  readonly tree: MerkleTree;
  readonly leafIndex: number;
  readonly leafCount: number;
}

export function createReplies(options: RepliesOptions): Replies {
  const { codec, connections, counters, logger } = options;
  const outcomes = createOutcomes(options);
  const frames = new FrameCache();
  let resends = 0;

  function encodeReply(bundle: Bundle, results: readonly Uint8Array[], { header, hash, tree, leafIndex, leafCount }: Place): Uint8Array {
    const reply: Reply = {
      client: bundle.client, bundleDigest: bundle.digest, view: options.view(), header, outcome: outcomes(header.seq, hash),
      leafIndex, leafCount, path: tree.path(leafIndex), results,
    };
    const frame = codec.encodeToClient({ type: "reply", reply });
    frames.add(bundle.digest, { seq: header.seq, frame }, reply.view);
    return frame;
  }

  async function rebuild(connection: ClientConnection, bundle: Bundle, record: KeptReply): Promise<void> {
    const block = await options.blocks.get(record.seq);
    if (options.stopped()) return;
    const bundles = block?.batch?.bundles ?? [];
    const results = block?.results[record.leafIndex];
    if (block === undefined || bundles[record.leafIndex]?.digest !== bundle.digest || results === undefined) {
      // The state was transferred: it includes the bundle, the block is not held.
      connection.send(codec.encodeToClient({ type: "executed", bundleDigest: bundle.digest, seq: record.seq, leafIndex: record.leafIndex }));
      return;
    }
    const tree = merkleTree(bundles.map((other, i) => resultLeaf(options.hasher, other.digest, block.results[i] ?? [])));
    const { header } = block;
    const place: Place = { header, hash: blockHash(options.hasher, header), tree, leafIndex: record.leafIndex, leafCount: bundles.length };
    if (connection.send(encodeReply(bundle, results, place))) counters.repliesResent++;
  }

  return {
    executed(slot) {
      slot.bundles.forEach(({ bundle, results, repeated }, leafIndex) => {
        // Answered by the block that executed it: two blocks vouching for one bundle would split the client's count.
        if (repeated) return;
        const receivers = connections.of(bundle.client);
        if (receivers.length === 0) return;
        const place: Place = { header: slot.block.header, hash: slot.hash, tree: slot.resultTree, leafIndex, leafCount: slot.bundles.length };
        const frame = encodeReply(bundle, results, place);
        for (const connection of receivers) if (connection.send(frame)) counters.repliesSent++;
      });
    },
    resend(connection, bundle, record) {
      if (options.stopped()) return;
      const made = frames.get(bundle.digest, record.seq, options.view());
      if (made !== undefined) {
        if (connection.send(made)) counters.repliesResent++;
        return;
      }
      if (resends >= RESENDS_MAX) return;
      resends++;
      rebuild(connection, bundle, record)
        .catch((error: unknown) => logger.error({ seq: record.seq, error: describeError(error) }, "a kept reply could not be sent again"))
        .finally(() => resends--);
    },
    refuse(connection, bundleDigest, code, detail) {
      connection.send(codec.encodeToClient({ type: "refused", bundleDigest, code, detail }));
    },
  };
}

/** A reply, and the slot that it is about: one that was refused may be ordered again, and executed then. */
interface Made {
  readonly seq: SeqNum;
  readonly frame: Uint8Array;
}

/**
 * Replies made lately, by bundle: in a cluster that is late most retransmissions cross the answer, and must cost nothing. Two generations,
 * each of half the bytes: a map whose first entry is looked for after many first ones were deleted walks over all of their places.
 */
class FrameCache {
  #young = new Map<Digest, Made>();
  #old: ReadonlyMap<Digest, Made> = new Map();
  /** Of the young ones. */
  #bytes = 0;
  #view: View | undefined;

  add(bundle: Digest, made: Made, view: View): void {
    this.#enter(view);
    const { length } = made.frame;
    if (length > REPLY_FRAMES_BYTES_MAX / 2) return;
    if (this.#bytes + length > REPLY_FRAMES_BYTES_MAX / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#bytes = 0;
    }
    this.#young.set(bundle, made);
    this.#bytes += length;
  }

  get(bundle: Digest, seq: SeqNum, view: View): Uint8Array | undefined {
    this.#enter(view);
    const made = this.#young.get(bundle) ?? this.#old.get(bundle);
    return made?.seq === seq ? made.frame : undefined;
  }

  /** A reply tells the view: those of an older one would send clients to a primary of the past. */
  #enter(view: View): void {
    if (view === this.#view) return;
    this.#view = view;
    this.#young = new Map();
    this.#old = new Map();
    this.#bytes = 0;
  }
}

/** One signature per block, made when the first client needs it. */
function createOutcomes({ self, epoch, signer }: RepliesOptions): (seq: SeqNum, hash: Digest) => Signed<Outcome> {
  const made = new Map<SeqNum, Signed<Outcome>>();
  return (seq, block) => {
    const known = made.get(seq);
    if (known?.body.block === block) return known;
    const signed = signer.sign<Outcome>({ type: "outcome", epoch, sender: self, seq, block });
    made.set(seq, signed);
    if (made.size > OUTCOMES_CACHED_MAX) {
      for (const oldest of made.keys()) {
        made.delete(oldest);
        break;
      }
    }
    return signed;
  };
}
