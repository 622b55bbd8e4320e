/**
 * Fetching one state: header, then nodes from the root down, then pages; several donors at once, a small window each. Every
 * piece is checked before it is used, so any mix of donors gives the same state, or an accusation.
 */
import {
  NODES_PER_FETCH_MAX, PAGES_PER_FETCH_MAX, rejection, STATE_CHUNK_BYTES_MAX,
  type BlockHeader, type Hasher, type Rejection, type ReplicaId, type StableCheckpoint, type StateMessage, type StatePage,
} from "@narses/core";
import { FetchPlan, isTop, type FetchPiece, type StateStaging } from "@narses/storage/portable";
import { blockHash } from "@narses/wire";
import { FETCH_PAGES_FIRST, FETCH_UNSTAGED_BYTES_MAX } from "../limits.ts";
import type { FetchRequest, Source } from "./donors.ts";

export interface FetchOptions {
  readonly target: StableCheckpoint;
  readonly staging: StateStaging;
  readonly hasher: Hasher;
  readonly sources: readonly Source[];
  readonly now: () => number;
  readonly send: (to: ReplicaId, message: StateMessage) => boolean;
  /** A donor sent what no correct one sends. */
  readonly onLie: (from: ReplicaId, problem: Rejection) => void;
  /** A page came and is right; resolves when it may be staged. */
  readonly onPage: (bucket: number, page: Uint8Array) => Promise<void>;
  /** Everything is staged. */
  readonly onDone: (header: BlockHeader, plan: FetchPlan) => void;
  readonly onFailed: (error: unknown) => void;
}

type Answer = Extract<StateMessage, { type: "state-header" | "state-nodes" | "state-pages" | "state-gone" }>;

export class Fetch {
  readonly target: StableCheckpoint;
  readonly #options: FetchOptions;
  #header: BlockHeader | undefined;
  #plan: FetchPlan | undefined;
  /** Pages that came and are not staged yet. */
  #unstagedBytes = 0;
  #over = false;
  /** Staging goes in order, one batch after the other. */
  #writing: Promise<void> = Promise.resolve();
  #pages = 0;
  /** Of the pages that came. */
  bytes = 0;

  constructor(options: FetchOptions) {
    this.#options = options;
    this.target = options.target;
  }

  get header(): BlockHeader | undefined {
    return this.#header;
  }

  get plan(): FetchPlan | undefined {
    return this.#plan;
  }

  /** Nothing that comes is used any more; resolves when nothing is being written. */
  async abandon(): Promise<void> {
    this.#over = true;
    for (const source of this.#options.sources) source.requests = [];
    await this.#writing;
  }

  /** Asks whoever may be asked for what is wanted. */
  pump(): void {
    const { sources, now } = this.#options;
    for (let asked = true; asked && !this.#over; ) {
      asked = false;
      // Round and round, so that the first donor does not get everything; those that were slow least come first.
      for (const source of [...sources].sort((a, b) => a.timeouts - b.timeouts || a.replica - b.replica)) {
        if (source.mayAsk(now()) && this.#ask(source)) asked = true;
      }
    }
  }

  tick(): void {
    for (const source of this.#options.sources) if (!source.usable || source.overdue(this.#options.now())) this.#takeBack(source);
    this.pump();
  }

  message(source: Source, message: Answer): void {
    if (this.#over) return;
    if (message.type === "state-gone") {
      if (message.seq !== this.target.seq) return;
      source.gone = true;
      this.#takeBack(source);
    } else if (this.#expects(source, message)) {
      const problem = this.#take(source, message);
      if (problem === undefined) source.answered();
      else {
        source.lied(this.#options.now());
        this.#takeBack(source);
        this.#options.onLie(source.replica, rejection("STATE_INVALID", `for the state of slot ${this.target.seq}: ${problem}`));
      }
    }
    this.pump();
  }

  #ask(source: Source): boolean {
    const plan = this.#plan;
    const now = this.#options.now();
    if (plan === undefined) {
      return source.requests.length === 0 && this.#send(source, { part: { kind: "header" }, piece: undefined, chunks: [], sinceTick: now, pageSinceTick: now });
    }
    if (this.#unstagedBytes > FETCH_UNSTAGED_BYTES_MAX) return false;
    const piece = plan.next(NODES_PER_FETCH_MAX, this.#pagesPerChunk());
    if (piece === undefined) return false;
    const part = piece.kind === "nodes" ? piece : { ...piece, offset: 0 };
    if (this.#send(source, { part, piece, chunks: [], sinceTick: now, pageSinceTick: now })) return true;
    plan.giveBack(piece);
    return false;
  }

  /** As many pages as a chunk holds if they are like those that came. */
  #pagesPerChunk(): number {
    if (this.#pages === 0) return FETCH_PAGES_FIRST;
    return Math.min(PAGES_PER_FETCH_MAX, Math.max(1, Math.floor((STATE_CHUNK_BYTES_MAX * this.#pages) / Math.max(1, this.bytes))));
  }

  #send(source: Source, request: FetchRequest): boolean {
    if (!this.#options.send(source.replica, { type: "fetch-state", seq: this.target.seq, part: request.part })) return false;
    source.requests.push(request);
    return true;
  }

  #takeBack(source: Source): void {
    const { requests } = source;
    source.requests = [];
    for (const { piece } of requests) if (piece !== undefined) this.#plan?.giveBack(piece);
  }

  /** Whether something like it was asked for; what comes late, or unasked, is dropped. */
  #expects(source: Source, message: Exclude<Answer, { type: "state-gone" }>): boolean {
    return source.requests.some(({ part }) => matches(part, message, this.target.seq));
  }

  /** Uses an answer; what is wrong with it, if anything. */
  #take(source: Source, message: Exclude<Answer, { type: "state-gone" }>): string | undefined {
    const at = source.requests.findIndex(({ part }) => matches(part, message, this.target.seq));
    const request = source.requests[at];
    if (request === undefined) return undefined;
    switch (message.type) {
      case "state-header":
        source.requests.splice(at, 1);
        return this.#takeHeader(message);
      case "state-nodes": {
        const { piece } = request;
        if (piece?.kind !== "nodes") return "nodes for something else";
        for (const [i, { index, children }] of message.nodes.entries()) {
          if (this.#plan?.deliverNode(message.level, index, children) !== true) {
            this.#replace(source, at, { ...request, piece: { ...piece, indexes: piece.indexes.slice(i) } });
            return `the children of node ${index} of level ${message.level} do not hash to it`;
          }
        }
        source.requests.splice(at, 1);
        this.#giveBackRest(piece, message.nodes.length);
        this.#finishIfDone();
        return undefined;
      }
      case "state-pages":
        return this.#takePages(source, at, request, message.pages);
    }
  }

  #replace(source: Source, at: number, request: FetchRequest): void {
    source.requests[at] = request;
  }

  #giveBackRest(piece: FetchPiece, delivered: number): void {
    if (delivered < piece.indexes.length) this.#plan?.giveBack({ ...piece, indexes: piece.indexes.slice(delivered) });
  }

  #takeHeader({ header, bits, top }: Extract<Answer, { type: "state-header" }>): string | undefined {
    const { hasher, staging, target } = this.#options;
    if (header.seq !== target.seq || blockHash(hasher, header) !== target.root) return `the header is not that of block ${target.root}`;
    if (!isTop(hasher, header.stateRoot, bits, top)) return `the top of the tree is not that of state ${header.stateRoot}`;
    if (this.#plan !== undefined) return undefined; // another donor was faster
    this.#header = header;
    try {
      this.#plan = new FetchPlan({ hasher, root: header.stateRoot, bits, top: top.slice(), live: staging.live, staged: staging.staged });
    } catch (error) {
      this.#options.onFailed(error);
      return undefined;
    }
    this.#finishIfDone();
    return undefined;
  }

  #takePages(source: Source, at: number, request: FetchRequest, pages: readonly StatePage[]): string | undefined {
    const { piece, chunks } = request;
    const plan = this.#plan;
    if (piece?.kind !== "pages" || plan === undefined) return "pages for something else";
    const good = new Map<number, Uint8Array>();
    for (const { bucket, size, offset, bytes } of pages) {
      if (offset + bytes.length < size) return this.#takePart(source, at, request, { bucket, size, offset, bytes });
      // A copy: the frame is larger than the page, and goes when this returns.
      const page = offset === 0 ? bytes.slice() : concat([...chunks, bytes]);
      if (page.length !== size || !plan.isPage(bucket, page)) return `page ${bucket} does not hash to its leaf`;
      good.set(bucket, page);
    }
    source.requests.splice(at, 1);
    this.#giveBackRest(piece, good.size);
    this.#stage(good, plan);
    return undefined;
  }

  /** One part of a large page: the same donor is asked for the next. Its hash tells at the end, so it must end: a part that is not the last is a full chunk. */
  #takePart(source: Source, at: number, request: FetchRequest, { bucket, size, offset, bytes }: StatePage): string | undefined {
    const { piece } = request;
    if (piece?.kind !== "pages") return undefined;
    if (bytes.length < STATE_CHUNK_BYTES_MAX) return `${bytes.length} bytes at ${offset} of page ${bucket}, which has ${size}: only the last part may be short`;
    source.requests.splice(at, 1);
    this.#giveBackRest(piece, 1);
    const one: FetchPiece = { kind: "pages", indexes: [bucket] };
    const next: FetchRequest = {
      part: { ...one, offset: offset + bytes.length }, piece: one, chunks: [...request.chunks, bytes.slice()],
      sinceTick: this.#options.now(), pageSinceTick: request.pageSinceTick,
    };
    if (!this.#send(source, next)) this.#plan?.giveBack(one);
    return undefined;
  }

  #stage(pages: ReadonlyMap<number, Uint8Array>, plan: FetchPlan): void {
    let bytes = 0;
    for (const page of pages.values()) bytes += page.length;
    this.bytes += bytes;
    this.#pages += pages.size;
    this.#unstagedBytes += bytes;
    const { staging, onPage, onFailed } = this.#options;
    this.#writing = this.#writing.then(async () => {
      for (const [bucket, page] of pages) await onPage(bucket, page);
      await staging.put(pages);
      this.#unstagedBytes -= bytes;
      for (let i = 0; i < pages.size; i++) plan.deliverPage();
      this.#finishIfDone();
      this.pump();
    }).catch(onFailed);
  }

  #finishIfDone(): void {
    const plan = this.#plan;
    if (this.#over || plan?.done !== true || this.#header === undefined) return;
    this.#over = true;
    this.#options.onDone(this.#header, plan);
  }
}

/**
 * Whether the message answers this request: a prefix of what it names, of this target. A donor that was slow may answer what
 * was asked of it before; that is late, and no lie.
 */
function matches(part: FetchRequest["part"], message: Exclude<Answer, { type: "state-gone" }>, seq: number): boolean {
  switch (message.type) {
    case "state-header":
      return part.kind === "header" && message.header.seq === seq;
    case "state-nodes":
      return part.kind === "nodes" && message.seq === seq && part.level === message.level && isPrefix(message.nodes.map(({ index }) => index), part.indexes);
    case "state-pages":
      return part.kind === "pages" && message.seq === seq && part.offset === message.pages[0]?.offset && isPrefix(message.pages.map(({ bucket }) => bucket), part.indexes);
  }
}

const isPrefix = (answered: readonly number[], asked: readonly number[]): boolean => answered.every((index, i) => index === asked[i]);

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
