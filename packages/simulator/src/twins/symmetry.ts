/**
 * When two states of a cluster are the same for what follows. A disk is written down as what a restart reads of it (`compact.ts`);
 * states whose disks read alike up to the following are one:
 *  - the names of digests: only whether two are equal, and which is the null digest. What a batch holds is told by the names of its
 *    bundles, and by whether they took effect in the state on disk; every round brings a request that no disk knows;
 *  - which members signed a certificate: it is judged valid whoever they are. And the view of a decision: none is judged by it;
 *  - how often the n primaries took turns: views are told relative to the lowest a node is in, rounded down to a multiple of n;
 *  - how many checkpoints ago the log began: slots are told relative to the last but one certified checkpoint of the node that is furthest behind;
 *  - blocks that every node has executed durably: nobody can ask for them.
 * What looks like a symmetry and is none: correct replicas are not interchangeable (their numbers decide who leads which view, and whose
 * VIEW-CHANGEs a new primary picks), and neither are twins (the others answer one of them at a time, whoever asks first).
 */
import { type Digest, NULL_DIGEST, type Batch, type PreparedCertificate, type StableCheckpoint } from "@narses/core";
import { isObsolete, type State } from "../app.ts";
import type { Disk } from "../disk.ts";
import { compact, type Essence, essenceOf, type SlotRecords } from "./compact.ts";

type Mark = "view" | "slot" | "digest";
type Part = string | { readonly mark: Mark; readonly value: number | Digest };

const view = (value: number): Part => ({ mark: "view", value });
const slot = (value: number): Part => ({ mark: "slot", value });
const digest = (value: Digest): Part => (value === NULL_DIGEST ? "null" : { mark: "digest", value });

const stableParts = ({ seq, root }: StableCheckpoint): Part[] => ["stable", slot(seq), ...(seq === 0 ? [] : [digest(root)])];
const preparedParts = ({ prePrepare: { body } }: PreparedCertificate): Part[] => ["prepared", view(body.view), slot(body.seq), digest(body.digest)];

/** A payload, or none: its bundles, and which of them the state on disk has executed. */
function batchParts(batch: Batch | undefined, state: State): Part[] {
  if (batch === undefined) return ["-"];
  return ["(", ...batch.bundles.flatMap((bundle) => [isObsolete(state, bundle) ? "done" : "open", digest(bundle.digest)]), ")"];
}

function viewParts({ left, entered }: Essence): Part[] {
  if (left !== undefined) return ["left", view(left.view), ...stableParts(left.stable), ...left.prepared.flatMap(preparedParts)];
  if (entered === undefined) return ["fresh"];
  const { signed, viewChanges } = entered;
  // Signed, V has done its work: what it called for is O, and the checkpoint that O begins at. Unsigned, O is still to be made of V.
  const proposals: Part[] = signed === undefined
    ? ["unsigned", ...viewChanges.flatMap(({ body }) => [String(body.sender), ...stableParts(body.stable), ...body.prepared.flatMap(preparedParts)])]
    : signed.body.prePrepares.flatMap(({ body }) => [slot(body.seq), digest(body.digest)]);
  const settled = Math.max(...viewChanges.map(({ body }) => body.stable.seq), ...(signed?.body.prePrepares ?? []).map(({ body }) => body.seq));
  return ["entered", view(entered.view), slot(settled), ...proposals];
}

function slotParts({ seq, proposals, voted, prepared, committed, vouched }: SlotRecords, state: State): Part[] {
  const parts: Part[] = [";", slot(seq)];
  for (const record of voted) parts.push("voted", digest(record.digest), ...batchParts(record.batch, state));
  for (const record of proposals) parts.push("proposal", view(record.view), digest(record.digest), record.signed === undefined ? "own" : "", ...batchParts(record.batch, state));
  if (prepared !== undefined) parts.push(...preparedParts(prepared.certificate));
  if (committed !== undefined) parts.push("committed", digest(committed.certificate.digest), ...batchParts(committed.batch, state));
  for (const { root } of vouched) parts.push("vouched", digest(root));
  return parts;
}

/** A disk of a node, once: everything that is asked of it again and again. */
export interface LocalState {
  readonly disk: Disk;
  readonly parts: readonly Part[];
  /** The view it comes back in. */
  readonly view: number;
  /** Its certified checkpoint. */
  readonly stableSeq: number;
  /** Every block from this one to the state on disk is there. */
  readonly blocksFrom: number;
}

function describe(disk: Disk): LocalState {
  const essence = essenceOf(disk.records);
  const { snapshot, blocks } = disk;
  const parts: Part[] = ["state", slot(snapshot.seq)];
  if (snapshot.seq > 0) parts.push(digest(snapshot.head));
  if (essence.stable !== undefined) parts.push(...stableParts(essence.stable.stable));
  parts.push(...viewParts(essence), ...essence.slots.flatMap((records) => slotParts(records, snapshot)));
  let blocksFrom = snapshot.seq + 1;
  while (blocksFrom > 1 && blocks[blocksFrom - 1] !== undefined) blocksFrom--;
  return { disk, parts, view: essence.left?.view ?? essence.entered?.view ?? 0, stableSeq: essence.stable?.stable.seq ?? 0, blocksFrom };
}

/** A number for each distinct state of each node: two disks with one number are read alike, name by name. */
export type LocalId = number;

interface Skeleton {
  readonly id: number;
  readonly digests: readonly Digest[];
}

export class Symmetry {
  private readonly n: number;
  private readonly checkpointInterval: number;
  private readonly locals: LocalState[] = [];
  private readonly ids = new Map<string, LocalId>();
  private readonly skeletons = new Map<string, Skeleton>();
  private readonly skeletonIds = new Map<string, number>();

  constructor(n: number, checkpointInterval: number) {
    this.n = n;
    this.checkpointInterval = checkpointInterval;
  }

  get size(): number {
    return this.locals.length;
  }

  local(id: LocalId): LocalState {
    return this.locals[id] as LocalState;
  }

  /** Takes a disk of a node in. It is compacted, and stands for all that read alike. */
  intern(index: number, disk: Disk): LocalId {
    const local = describe(compact(disk));
    const text = `${index}|${local.blocksFrom}|${local.parts.map((part) => (typeof part === "string" ? part : `${part.mark}${part.value}`)).join(" ")}`;
    let id = this.ids.get(text);
    if (id === undefined) {
      this.ids.set(text, (id = this.locals.length));
      this.locals.push(local);
    }
    return id;
  }

  /** Equal for states that are the same for what follows. */
  keyOf(state: readonly LocalId[]): string {
    const locals = state.map((id) => this.local(id));
    const views = Math.floor(Math.min(...locals.map((local) => local.view)) / this.n) * this.n;
    const low = Math.min(...locals.map((local) => local.stableSeq));
    // Genesis is a checkpoint of its own kind (it needs no proof): the first certified one stands for all later ones.
    const slots = low > this.checkpointInterval ? low - (low % this.checkpointInterval) - this.checkpointInterval : 0;
    const needed = Math.min(...locals.map(({ disk }) => disk.snapshot.seq)) + 1;
    return text(state.map((id) => this.skeleton(id, views, slots, needed)));
  }

  /** The text of a local state without its digests, as a number, and its digests in their order. */
  private skeleton(id: LocalId, views: number, slots: number, needed: number): Skeleton {
    const key = `${id}|${views}|${slots}|${needed}`;
    let found = this.skeletons.get(key);
    if (found !== undefined) return found;
    const { parts, blocksFrom } = this.local(id);
    const digests: Digest[] = [];
    const words = parts.map((part) => {
      if (typeof part === "string") return part;
      if (part.mark === "view") return `v${Number(part.value) - views}`;
      if (part.mark === "slot") return `n${Number(part.value) - slots}`;
      digests.push(part.value as Digest);
      return "d";
    });
    const shape = `${Math.max(blocksFrom, needed) - slots}|${words.join(" ")}`;
    let number = this.skeletonIds.get(shape);
    if (number === undefined) this.skeletonIds.set(shape, (number = this.skeletonIds.size));
    this.skeletons.set(key, (found = { id: number, digests }));
    return found;
  }
}

/** Digests get names in the order in which they are met. */
function text(skeletons: readonly Skeleton[]): string {
  const names = new Map<Digest, number>();
  let out = "";
  for (const { id, digests } of skeletons) {
    out += `${id}:`;
    for (const one of digests) {
      let name = names.get(one);
      if (name === undefined) names.set(one, (name = names.size));
      out += `${name},`;
    }
  }
  return out;
}
