/** State transfer, counted: a replica with empty disks joins whole replicas that are more than a log window ahead. */
import { defineStateMachine } from "@narses/replica/core";
import type { StateCheckpoint } from "@narses/storage";
import { TAG } from "@narses/wire";
import { transferCase, type StateShape } from "../theory.ts";
import type { Checks } from "../result.ts";
import { WholeCluster, type Frame } from "./whole-cluster.ts";

/** Every operation writes a key of its own. */
const shelf = defineStateMachine<string, null>({
  apply(key, { store }) {
    store.put(key, new Uint8Array(VALUE_BYTES));
    return null;
  },
});

const VALUE_BYTES = 64;
/** A checkpoint after every slot, and one slot more than the window, so that nobody has the first ones to give. */
const PARAMETERS = { checkpointInterval: 1, logWindow: 2, pipelineDepth: 1, statusIntervalTicks: 10, bundleOperationsMax: 4_096, batchOperationsMax: 4_096 } as const;
const SLOTS = 4;
const TICKS_MAX = 200;

export interface TransferRow {
  readonly n: number;
  readonly bits: number;
  readonly keys: number;
  readonly pages: number;
  readonly pageBytes: number;
  readonly header: number;
  readonly nodes: number;
  readonly pageMessages: number;
  readonly messages: number;
  readonly bytes: number;
  readonly staged: number;
  readonly delays: number;
}

interface Count {
  messages: number;
  bytes: number;
}

const KINDS: Readonly<Record<number, "header" | "nodes" | "pages">> = { [TAG.STATE_HEADER]: "header", [TAG.STATE_NODES]: "nodes", [TAG.STATE_PAGES]: "pages" };
/** FETCH_STATE: header 6, seq u64, then what is asked for. */
const ASKED = 14;

function kindOf({ bytes }: Frame): "header" | "nodes" | "pages" | undefined {
  const tag = bytes[1] ?? 0;
  return tag === TAG.FETCH_STATE ? (["header", "nodes", "pages"] as const)[bytes[ASKED] ?? 0] : KINDS[tag];
}

export async function transfer({ n, bits, keys }: { readonly n: number; readonly bits: number; readonly keys: number }, checks: Checks): Promise<TransferRow> {
  const cluster = new WholeCluster({ n, app: shelf, bucketBits: bits, parameters: PARAMETERS });
  try {
    const joiner = n - 1;
    for (let id = 0; id < joiner; id++) await cluster.start(id);
    for (let slot = 0; slot < SLOTS; slot++) await cluster.order(Array.from({ length: Math.ceil((keys * (slot + 1)) / SLOTS) - Math.ceil((keys * slot) / SLOTS) }, (_, i) => `key ${slot} ${i}`));
    const counts = { header: { messages: 0, bytes: 0 }, nodes: { messages: 0, bytes: 0 }, pages: { messages: 0, bytes: 0 } };
    let begun: { readonly round: number; readonly checked: number; readonly made: number } | undefined;
    cluster.onFrame = (frame) => {
      const kind = kindOf(frame);
      if (kind === undefined) return;
      if (begun === undefined) {
        const { signaturesVerified: checked, signaturesMade: made } = cluster.member(joiner).core.status().counters;
        begun = { round: cluster.round, checked, made };
      }
      const count: Count = counts[kind];
      count.messages++;
      count.bytes += frame.bytes.length;
    };
    await cluster.start(joiner);
    const before = cluster.member(joiner).state.checkpoints.at(-1);
    const status = (): ReturnType<ReturnType<WholeCluster["member"]>["core"]["status"]> => cluster.member(joiner).core.status();
    for (let ticks = 0; status().lastTransfer === null && ticks < TICKS_MAX; ) {
      if (!cluster.isQuiet) await cluster.step();
      else {
        ticks++;
        await cluster.tick();
      }
    }
    const state = await difference(cluster.member(0).state.checkpoints.at(-1), before);
    const theory = transferCase(n, state);
    const name = `n = ${n}, state transfer of ${state.differing[0] ?? 0} pages`;
    checks.equal(`${name}: taken over at the last checkpoint`, status().lastTransfer?.seq ?? 0, SLOTS);
    for (const kind of ["header", "nodes", "pages"] as const) {
      checks.equal(`${name}, ${kind}: messages`, counts[kind].messages, theory[kind].messages);
      checks.equal(`${name}, ${kind}: bytes`, counts[kind].bytes, theory[kind].bytes);
    }
    const { disk } = cluster.member(joiner);
    const { counters } = status();
    const delays = cluster.round - (begun?.round ?? 0);
    checks.equal(`${name}: message delays`, delays, theory.delays);
    checks.equal(`${name}: signatures made`, counters.signaturesMade - (begun?.made ?? 0), 0);
    checks.equal(`${name}: signatures checked`, counters.signaturesVerified - (begun?.checked ?? 0), 0);
    checks.equal(`${name}: answers made durable`, disk.staged, theory.staged);
    checks.equal(`${name}: states installed`, disk.installed, 1);
    const total = (field: keyof Count): number => counts.header[field] + counts.nodes[field] + counts.pages[field];
    return {
      n, bits, keys, pages: state.differing[0] ?? 0, pageBytes: state.pageBytes, header: counts.header.messages, nodes: counts.nodes.messages, pageMessages: counts.pages.messages,
      messages: total("messages"), bytes: total("bytes"), staged: disk.staged, delays,
    };
  } finally {
    await cluster.stop();
  }
}

/** What a donor has and a replica at genesis has not, read from their checkpoints and not from what was sent. */
async function difference(donor: StateCheckpoint | undefined, joiner: StateCheckpoint | undefined): Promise<StateShape> {
  if (donor === undefined || joiner === undefined) throw new RangeError("a replica keeps no checkpoint");
  const { bits } = donor.nodes;
  let pageBytes = 0;
  let level = new Set<number>();
  for (let bucket = 0; bucket < 2 ** bits; bucket++) {
    if (Buffer.compare(donor.nodes.node(0, bucket), joiner.nodes.node(0, bucket)) === 0) continue;
    level.add(bucket);
    pageBytes += (await donor.page(bucket)).length;
  }
  const differing = [level.size];
  for (let depth = 0; depth < Math.ceil(bits / 4); depth++) {
    level = new Set([...level].map((index) => index >>> 4));
    differing.push(level.size);
  }
  return { bits, differing, pageBytes };
}
