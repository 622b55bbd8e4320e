/** What replicas say of themselves. Their word is not certified: it is for people, and compared among replicas. */
import type { Client } from "@narses/client";
import { NarsesError } from "@narses/core";
import type { NetworkClientTransport } from "@narses/network";
import * as z from "zod";

/** The part of a replica's status that the ledger shows. */
export interface ReplicaState {
  readonly view: number;
  readonly active: boolean;
  readonly primary: number;
  /** Last block executed. */
  readonly seq: number;
  readonly stableSeq: number;
  readonly stateRoot: string;
  readonly block: string;
  readonly uptimeMs: number;
  readonly halted: string | undefined;
  /** Why it does not vote, if it does not. */
  readonly silence: { readonly cause: string; readonly reason: string } | undefined;
  /** The state it fetches from the others, if it does. */
  readonly transfer: ReplicaTransfer | undefined;
  /** The last one that it fetched. */
  readonly lastTransfer: ReplicaLastTransfer | undefined;
}

export interface ReplicaTransfer {
  readonly reason: string;
  readonly seq: number;
  readonly phase: string;
  readonly pagesTotal: number;
  readonly pagesHere: number;
}

export interface ReplicaLastTransfer {
  readonly reason: string;
  readonly seq: number;
  readonly pages: number;
  readonly difference: { readonly key: string | null } | null;
}

export interface ReplicaReport {
  readonly replica: number;
  readonly status: ReplicaState | undefined;
  /** Why there is no status. */
  readonly problem: string | undefined;
}

const number = z.int().min(0);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
// Not strict: a newer replica may say more.
const SCHEMA = z.object({
  uptimeMs: z.number(),
  engine: z.object({ view: number, active: z.boolean(), primary: number, stableSeq: number, silence: z.object({ cause: z.string(), reason: z.string() }).optional() }),
  head: z.object({ seq: number, block: hash, stateRoot: hash }),
  halted: z.string().nullable(),
  transfer: z.object({ reason: z.string(), seq: number, phase: z.string(), pagesTotal: number, pagesHere: number }).nullish(),
  lastTransfer: z
    .object({ reason: z.string(), seq: number, pages: number, difference: z.object({ key: z.string().nullable() }).nullable() })
    .nullish(),
});

/** @throws when the replica does not answer, or with something else than a status. */
export async function replicaState(client: Client, replica: number): Promise<ReplicaState> {
  const { engine, head, halted, uptimeMs, transfer, lastTransfer } = SCHEMA.parse(await client.call(replica, "status"));
  return { ...engine, silence: engine.silence, ...head, uptimeMs, halted: halted ?? undefined, transfer: transfer ?? undefined, lastTransfer: lastTransfer ?? undefined };
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Why a replica gave no answer: what the network knows of it, else whether it took the connection. */
export function whyUnanswered(error: unknown, problem: string | undefined): string {
  if (problem !== undefined) return problem;
  const code = error instanceof NarsesError ? error.code : undefined;
  const advice = "its process may hang (paused, swapping, a blocked disk). Killed and started again it loses nothing";
  if (code === "NOT_CONNECTED") return `it takes the connection and says nothing: ${advice}`;
  if (code === "TIMEOUT") return `it is connected and does not answer: ${advice}`;
  return error instanceof Error ? error.message : String(error);
}

/** Asks all replicas; those not connected yet get `stragglersMs` to come. In order of id. */
export async function collectReports(
  { client, transport }: { readonly client: Client; readonly transport: NetworkClientTransport },
  stragglersMs: number,
): Promise<readonly ReplicaReport[]> {
  const replicas = transport.peers().map((peer) => Number(peer.replica));
  const deadline = Date.now() + stragglersMs;
  while (client.status().missing.length > 0 && Date.now() < deadline) await delay(50);
  const results = await Promise.allSettled(replicas.map((replica) => replicaState(client, replica)));
  return results.map((result, i) => {
    const replica = replicas[i] ?? i;
    if (result.status === "fulfilled") return { replica, status: result.value, problem: undefined };
    return { replica, status: undefined, problem: whyUnanswered(result.reason, transport.peers()[replica]?.problem) };
  });
}
