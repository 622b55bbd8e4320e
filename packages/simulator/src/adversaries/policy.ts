/**
 * A Byzantine replica is a correct engine whose messages pass through policies: each may drop, alter, redirect or add. A
 * policy signs with its own key only, and may repeat whatever it has seen.
 */
import type { Bundle, EngineConfig, EngineStatus, PeerMessage, ReplicaId, Signer, StateMessage } from "@narses/core";
import { replicaId } from "@narses/core";
import type { Toolkit } from "../keyring.ts";
import type { Random } from "../random.ts";
import type { Conspiracy } from "./conspiracy.ts";

export interface Outgoing {
  readonly to: ReplicaId;
  readonly message: PeerMessage;
}

export interface Powers {
  readonly self: ReplicaId;
  readonly config: EngineConfig;
  readonly random: Random;
  readonly signer: Signer;
  readonly toolkit: Toolkit;
  /** Of the engine inside; undefined while it is down. */
  status(): EngineStatus | undefined;
  /** The correct replicas that are up: for a liar that sees everything. */
  observe(): readonly { readonly id: ReplicaId; readonly status: EngineStatus }[];
  /** Client bundles seen so far: the only operations it can propose. */
  readonly bundles: readonly Bundle[];
  readonly conspiracy: Conspiracy;
}

export interface Policy {
  readonly name: string;
  /** What is really sent in place of one message. */
  outgoing?(out: Outgoing): readonly Outgoing[];
  /** Sees every verified message that arrives; false hides it from the engine inside. */
  incoming?(from: ReplicaId, message: PeerMessage): boolean;
  /** What is really sent in place of one message between shells. Whole replicas only. */
  state?(to: ReplicaId, message: StateMessage): readonly StateMessage[];
  /** Unprovoked messages, once per tick. They pass through every policy's `outgoing` like others. */
  tick?(): readonly Outgoing[];
  /** After the messages of `tick` have gone. */
  ticked?(): void;
}

export type PolicyFactory = (powers: Powers) => Policy;

export const othersOf = ({ self, config }: Powers): readonly ReplicaId[] =>
  Array.from({ length: config.quorums.n }, (_, id) => replicaId(id)).filter((id) => id !== self);

/** One message to every other replica. */
export const toAll = (powers: Powers, message: PeerMessage): readonly Outgoing[] => othersOf(powers).map((to) => ({ to, message }));

/** A random non-empty, proper (where possible) subset of the others, chosen once. */
export function randomSide(powers: Powers): ReadonlySet<ReplicaId> {
  const others = powers.random.shuffle(othersOf(powers));
  return new Set(others.slice(0, Math.max(1, powers.random.int(1, Math.max(1, others.length - 1)))));
}
