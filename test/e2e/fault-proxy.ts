/**
 * TCP proxies between replicas, one for each directed pair: `from` dials `to` through its own port, so that what one side says
 * to the other can be late, lost, held back or damaged, and nothing else.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net";

/** What a link does to the bytes of the one who dialled, and to the answers. */
export interface LinkFaults {
  /** Each way. */
  delayMs: number;
  /** Connections are closed, and new ones too. */
  cut: boolean;
  /** Bytes are kept and not passed on. */
  stalled: boolean;
  /** In so many of the next chunks one bit is flipped. */
  corrupt: number;
}

interface Passing {
  readonly chunk: Buffer;
  readonly dueMs: number;
}

/** One direction of a connection: passes chunks on in order, when they are due and the link is not stalled. */
class Lane {
  readonly #to: Socket;
  readonly #faults: LinkFaults;
  #queue: Passing[] = [];
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(to: Socket, faults: LinkFaults) {
    this.#to = to;
    this.#faults = faults;
  }

  push(chunk: Buffer): void {
    this.#queue.push({ chunk, dueMs: performance.now() + this.#faults.delayMs });
    this.flush();
  }

  end(): void {
    this.#ended = true;
    this.flush();
  }

  flush(): void {
    clearTimeout(this.#timer);
    if (this.#faults.stalled) return;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flush(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#to.write(this.#damaged(first.chunk));
    }
    if (this.#ended) this.#to.end();
  }

  #damaged(chunk: Buffer): Buffer {
    if (this.#faults.corrupt === 0) return chunk;
    this.#faults.corrupt -= 1;
    const copy = Buffer.from(chunk);
    const at = copy.length >> 1;
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  }
}

export class Link {
  readonly #faults: LinkFaults = { delayMs: 0, cut: false, stalled: false, corrupt: 0 };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #lanes = new Set<Lane>();
  readonly port: number;

  private constructor(server: Server, port: number, target: number) {
    this.#server = server;
    this.port = port;
    server.on("connection", (near) => this.#carry(near, target));
  }

  static open(port: number, target: number): Promise<Link> {
    const server = createServer({ noDelay: true });
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve(new Link(server, port, target)));
    });
  }

  set(faults: Partial<LinkFaults>): void {
    Object.assign(this.#faults, faults);
    if (this.#faults.cut) for (const socket of this.#sockets) socket.destroy();
    for (const lane of this.#lanes) lane.flush();
  }

  /** Chunks still to be damaged. */
  get corrupt(): number {
    return this.#faults.corrupt;
  }

  #carry(near: Socket, target: number): void {
    if (this.#faults.cut) return void near.destroy();
    const far = dial({ port: target, host: "127.0.0.1", noDelay: true });
    const lanes = [[near, new Lane(far, this.#faults)], [far, new Lane(near, this.#faults)]] as const;
    for (const [from, lane] of lanes) {
      this.#sockets.add(from);
      this.#lanes.add(lane);
      from.on("data", (chunk: Buffer) => lane.push(chunk));
      from.on("end", () => lane.end());
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        this.#lanes.delete(lane);
        near.destroy();
        far.destroy();
      });
    }
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }
}

/** Links between all replicas that listen on `listen`, on ports from `base` on. */
export class FaultProxy {
  readonly #links: ReadonlyMap<string, Link>;
  readonly n: number;

  private constructor(n: number, links: ReadonlyMap<string, Link>) {
    this.n = n;
    this.#links = links;
  }

  static async open(listen: readonly number[], base: number): Promise<FaultProxy> {
    const links = new Map<string, Link>();
    let port = base;
    for (const from of listen.keys()) for (const [to, target] of listen.entries()) if (from !== to) links.set(`${from}>${to}`, await Link.open(port++, target));
    return new FaultProxy(listen.length, links);
  }

  link(from: number, to: number): Link {
    const link = this.#links.get(`${from}>${to}`);
    if (link === undefined) throw new RangeError(`no link from ${from} to ${to}`);
    return link;
  }

  /** Ports that replica `from` dials, by replica; its own is 0. */
  dialledBy(from: number): readonly number[] {
    return Array.from({ length: this.n }, (_, to) => (to === from ? 0 : this.link(from, to).port));
  }

  /** Every link for which `which` holds. */
  set(which: (from: number, to: number) => boolean, faults: Partial<LinkFaults>): void {
    for (let from = 0; from < this.n; from++) for (let to = 0; to < this.n; to++) if (from !== to && which(from, to)) this.link(from, to).set(faults);
  }

  heal(): void {
    this.set(() => true, { delayMs: 0, cut: false, stalled: false, corrupt: 0 });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }
}
