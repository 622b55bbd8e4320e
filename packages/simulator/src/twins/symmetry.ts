/**
 * When two states of a cluster are the same for what follows. A disk is written down as what a restart reads of it (`compact.ts`);
 * states whose disks read alike up to the following are one. Files named are those of the engine.
 *
 * Names and counts
 *  - the names of digests: only whether two are equal, and which is the null digest. What a batch holds is told by the names of its
 *    bundles, and by whether they took effect in the state on disk; every round brings a request that no disk knows;
 *  - which members signed a certificate: it is judged valid whoever they are. And the view of a decision: none is judged by it;
 *  - how often the n primaries took turns: views are told relative to the lowest a node is in, rounded down to a multiple of n;
 *  - how many checkpoints ago the log began: slots are told relative to the last but one certified checkpoint of the node that is furthest behind;
 *  - blocks that every node has executed durably: nobody can ask for them.
 *
 * What is over
 *  - the view of a proposal that is not of the view its node is in. It is never voted for again (`repeat` in recover.ts, `checkPrepared` in
 *    vote.ts), never shown (`answerSlots`, `makeStatus` in status.ts), and any later one replaces it (`accept` in pre-prepare.ts, `restoreSlot`
 *    in recover.ts): what is left of it is that the digest was voted for, and the payload;
 *  - a digest that was voted for and that nothing names which can still speak: no proposal of the view its node is in, no prepared
 *    certificate (also in a VIEW-CHANGE or an unsigned NEW-VIEW), no slot of a NEW-VIEW, no decision, of any node. A payload is given to who
 *    asks by digest (`onFetchBatch` in fetch.ts), who asks has such a name for it (`missingPayloads` in status.ts, `installProposal` in new-view.ts);
 *  - how far apart the views of old prepared certificates are. `selectProposals` in new-view.ts compares them slot by slot, with those of the
 *    same slot: which is higher, and which are equal. A certificate of view w can only still be made by nodes in w, and takes the PREPAREs
 *    of Q − 1 of them (`checkPrepared` in vote.ts); votes are in memory only, and views never fall (`ask`, `begin` in synchroniser.ts). So
 *    of views that fewer than Q − 1 replicas are in or below there are no new certificates: of the old ones only the order counts, slot by slot,
 *    and whether it is the view that the node itself is in (`repeat`, `makeStatus`);
 *  - of a NEW-VIEW, what is at or below the certified checkpoint of the node furthest behind: `installProposal` and `onStableProof` skip it;
 *  - a NEW-VIEW that everybody has installed or is beyond: it is sent to nobody (`answerView` in status.ts, `onNewView`), and all that its holder
 *    still reads of it after a restart is which slots it settled (`restoreView`), of those above its own certified checkpoint (below,
 *    `checkIdentity` in pre-prepare.ts refuses first), and the proposals in it that its log lacks (`sayAgain`).
 *
 * Which copy of a replica is the first
 *  is a name, and a round depends on it only in this: the order in which nodes are given their turns, and so in which messages arrive, goes by
 *  number (and the others answer one copy at a time, whoever asks first). No order is worth more than another, so after each round the copies are
 *  numbered anew, by what is on their disks: then two states that differ in these names only are one. Every partition of a state is
 *  still tried; the order of messages on a side, one of many in any case, follows from the state.
 *
 * What looks like a symmetry and is none: correct replicas are not interchangeable. Their numbers decide who leads which view, and whose
 * VIEW-CHANGEs a new primary picks.
 */
import type { Digest } from "@narses/core";
import type { Disk } from "../disk.ts";
import { compact } from "./compact.ts";
import { type Certificate, describe, digest, type LocalState, type Part, slot, view, type Voted } from "./local.ts";

/** A number for each distinct state of each node: two disks with one number are read alike, name by name. */
export type LocalId = number;

/** What a cluster's size and parameters say. */
export interface SymmetryOptions {
  readonly n: number;
  /** Replicas 0 … twinned − 1 exist twice: the second copies are nodes n … n + twinned − 1. */
  readonly twinned: number;
  /** PREPAREs in a certificate, Q − 1. */
  readonly prepares: number;
  readonly checkpointInterval: number;
}

/** What is asked of the whole state before any of its disks is written down. */
interface Frame {
  /** Views are told from here. */
  readonly views: number;
  /** Slots are told from here. */
  readonly slots: number;
  /** Blocks below nobody needs. */
  readonly needed: number;
  /** The certified checkpoint of the node furthest behind. */
  readonly low: number;
  /** Of views below there are no new certificates. */
  readonly closed: number;
  /** NEW-VIEWs of views below are of use to nobody else. */
  readonly entered: number;
}

export interface Canonical {
  readonly locals: readonly LocalId[];
  readonly key: string;
  /** Bit i: what was the first copy of replica i is the second now. */
  readonly swapped: number;
}

interface Skeleton {
  readonly id: number;
  readonly digests: readonly Digest[];
}

/** Exchanges the copies of the replicas whose bits are set, in a list by node. */
export function swapCopies<T>(nodes: readonly T[], swapped: number, n: number): readonly T[] {
  const out = [...nodes];
  for (let id = 0; id + n < nodes.length; id++) if (((swapped >> id) & 1) === 1) [out[id], out[id + n]] = [nodes[id + n] as T, nodes[id] as T];
  return out;
}

export class Symmetry {
  private readonly options: SymmetryOptions;
  private readonly locals: LocalState[] = [];
  private readonly ids = new Map<string, LocalId>();
  private readonly skeletons = new Map<string, Skeleton>();
  private readonly skeletonIds = new Map<string, number>();

  constructor(options: SymmetryOptions) {
    this.options = options;
  }

  get size(): number {
    return this.locals.length;
  }

  local(id: LocalId): LocalState {
    return this.locals[id] as LocalState;
  }

  /** Takes a disk of a node in. It is compacted, and stands for all of its replica that read alike. */
  intern(index: number, disk: Disk): LocalId {
    const local = describe(compact(disk));
    const text = `${index % this.options.n}|${local.text}`;
    let id = this.ids.get(text);
    if (id === undefined) {
      this.ids.set(text, (id = this.locals.length));
      this.locals.push(local);
    }
    return id;
  }

  /** The state with its copies in an order of their own, and its key. */
  canonical(state: readonly LocalId[]): Canonical {
    let best: Canonical = { locals: state, key: this.keyOf(state), swapped: 0 };
    for (let swapped = 1; swapped < 2 ** this.options.twinned; swapped++) {
      const locals = swapCopies(state, swapped, this.options.n);
      const key = this.keyOf(locals);
      if (key < best.key) best = { locals, key, swapped };
    }
    return best;
  }

  /** To be called between two rounds: what is kept of the states of one is of little use in the next. */
  forget(): void {
    this.skeletons.clear();
  }

  /** Equal for states that are the same for what follows. */
  keyOf(state: readonly LocalId[]): string {
    const locals = state.map((id) => this.local(id));
    const frame = this.frameOf(locals);
    const skeletons = state.map((id, i) => this.skeleton(id, locals[i] as LocalState, frame));
    const names = new Map<Digest, number>();
    let out = "";
    for (const { id, digests } of skeletons) {
      out += `${id}:`;
      for (const one of digests) out += `${nameOf(names, one)},`;
    }
    const named = names.size;
    const orders = ordersOf(locals, frame.closed);
    for (const { certificates, voted } of locals) {
      out += "|";
      for (const { seq, view: of } of certificates) if (of < frame.closed) out += `${orders.get(seq)?.indexOf(of)},`;
      for (const one of spoken(voted, names, named)) {
        out += `;${one.seq - frame.slots}${one.open}${nameOf(names, one.digest)}`;
        for (const bundle of one.bundles) out += `,${nameOf(names, bundle)}`;
      }
    }
    return out;
  }

  private frameOf(locals: readonly LocalState[]): Frame {
    const { n, prepares, checkpointInterval } = this.options;
    const low = Math.min(...locals.map((local) => local.stableSeq));
    const lowest = Math.min(...locals.map((local) => local.view));
    return {
      views: Math.floor(lowest / n) * n, low,
      // Genesis is a checkpoint of its own kind (it needs no proof): the first certified one stands for all later ones.
      slots: low > checkpointInterval ? low - (low % checkpointInterval) - checkpointInterval : 0,
      needed: Math.min(...locals.map(({ disk }) => disk.snapshot.seq)) + 1,
      closed: closedBelow(locals, n, prepares),
      entered: Math.min(...locals.map((local) => (local.active ? local.view + 1 : local.view))),
    };
  }

  /** The text of a local state without its digests, as a number, and its digests in their order. What was voted for, and the order of old certificates, come extra. */
  private skeleton(id: LocalId, local: LocalState, { views, slots, needed, low, closed, entered }: Frame): Skeleton {
    const key = `${id}|${views}|${slots}|${needed}|${low}|${closed}|${entered}`;
    let found = this.skeletons.get(key);
    if (found !== undefined) return found;
    const digests: Digest[] = [];
    const word = (part: Part): string => {
      if (typeof part === "string") return part;
      if (part.mark === "view") return `v${Number(part.value) - views}`;
      if (part.mark === "slot") return `n${Number(part.value) - slots}`;
      digests.push(part.value as Digest);
      return "d";
    };
    const words = local.parts.map(word);
    for (const part of newViewParts(local, low, entered)) words.push(word(part));
    for (const certificate of local.certificates) words.push(...certificateParts(local, certificate, closed).map(word));
    const shape = `${Math.max(local.blocksFrom, needed) - slots}|${words.join(" ")}`;
    let number = this.skeletonIds.get(shape);
    if (number === undefined) this.skeletonIds.set(shape, (number = this.skeletonIds.size));
    this.skeletons.set(key, (found = { id: number, digests }));
    return found;
  }
}

/** Digests get names in the order in which they are met. */
function nameOf(names: Map<Digest, number>, one: Digest): number {
  let name = names.get(one);
  if (name === undefined) names.set(one, (name = names.size));
  return name;
}

/** What was voted for under one of the first `named` names, in the order of slots and names. */
function spoken(voted: readonly Voted[], names: ReadonlyMap<Digest, number>, named: number): readonly Voted[] {
  const found = voted.filter((one) => (names.get(one.digest) ?? named) < named);
  return found.length < 2 ? found : found.sort((a, b) => a.seq - b.seq || (names.get(a.digest) ?? 0) - (names.get(b.digest) ?? 0));
}

/** The lowest view that Q − 1 replicas are in or below. Of a replica that exists twice the copy that is further behind counts. */
function closedBelow(locals: readonly LocalState[], n: number, prepares: number): number {
  const byReplica: number[] = [];
  for (const [index, local] of locals.entries()) byReplica[index % n] = Math.min(byReplica[index % n] ?? local.view, local.view);
  return byReplica.sort((a, b) => a - b)[Math.max(1, prepares) - 1] ?? 0;
}

/** By slot, the views of the certificates that are of views below `closed`, ascending. */
function ordersOf(locals: readonly LocalState[], closed: number): ReadonlyMap<number, readonly number[]> {
  const orders = new Map<number, number[]>();
  for (const { certificates } of locals) {
    for (const { seq, view: of } of certificates) {
      if (of >= closed) continue;
      const held = orders.get(seq);
      if (held === undefined) orders.set(seq, [of]);
      else if (!held.includes(of)) held.push(of);
    }
  }
  for (const views of orders.values()) views.sort((a, b) => a - b);
  return orders;
}

function newViewParts({ carried, settled, stableSeq, view: of, active, fresh }: LocalState, low: number, entered: number): Part[] {
  if (!active || fresh) return [];
  const useful = of >= entered;
  const floor = useful ? low : stableSeq;
  const parts: Part[] = ["settled", slot(Math.max(settled, floor))];
  for (const one of carried) if (one.seq > floor && (useful || one.lacks)) parts.push(slot(one.seq), digest(one.digest));
  return parts;
}

function certificateParts(local: LocalState, { where, seq, view: of, digest: named }: Certificate, closed: number): Part[] {
  const when = of >= closed ? view(of) : of === local.view ? "now" : "old";
  return [where, slot(seq), when, digest(named)];
}
