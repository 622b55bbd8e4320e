/**
 * When two states of a cluster are the same for what follows: a text, equal for both. Left out is what no replica's behaviour depends on:
 * the names of digests (only whether two are equal), which members signed a certificate (only that it is one), how often the n primaries
 * took turns, how many checkpoints ago the log began, and which of two twins is which.
 */
import type { Digest } from "@narses/core";
import type { Disk } from "../disk.ts";
import { formatRecord } from "../format.ts";
import { hashText } from "../hash.ts";
import type { Disks, TwinsShape } from "./cluster.ts";

/** Everything in a record that the text below keeps, with digests by name. */
function diskText(disk: Disk, name: (digest: Digest) => string): string {
  // Blocks above the snapshot are made again from the log; the order of records is that of the log.
  const lines = disk.records.map((record) => formatRecord(record, name).replace(/ ?\[[\d,;]*\]/g, "").replace(/ V\{[\d,]*\}/g, ""));
  return `state n${disk.snapshot.seq} ${name(disk.snapshot.head)}\n${lines.join("\n")}`;
}

function lowest(disks: Disks, pattern: RegExp, of: (disk: Disk) => string): number {
  let low = Number.MAX_SAFE_INTEGER;
  for (const disk of disks) {
    let own = -1;
    for (const match of of(disk).matchAll(pattern)) own = Math.max(own, Number(match[1]));
    low = Math.min(low, Math.max(0, own));
  }
  return low;
}

function shift(text: string, views: number, slots: number): string {
  return text.replace(/\bv(\d+)/g, (_, v: string) => `v${Number(v) - views}`).replace(/\b([nh])(\d+)/g, (_, mark: string, n: string) => `${mark}${Number(n) - slots}`);
}

/** @param checkpointInterval K: positions in the log are told apart modulo K only, once all have a certified checkpoint. */
export function textOf(shape: TwinsShape, disks: Disks, checkpointInterval: number): string {
  const raw = (disk: Disk): string => diskText(disk, String);
  const views = Math.floor(lowest(disks, /\bv(\d+)/g, raw) / shape.n) * shape.n;
  const certified = disks.map((disk) => disk.records.reduce((seq, record) => (record.type === "stable" ? Math.max(seq, record.stable.seq) : seq), 0));
  const low = Math.min(...certified);
  // Genesis is a checkpoint of its own kind (it needs no proof): the first certified one stands for all later ones.
  const slots = low > checkpointInterval ? Math.floor(low / checkpointInterval) * checkpointInterval - checkpointInterval : 0;
  const ordered = (order: readonly number[]): string => {
    const names = new Map<Digest, string>();
    const name = (digest: Digest): string => {
      let held = names.get(digest);
      if (held === undefined) names.set(digest, (held = `d${names.size}d`));
      return held;
    };
    return hashText(order.map((index) => shift(diskText(disks[index] as Disk, name), views, slots)).join("\n\n"));
  };
  const straight = disks.map((_, i) => i);
  const swapped = straight.map((i) => (i < shape.twinned ? shape.n + i : i >= shape.n ? i - shape.n : i));
  const [a, b] = [ordered(straight), ordered(swapped)];
  return a < b ? a : b;
}
