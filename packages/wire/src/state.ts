/**
 * Frames of state transfer, all unsigned:
 *
 *   FETCH_STATE   header, seq u64, kind u8 (0 header | 1 nodes: level u8, count u16, index u32 × count
 *                 | 2 pages: offset u32, count u16, bucket u32 × count)
 *   STATE_HEADER  header, block header, bits u8, top 32
 *   STATE_NODES   header, seq u64, level u8, count u16, then per node: index u32, count u8, hashes 32 × count
 *   STATE_PAGES   header, seq u64, count u16, then per page: bucket u32, size u32, offset u32, length u32, bytes
 *   STATE_GONE    header, seq u64, oldest u64
 *   FETCH_BLOCK   header, seq u64, offset u32
 *   BLOCK_PART    header, seq u64, size u32, offset u32, bytes to the end; size 0: the block is not here
 *
 * Indexes ascend strictly. A part of a page (length < size) is alone in its frame, and what asks for one names one bucket. A part
 * goes to the end of the page or fills a chunk: a page comes in at most STATE_PAGE_BYTES_MAX / STATE_CHUNK_BYTES_MAX parts. Likewise a block.
 */
import {
  assertNever, FRAME_BYTES_MAX, NODES_PER_FETCH_MAX, PAGES_PER_FETCH_MAX, STATE_BITS_MAX, STATE_CHUNK_BYTES_MAX, STATE_PAGE_BYTES_MAX,
  type StateMessage, type StatePage, type StatePart,
} from "@narses/core";
import { readBlockHeader, writeBlockHeader } from "./block-header.ts";
import { writeHeader, type Context } from "./context.ts";
import { DIGEST_BYTES, STATE_FAN_OUT, STATE_LEVEL_MAX, STATE_NODE_HEADER_BYTES, STATE_PAGE_HEADER_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import type { Writer } from "./writer.ts";

const KINDS = ["header", "nodes", "pages"] as const;
const INDEXES = 2 ** STATE_BITS_MAX;

// ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

function writeIndexes(w: Writer, indexes: readonly number[]): void {
  w.u16(indexes.length);
  for (const index of indexes) w.u32(index);
}

function writePart(w: Writer, part: StatePart): void {
  w.u8(KINDS.indexOf(part.kind));
  if (part.kind === "header") return;
  if (part.kind === "nodes") w.u8(part.level);
  else w.u32(part.offset);
  writeIndexes(w, part.indexes);
}

export function writeState(w: Writer, c: Context, m: StateMessage): void {
  switch (m.type) {
    case "fetch-state":
      writeHeader(w, TAG.FETCH_STATE, c.epoch);
      w.u64(m.seq);
      return writePart(w, m.part);
    case "state-header":
      writeHeader(w, TAG.STATE_HEADER, c.epoch);
      writeBlockHeader(w, m.header);
      w.u8(m.bits);
      return w.fixed("the top of a state tree", m.top, DIGEST_BYTES);
    case "state-nodes":
      writeHeader(w, TAG.STATE_NODES, c.epoch);
      w.u64(m.seq);
      w.u8(m.level);
      w.u16(m.nodes.length);
      for (const { index, children } of m.nodes) {
        w.u32(index);
        w.u8(children.length / DIGEST_BYTES);
        w.raw(children);
      }
      return;
    case "state-pages":
      writeHeader(w, TAG.STATE_PAGES, c.epoch);
      w.u64(m.seq);
      w.u16(m.pages.length);
      for (const { bucket, size, offset, bytes } of m.pages) {
        for (const field of [bucket, size, offset, bytes.length]) w.u32(field);
        w.raw(bytes);
      }
      return;
    case "state-gone":
      writeHeader(w, TAG.STATE_GONE, c.epoch);
      w.u64(m.seq);
      return w.u64(m.oldest);
    case "fetch-block":
      writeHeader(w, TAG.FETCH_BLOCK, c.epoch);
      w.u64(m.seq);
      return w.u32(m.offset);
    case "block-part":
      writeHeader(w, TAG.BLOCK_PART, c.epoch);
      w.u64(m.seq);
      w.u32(m.size);
      w.u32(m.offset);
      return w.raw(m.bytes);
    default:
      return assertNever(m);
  }
}

// ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** An index above the one before it (−1 at first) and inside the largest tree. */
function readIndex(r: Reader, field: string, previous: number): number {
  const index = r.u32(field);
  if (index >= INDEXES) r.fail(field, `${index}, must be below ${INDEXES}`);
  if (index <= previous) r.fail(field, `${index} after ${previous}, must ascend`);
  return index;
}

function readCount(r: Reader, field: string, max: number, bytesEach: number): number {
  const count = r.count(field, r.u16(field), max, bytesEach);
  if (count === 0) r.fail(field, "0, at least 1");
  return count;
}

function readIndexes(r: Reader, field: string, max: number): readonly number[] {
  const count = readCount(r, `${field} count`, max, 4);
  const indexes: number[] = [];
  for (let i = 0; i < count; i++) indexes.push(readIndex(r, field, indexes.at(-1) ?? -1));
  return indexes;
}

function readLevel(r: Reader, field: string): number {
  const level = r.u8(field);
  if (level < 1 || level > STATE_LEVEL_MAX) r.fail(field, `${level}, must be from 1 to ${STATE_LEVEL_MAX}`);
  return level;
}

function readPart(r: Reader): StatePart {
  const tag = r.u8("fetch-state kind");
  const kind = KINDS[tag] ?? r.fail("fetch-state kind", `${tag}, must be below ${KINDS.length}`);
  switch (kind) {
    case "header":
      return { kind };
    case "nodes":
      return { kind, level: readLevel(r, "fetch-state level"), indexes: readIndexes(r, "fetch-state nodes", NODES_PER_FETCH_MAX) };
    case "pages": {
      const offset = r.u32("fetch-state offset");
      if (offset >= STATE_PAGE_BYTES_MAX) r.fail("fetch-state offset", `${offset}, must be below ${STATE_PAGE_BYTES_MAX}`);
      const indexes = readIndexes(r, "fetch-state pages", PAGES_PER_FETCH_MAX);
      if (offset > 0 && indexes.length > 1) r.fail("fetch-state pages", `${indexes.length} with an offset, must be 1`);
      return { kind, indexes, offset };
    }
  }
}

export const readFetchState = (r: Reader): StateMessage => ({ type: "fetch-state", seq: r.seq64("fetch-state seq", 1), part: readPart(r) });

export function readStateHeader(r: Reader): StateMessage {
  const header = readBlockHeader(r);
  const bits = r.u8("state-header bits");
  if (bits < 1 || bits > STATE_BITS_MAX) r.fail("state-header bits", `${bits}, must be from 1 to ${STATE_BITS_MAX}`);
  return { type: "state-header", header, bits, top: r.take("state-header top", DIGEST_BYTES) };
}

export function readStateNodes(r: Reader): StateMessage {
  const seq = r.seq64("state-nodes seq", 1);
  const level = readLevel(r, "state-nodes level");
  const count = readCount(r, "state-nodes count", NODES_PER_FETCH_MAX, STATE_NODE_HEADER_BYTES + DIGEST_BYTES);
  const nodes: { index: number; children: Uint8Array }[] = [];
  for (let i = 0; i < count; i++) {
    const index = readIndex(r, "state-nodes index", nodes.at(-1)?.index ?? -1);
    const width = r.u8("state-nodes children");
    if (width < 1 || width > STATE_FAN_OUT) r.fail("state-nodes children", `${width}, must be from 1 to ${STATE_FAN_OUT}`);
    nodes.push({ index, children: r.take("state-nodes children", width * DIGEST_BYTES) });
  }
  return { type: "state-nodes", seq, level, nodes };
}

function readPage(r: Reader, previous: number, alone: boolean): StatePage {
  const bucket = readIndex(r, "state-pages bucket", previous);
  const size = r.u32("state-pages size");
  if (size > STATE_PAGE_BYTES_MAX) r.fail("state-pages size", `${size}, at most ${STATE_PAGE_BYTES_MAX}`);
  const offset = r.u32("state-pages offset");
  if (offset > size) r.fail("state-pages offset", `${offset} of a page of ${size} bytes`);
  const length = r.u32("state-pages length");
  const whole = Math.min(size - offset, STATE_CHUNK_BYTES_MAX);
  if (length > size - offset || length < whole || (length === 0 && size > 0)) r.fail("state-pages length", `${length} at ${offset} of a page of ${size} bytes`);
  if (length < size && !alone) r.fail("state-pages length", `${length} of a page of ${size} bytes: a part must be alone`);
  return { bucket, size, offset, bytes: r.take("state-pages bytes", length) };
}

export function readStatePages(r: Reader): StateMessage {
  const seq = r.seq64("state-pages seq", 1);
  const count = readCount(r, "state-pages count", PAGES_PER_FETCH_MAX, STATE_PAGE_HEADER_BYTES);
  const pages: StatePage[] = [];
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const page = readPage(r, pages.at(-1)?.bucket ?? -1, count === 1);
    bytes += page.bytes.length;
    if (bytes > STATE_CHUNK_BYTES_MAX) r.fail("state-pages bytes", `${bytes}, at most ${STATE_CHUNK_BYTES_MAX}`, r.tooLarge);
    pages.push(page);
  }
  return { type: "state-pages", seq, pages };
}

export const readStateGone = (r: Reader): StateMessage => ({
  type: "state-gone", seq: r.seq64("state-gone seq", 1), oldest: r.seq64("state-gone oldest", 0),
});

export function readFetchBlock(r: Reader): StateMessage {
  const seq = r.seq64("fetch-block seq", 1);
  const offset = r.u32("fetch-block offset");
  if (offset >= FRAME_BYTES_MAX) r.fail("fetch-block offset", `${offset}, must be below ${FRAME_BYTES_MAX}`);
  return { type: "fetch-block", seq, offset };
}

export function readBlockPart(r: Reader): StateMessage {
  const seq = r.seq64("block-part seq", 1);
  const size = r.u32("block-part size");
  if (size > FRAME_BYTES_MAX) r.fail("block-part size", `${size}, at most ${FRAME_BYTES_MAX}`);
  const offset = r.u32("block-part offset");
  if (offset > size || (offset === size && size > 0)) r.fail("block-part offset", `${offset} of a block of ${size} bytes`);
  const whole = Math.min(size - offset, STATE_CHUNK_BYTES_MAX);
  if (r.remaining !== whole) r.fail("block-part bytes", `${r.remaining} at ${offset} of a block of ${size} bytes, must be ${whole}`);
  return { type: "block-part", seq, size, offset, bytes: r.take("block-part bytes", whole) };
}
