/** Who takes part: the replicas, and a second copy of some of them under the same key. */
import { type LogRecord, type ReplicaId, replicaId } from "@narses/core";
import { Disk } from "../disk.ts";

export interface TwinsShape {
  readonly n: number;
  /** Replicas 0 … twinned − 1 exist twice. */
  readonly twinned: number;
  /** To see that the search notices. */
  readonly bug?: SeededBug;
}

export interface SeededBug {
  /** Votes that the engines take for a quorum, in the place of Q. */
  readonly quorum?: number;
  /** What every disk has lost whenever its node starts. */
  readonly forgets?: readonly LogRecord["type"][];
}

export interface Node {
  readonly index: number;
  readonly id: ReplicaId;
  readonly name: string;
  readonly twin: boolean;
}

/** Nodes 0 … n − 1 are the replicas, the rest the second copies of the first ones. */
export function nodesOf({ n, twinned }: TwinsShape): readonly Node[] {
  return Array.from({ length: n + twinned }, (_, index) => {
    const id = index % n;
    return { index, id: replicaId(id), name: id < twinned ? `r${id}${index < n ? "a" : "b"}` : `r${id}`, twin: id < twinned };
  });
}

/** The disks of all nodes, by index: the whole state between rounds. */
export type Disks = readonly Disk[];

export const freshDisks = (shape: TwinsShape): Disks => nodesOf(shape).map(() => new Disk());
