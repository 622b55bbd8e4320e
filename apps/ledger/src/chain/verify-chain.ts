/** Verifies a whole chain offline: hashes, roots, commit certificates, client signatures, and the execution of every operation. */
import { verifyBlockChain } from "@narses/client";
import type { ClusterConfig, Digest, SeqNum, StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { createLedger } from "../state-machine/machine.ts";
import { codecOf } from "./codec.ts";
import { openReplay } from "./replay.ts";

export interface ChainReport {
  /** Genesis included. */
  readonly blocks: number;
  readonly bundles: number;
  /** Operations, queries included; those a session refused to repeat too. */
  readonly operations: number;
  /** Votes of commit certificates. */
  readonly commits: number;
  readonly head: { readonly seq: SeqNum; readonly hash: Digest; readonly stateRoot: Digest; readonly timestampMs: number };
  /** Block number by view it was committed in: the first block of each view. */
  readonly views: readonly { readonly view: number; readonly firstBlock: number }[];
  /** Hash of each block that was asked for with `keep`. */
  readonly kept: ReadonlyMap<number, Digest>;
}

export interface ChainOptions {
  readonly onBlock?: ((seq: number) => void) | undefined;
  /** Blocks whose hash is wanted. */
  readonly keep?: ReadonlySet<number> | undefined;
}

/** @throws NarsesError RECEIPT_INVALID at the first block that does not verify. */
export async function verifyLedgerChain(
  blocks: AsyncIterable<Uint8Array>,
  cluster: ClusterConfig,
  options: ChainOptions = {},
): Promise<ChainReport> {
  const codec = codecOf(cluster);
  const replay = await openReplay(cluster, createLedger(hasher) as StateMachine);
  const counts = { bundles: 0, commits: 0 };
  const views: { view: number; firstBlock: number }[] = [];
  const kept = new Map<number, Digest>();
  let last: { readonly seq: number; readonly parent: Digest } | undefined;

  /** Execution follows verification, block by block: what is executed has been decided, and signed by its clients. */
  async function* executed(): AsyncGenerator<Uint8Array> {
    for await (const bytes of blocks) {
      yield bytes; // verified when the consumer asks for the next one
      const block = codec.decodeBlock(bytes);
      await replay.execute(block);
      const { header, certificate, batch } = block;
      if (last !== undefined && options.keep?.has(last.seq) === true) kept.set(last.seq, header.parent);
      last = { seq: header.seq, parent: header.parent };
      counts.bundles += batch?.bundles.length ?? 0;
      counts.commits += certificate?.commits.length ?? 0;
      if (certificate !== undefined && certificate.view !== views.at(-1)?.view)
        views.push({ view: certificate.view, firstBlock: header.seq });
      options.onBlock?.(header.seq);
    }
  }

  const { blocks: count, head } = await verifyBlockChain(executed(), cluster).finally(() => replay.close());
  if (options.keep?.has(head.header.seq) === true) kept.set(head.header.seq, head.hash);
  const { seq, stateRoot, timestampMs } = head.header;
  return { blocks: count, ...counts, operations: replay.operations, head: { seq, hash: head.hash, stateRoot, timestampMs }, views, kept };
}
