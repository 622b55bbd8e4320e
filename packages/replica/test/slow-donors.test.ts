/** Fetching a state from donors that are late, or silent: nobody is blamed for being slow, and the others go on meanwhile. */
import { NULL_DIGEST, replicaId, seqNum, STATE_CHUNK_BYTES_MAX, STATE_PAGE_BYTES_MAX, type BlockHeader, type ReplicaId, type StateMessage } from "@narses/core";
import { hasher } from "@narses/crypto";
import { memoryStateStore, type StateCheckpoint, type StateStaging } from "@narses/storage";
import { blockHash } from "@narses/wire";
import { expect, test } from "vitest";
import { FETCH_PAGE_TICKS_MAX, FETCH_TIMEOUT_TICKS, FETCH_WINDOW } from "../src/limits.ts";
import { Source } from "../src/transfer/donors.ts";
import { Fetch } from "../src/transfer/fetch.ts";

/** More nodes on level 1 than one request names: two donors share them. */
const BITS = 14;
const KEYS = 12_000;

type Ask = Extract<StateMessage, { type: "fetch-state" }>;
type Answer = Exclude<StateMessage, { type: "fetch-state" | "fetch-block" | "block-part" }>;

interface Scene {
  readonly checkpoint: StateCheckpoint;
  readonly header: BlockHeader;
  readonly staging: StateStaging;
  readonly sources: readonly [Source, Source];
  readonly asked: { readonly to: ReplicaId; readonly ask: Ask }[];
  readonly lies: string[];
  done: boolean;
  tick: number;
}

async function scene(): Promise<Scene> {
  const [donor, receiver] = [await memoryStateStore({ hasher, bucketBits: BITS }), await memoryStateStore({ hasher, bucketBits: BITS })];
  for (let i = 0; i < KEYS; i++) donor.put(`key ${i}`, Uint8Array.of(i & 255, i >> 8));
  await donor.checkpoint(seqNum(8));
  await receiver.checkpoint(seqNum(0));
  const checkpoint = donor.checkpoints.at(-1);
  if (checkpoint === undefined) throw new TypeError("no checkpoint");
  const header: BlockHeader = {
    seq: seqNum(8), parent: NULL_DIGEST, timestampMs: 1, batchDigest: NULL_DIGEST, bundleRoot: NULL_DIGEST, resultRoot: NULL_DIGEST, stateRoot: checkpoint.root,
  };
  const sources = [new Source(replicaId(1)), new Source(replicaId(2))] as const;
  for (const source of sources) source.connected = true;
  return { checkpoint, header, staging: await receiver.stage(), sources, asked: [], lies: [], done: false, tick: 0 };
}

function fetchOf(s: Scene, header: BlockHeader = s.header): Fetch {
  return new Fetch({
    target: { seq: header.seq, root: blockHash(hasher, header), proof: [] }, staging: s.staging, hasher, sources: s.sources, now: () => s.tick,
    send: (to, ask) => {
      s.asked.push({ to, ask: ask as Ask });
      return true;
    },
    onLie: (from, { detail }) => void s.lies.push(`${from}: ${detail}`),
    onPage: () => Promise.resolve(),
    onDone: () => void (s.done = true),
    onFailed: (error) => {
      throw error instanceof Error ? error : new TypeError(String(error));
    },
  });
}

/** What a correct donor says; of pages, the first `pagesMax`. */
async function answerTo({ part }: Ask, { checkpoint, header }: Scene, pagesMax = Infinity): Promise<Answer> {
  const { nodes, seq } = checkpoint;
  switch (part.kind) {
    case "header":
      return { type: "state-header", header, bits: BITS, top: nodes.node(Math.ceil(BITS / 4), 0).slice() };
    case "nodes":
      return { type: "state-nodes", seq, level: part.level, nodes: part.indexes.map((index) => ({ index, children: nodes.children(part.level, index).slice() })) };
    case "pages": {
      const pages = await Promise.all(part.indexes.slice(0, pagesMax).map(async (bucket) => ({ bucket, bytes: await checkpoint.page(bucket) })));
      return { type: "state-pages", seq, pages: pages.map(({ bucket, bytes }) => ({ bucket, size: bytes.length, offset: 0, bytes })) };
    }
  }
}

/** Answers everything that this donor is asked until it is asked no more; staging is given time. */
async function serve(s: Scene, fetch: Fetch, source: Source, until = (): boolean => s.done): Promise<void> {
  for (let idle = 0; idle < 5 && !until(); idle++) {
    for (let at = s.asked.findIndex(({ to }) => to === source.replica); at >= 0 && !until(); at = s.asked.findIndex(({ to }) => to === source.replica)) {
      const [{ ask } = { ask: undefined }] = s.asked.splice(at, 1);
      if (ask === undefined) return;
      fetch.message(source, await answerTo(ask, s));
      idle = 0;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("pages count while another donor still owes nodes, and the rest is asked of the one who answers", async () => {
  const s = await scene();
  const [prompt, silent] = s.sources;
  const fetch = fetchOf(s);
  fetch.pump();
  // Both know the header; from then on only one of them answers.
  await serve(s, fetch, silent, () => fetch.plan !== undefined);
  await serve(s, fetch, prompt);
  expect(silent.requests.some(({ part }) => part.kind === "nodes")).toBe(true);
  expect(fetch.plan?.mapped).toBe(false);
  expect(fetch.bytes).toBeGreaterThan(0);
  expect(s.lies).toEqual([]);
  expect(s.done).toBe(false);

  s.tick += FETCH_TIMEOUT_TICKS;
  fetch.tick();
  expect(silent.stalled).toBe(true);
  await serve(s, fetch, prompt);
  expect(s.done).toBe(true);
  expect(s.lies).toEqual([]);
  // A later target does not wait for it again, until it answers.
  silent.renew();
  expect(silent.stalled).toBe(true);
  silent.answered();
  expect(silent.stalled).toBe(false);
});

test("an answer that comes after its request was taken back is late, and no lie: not for nodes, not for pages, not for an earlier target", async () => {
  const s = await scene();
  const [one, other] = s.sources;
  const earlier = fetchOf(s, { ...s.header, seq: seqNum(4) });
  earlier.pump();
  const lateHeader = await answerTo({ type: "fetch-state", seq: seqNum(4), part: { kind: "header" } }, { ...s, header: { ...s.header, seq: seqNum(4) } });
  await earlier.abandon();
  for (const source of s.sources) source.renew();
  s.asked.length = 0;

  const fetch = fetchOf(s);
  fetch.pump();
  fetch.message(one, lateHeader);
  await serve(s, fetch, other, () => fetch.plan?.mapped === true || other.requests.length === 0);
  // Everything the first one is asked is kept back until the requests are taken back and split otherwise.
  await serve(s, fetch, other);
  const late: Answer[] = [];
  for (let round = 0; round < 40 && !s.done; round++) {
    for (const { to, ask } of s.asked.splice(0)) {
      if (to === one.replica) late.push(await answerTo(ask, s));
      else fetch.message(other, await answerTo(ask, s, 3));
    }
    s.tick += FETCH_TIMEOUT_TICKS;
    fetch.tick();
    for (const answer of late.splice(0)) fetch.message(one, answer);
    await serve(s, fetch, other);
  }
  expect(s.lies).toEqual([]);
  expect(s.done).toBe(true);
});

/** The liar is asked for pages only, a full window of them, and says of each in turn that it is as large as can be. */
async function askedForPages(): Promise<{ readonly s: Scene; readonly fetch: Fetch; readonly liar: Source; part(bytes: number): boolean }> {
  const s = await scene();
  const [liar, other] = s.sources;
  other.connected = false;
  const fetch = fetchOf(s);
  fetch.pump();
  await serve(s, fetch, liar, () => liar.requests.length === FETCH_WINDOW && liar.requests.every(({ part }) => part.kind === "pages"));
  return {
    s, fetch, liar,
    part(bytes) {
      const part = liar.requests[0]?.part;
      if (part?.kind !== "pages") return false;
      const [bucket = 0] = part.indexes;
      fetch.message(liar, { type: "state-pages", seq: seqNum(8), pages: [{ bucket, size: STATE_PAGE_BYTES_MAX, offset: part.offset, bytes: new Uint8Array(bytes) }] });
      return true;
    },
  };
}

test("a page cannot trickle in: a part that is not the last fills a chunk", async () => {
  const { s, liar, part } = await askedForPages();
  part(1);
  expect(s.lies).toEqual([expect.stringContaining("1 bytes at 0 of page")]);
  expect(liar.requests).toEqual([]);
});

test("nor can it come for ever chunk by chunk: its hash tells, and time does, however well each part comes", async () => {
  const claims = await askedForPages();
  let parts = 0;
  while (claims.s.lies.length === 0 && claims.part(STATE_CHUNK_BYTES_MAX)) parts++;
  expect(parts).toBeLessThanOrEqual((FETCH_WINDOW * STATE_PAGE_BYTES_MAX) / STATE_CHUNK_BYTES_MAX);
  expect(claims.s.lies).toEqual([expect.stringContaining("does not hash to its leaf")]);

  const { s, fetch, liar, part } = await askedForPages();
  // Patience grows with time-outs, up to where 16 parts could take a very long time.
  while (liar.timeouts < 5) {
    s.tick += FETCH_TIMEOUT_TICKS;
    fetch.tick();
  }
  for (; liar.requests[0]?.part.kind !== "pages"; s.tick += FETCH_TIMEOUT_TICKS) fetch.tick();
  const [since, timeouts] = [s.tick, liar.timeouts];
  while (liar.timeouts === timeouts) {
    for (let i = 0; i < FETCH_WINDOW; i++) expect(part(STATE_CHUNK_BYTES_MAX)).toBe(true);
    s.tick += FETCH_PAGE_TICKS_MAX / 5;
    fetch.tick();
  }
  expect(s.tick - since).toBeLessThanOrEqual(FETCH_PAGE_TICKS_MAX);
  expect(liar.requests).toEqual([]);
});

test("a lie holds up the next target less: its donor is asked later each time", () => {
  const source = new Source(replicaId(1));
  source.connected = true;
  for (const ticks of [FETCH_TIMEOUT_TICKS, 2 * FETCH_TIMEOUT_TICKS, 4 * FETCH_TIMEOUT_TICKS]) {
    source.lied(1_000);
    source.renew();
    expect([source.mayAsk(999 + ticks), source.mayAsk(1_000 + ticks)]).toEqual([false, true]);
  }
});
