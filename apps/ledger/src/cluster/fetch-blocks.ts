/** Blocks from one replica, as bytes. What they claim is checked by whoever verifies them. */
import { setImmediate as turn } from "node:timers/promises";
import type { Client } from "@narses/client";
import { NarsesError, type Digest } from "@narses/core";
import { hasher } from "@narses/crypto";
import { blockHash, type Codec } from "@narses/wire";
import * as z from "zod";
import { CommandError, EXIT } from "../cli/failure.ts";

/** Blocks asked for before the first answer: hides the round trip, and bounds what waits in memory. */
const READ_AHEAD = 8;
/** Times a block is asked for: a replica, or this process, may be busy for longer than an answer may take. */
const TRIES = 3;
/** Of what a replica says for itself. */
const REASON_LENGTH_MAX = 400;

export interface Head {
  readonly seq: number;
  readonly block: string;
  readonly stateRoot: string;
}

const HEAD: z.ZodType<Head> = z.object({ seq: z.int().min(0), block: z.string().regex(/^[0-9a-f]{64}$/), stateRoot: z.string() });

/** Where a replica says it is. */
export const fetchHead = async (client: Client, replica: number): Promise<Head> => HEAD.parse(await client.call(replica, "head"));

/** What a replica says about blocks that it does not have yet, as a failure of its own: another replica has them. */
function lacking(error: unknown, replica: number, seq: number): unknown {
  if (!(error instanceof NarsesError) || error.code !== "CALL_FAILED") return error;
  const { code, message } = (error.data["answer"] ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  if (code !== "BLOCKS_MISSING" || typeof message !== "string") return error;
  const why = `replica ${replica} does not have block ${seq}: ${message.slice(0, REASON_LENGTH_MAX)} (--from-replica)`;
  return new CommandError("BLOCKS_MISSING", EXIT.unreachable, why, { replica, seq });
}

async function ask(client: Client, replica: number, seq: number): Promise<unknown> {
  for (let tries = 1; ; tries++) {
    try {
      return await client.call(replica, "block", { seq });
    } catch (error) {
      if (!(error instanceof NarsesError && error.code === "TIMEOUT") || tries === TRIES) throw error;
    }
  }
}

/** @throws CommandError BLOCKS_MISSING when the replica took over a state and has not fetched the blocks before it yet. */
async function blockBytes(client: Client, replica: number, seq: number): Promise<Uint8Array> {
  const answer = await ask(client, replica, seq).catch((error: unknown) => {
    throw lacking(error, replica, seq);
  });
  if (!(answer instanceof Uint8Array)) throw new TypeError(`replica ${replica} answered "block" with something else than bytes`);
  return answer;
}

/** One block, and its hash as computed here. */
export async function fetchBlock(
  client: Client,
  replica: number,
  seq: number,
  codec: Codec,
): Promise<{ readonly bytes: Uint8Array; readonly hash: Digest }> {
  const bytes = await blockBytes(client, replica, seq);
  return { bytes, hash: blockHash(hasher, codec.decodeBlock(bytes).header) };
}

/** Blocks first … last in order, a few requests ahead of the reader. */
export async function* fetchBlocks(
  client: Client,
  range: { readonly replica: number; readonly first: number; readonly last: number },
): AsyncGenerator<Uint8Array> {
  const { replica, first, last } = range;
  const waiting: Promise<Uint8Array>[] = [];
  for (let seq = first; seq <= last + READ_AHEAD; seq++) {
    if (seq <= last) {
      const bytes = blockBytes(client, replica, seq);
      bytes.catch(() => undefined); // awaited in order, below; one that fails meanwhile must not end the process
      waiting.push(bytes);
    }
    if (seq < first + READ_AHEAD && seq < last) continue;
    const next = waiting.shift();
    if (next === undefined) return;
    await turn(); // whoever verifies may be busy for long without one, and answers that wait unread count as missing
    yield await next;
  }
}
