/**
 * The giving side of state transfer: header, nodes and pages of the last two durable checkpoints, and blocks. Requests of one peer are
 * served one after the other, out of a bounded queue and a bounded rate, so that a peer that asks for everything at once
 * costs no more than one that fetches a state.
 */
import {
  FRAME_BYTES_MAX, seqNum, STATE_CHUNK_BYTES_MAX,
  type BlockHeader, type BlockStore, type Logger, type ReplicaId, type SeqNum, type StateMessage, type StatePage, type StatePart,
} from "@narses/core";
import type { AuthenticatedState, StateCheckpoint } from "@narses/storage";
import type { Codec } from "@narses/wire";
import { count, type Counters } from "../counters.ts";
import { DONOR_BURST_BYTES, DONOR_BYTES_PER_TICK, DONOR_REQUESTS_MAX } from "../limits.ts";
import { describeError } from "../log.ts";

export interface DonorOptions {
  readonly state: Pick<AuthenticatedState, "checkpoints" | "anchor">;
  readonly blocks: Pick<BlockStore, "get">;
  readonly codec: Pick<Codec, "encodeBlock">;
  /** This replica's own state is in doubt: it gives nothing. */
  readonly quarantined: () => boolean;
  /** False when the transport does not take it. */
  readonly send: (to: ReplicaId, message: StateMessage) => boolean;
  readonly stopped: () => boolean;
  readonly counters: Counters;
  readonly logger: Logger;
}

export interface Donor {
  request(from: ReplicaId, request: Request): void;
  tick(): void;
  /** Resolves when no read is under way. */
  idle(): Promise<void>;
}

type Request = Extract<StateMessage, { type: "fetch-state" | "fetch-block" }>;

interface Receiver {
  readonly waiting: Request[];
  /** Bytes that may be sent now; may go below 0 by one chunk. */
  budget: number;
  serving: Promise<void> | undefined;
}

export function createDonor(options: DonorOptions): Donor {
  const { counters, logger, stopped } = options;
  const receivers = new Map<ReplicaId, Receiver>();

  function serve(to: ReplicaId, receiver: Receiver): void {
    if (receiver.serving !== undefined || receiver.budget <= 0 || stopped()) return;
    const request = receiver.waiting.shift();
    if (request === undefined) return;
    receiver.serving = answer(options, request)
      .catch((error: unknown): StateMessage => {
        logger.error({ replica: to, seq: request.seq, error: describeError(error) }, "a part of the state could not be read for a peer that fetches it");
        return request.type === "fetch-block" ? noBlock(request.seq) : gone(options, request.seq);
      })
      .then((message) => {
        receiver.budget -= bytesOf(message);
        if (!stopped()) options.send(to, message);
      })
      .finally(() => {
        receiver.serving = undefined;
        serve(to, receiver);
      });
  }

  return {
    request(from, request) {
      let receiver = receivers.get(from);
      if (receiver === undefined) receivers.set(from, (receiver = { waiting: [], budget: DONOR_BURST_BYTES, serving: undefined }));
      if (receiver.waiting.length >= DONOR_REQUESTS_MAX) return count(counters.rejected, "RATE_LIMITED");
      receiver.waiting.push(request);
      serve(from, receiver);
    },
    tick() {
      for (const [to, receiver] of receivers) {
        receiver.budget = Math.min(DONOR_BURST_BYTES, receiver.budget + DONOR_BYTES_PER_TICK);
        serve(to, receiver);
      }
    },
    async idle() {
      for (const { serving } of receivers.values()) await serving;
    },
  };
}

const gone = ({ state }: DonorOptions, seq: SeqNum): StateMessage => ({ type: "state-gone", seq, oldest: state.checkpoints[0]?.seq ?? seqNum(0) });

const noBlock = (seq: SeqNum): StateMessage => ({ type: "block-part", seq, size: 0, offset: 0, bytes: new Uint8Array(0) });

async function answer(options: DonorOptions, request: Request): Promise<StateMessage> {
  if (request.type === "fetch-block") return blockOf(options, request);
  const { seq, part } = request;
  const checkpoint = options.state.checkpoints.find((kept) => kept.seq === seq);
  if (checkpoint === undefined || options.quarantined()) return gone(options, seq);
  switch (part.kind) {
    case "header": {
      const header = await headerAt(options, seq);
      const { nodes } = checkpoint;
      if (header === undefined || header.stateRoot !== checkpoint.root) return gone(options, seq);
      return { type: "state-header", header, bits: nodes.bits, top: nodes.node(Math.ceil(nodes.bits / FAN_OUT_BITS), 0).slice() };
    }
    case "nodes":
      return nodesOf(options, checkpoint, part);
    case "pages":
      return pagesOf(options, checkpoint, part);
  }
}

async function blockOf({ blocks, codec, quarantined }: DonorOptions, { seq, offset }: Extract<Request, { type: "fetch-block" }>): Promise<StateMessage> {
  const block = quarantined() ? undefined : await blocks.get(seq);
  if (block?.certificate === undefined) return noBlock(seq);
  const bytes = codec.encodeBlock(block);
  if (bytes.length > FRAME_BYTES_MAX || offset >= bytes.length) return noBlock(seq);
  return { type: "block-part", seq, size: bytes.length, offset, bytes: bytes.subarray(offset, offset + STATE_CHUNK_BYTES_MAX) };
}

const FAN_OUT_BITS = 4;

async function headerAt({ state, blocks }: DonorOptions, seq: SeqNum): Promise<BlockHeader | undefined> {
  const anchor = state.anchor?.header;
  return anchor?.seq === seq ? anchor : (await blocks.get(seq))?.header;
}

/** Levels and indexes that this tree does not have get the same answer as a checkpoint that is not here. */
function nodesOf(options: DonorOptions, { seq, nodes }: StateCheckpoint, { level, indexes }: StatePart & { kind: "nodes" }): StateMessage {
  const found: { index: number; children: Uint8Array }[] = [];
  try {
    for (const index of indexes) found.push({ index, children: nodes.children(level, index).slice() });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return gone(options, seq);
  }
  return { type: "state-nodes", seq, level, nodes: found };
}

async function pagesOf(options: DonorOptions, checkpoint: StateCheckpoint, { indexes, offset }: StatePart & { kind: "pages" }): Promise<StateMessage> {
  const { seq, nodes } = checkpoint;
  const pages: StatePage[] = [];
  let room = STATE_CHUNK_BYTES_MAX;
  for (const bucket of indexes) {
    if (bucket >= 2 ** nodes.bits) return gone(options, seq);
    let page: Uint8Array;
    try {
      page = await checkpoint.page(bucket);
    } catch (error) {
      // Two newer checkpoints came while this one was read.
      if ((error as { code?: unknown }).code === "CLOSED") return gone(options, seq);
      throw error;
    }
    if (page.length - offset > room) {
      if (pages.length === 0) pages.push({ bucket, size: page.length, offset, bytes: page.subarray(offset, offset + room) });
      break;
    }
    if (offset > page.length || (offset === page.length && offset > 0)) return gone(options, seq);
    pages.push({ bucket, size: page.length, offset, bytes: page.subarray(offset) });
    room -= page.length - offset;
  }
  return { type: "state-pages", seq, pages };
}

/** What an answer costs: its content, and something for the frame. */
function bytesOf(message: StateMessage): number {
  if (message.type === "state-pages") return message.pages.reduce((sum, { bytes }) => sum + bytes.length + 16, 64);
  if (message.type === "block-part") return message.bytes.length + 64;
  if (message.type === "state-nodes") return message.nodes.reduce((sum, { children }) => sum + children.length + 8, 64);
  return 256;
}
