/** State transfer among whole replicas: empty disks, liars, stallers, crashes, and states that went wrong. */
import { seqNum, type StateMachine } from "@narses/core";
import { STATE_VALUE_BYTES_MAX } from "@narses/storage";
import { TAG } from "@narses/wire";
import { afterEach, describe, expect, test } from "vitest";
import { apply, testCluster } from "./support/cluster.ts";
import { InProcess, until, type Tamper, type TestClient } from "./support/cluster-in-process.ts";

/** Writes one key an operation; `blob` bytes of it. */
interface Put {
  readonly key: string;
  readonly blob?: number;
}
const shelf: StateMachine<Put, string> = {
  apply({ key, blob = 8 }, { store, seq }) {
    store.put(key, new Uint8Array(blob).fill(seq));
    return key;
  },
};

let running: InProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

function cluster(): InProcess {
  running = new InProcess(testCluster(4, { parameters: { checkpointInterval: 4, logWindow: 8, pipelineDepth: 2 } }), shelf as StateMachine);
  running.bucketBits = 8;
  return running;
}

const puts = (prefix: string, count: number): ReturnType<typeof apply>[] => Array.from({ length: count }, (_, i) => apply({ key: `${prefix} ${i}` }));
async function order(client: TestClient, prefix: string, batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) await client.submit(puts(`${prefix} ${i}`, 20));
}

const status = (c: InProcess, id: number) => c.member(id).core.status();
/** Everybody is at slot `seq` or above, with one block. */
const agreed = (c: InProcess, seq: number): boolean => {
  const heads = [...c.members.keys()].map((id) => status(c, id).head);
  return heads.every((head) => head.seq >= seq) && new Set(heads.map(({ block }) => block)).size === 1;
};
const said = (c: InProcess, id: number, part: string): boolean => c.member(id).logger.lines.some(({ message }) => message.includes(part));
const isAnswer = (frame: Uint8Array): boolean => [TAG.STATE_HEADER, TAG.STATE_NODES, TAG.STATE_PAGES].some((tag) => tag === frame[1]);

describe("an empty disk", () => {
  test("takes over the state while batches keep committing, with one donor that lies and one that is silent", async () => {
    const c = cluster();
    for (const id of [0, 1, 2]) await c.start(id);
    const client = await c.client();
    await client.submit([apply({ key: "large", blob: STATE_VALUE_BYTES_MAX - 5 })]);
    await order(client, "before", 16);
    c.tamper = (from, to, frame) => {
      if (to !== 3 || !isAnswer(frame)) return frame;
      if (from === 1) return undefined;
      if (from !== 0 || frame[1] !== TAG.STATE_PAGES) return frame;
      const wrong = frame.slice();
      wrong[wrong.length - 1] = (wrong[wrong.length - 1] ?? 0) ^ 1;
      return wrong;
    };
    await c.start(3);
    const more = order(client, "meanwhile", 12);
    await until("replica 3 has taken over a state", () => status(c, 3).lastTransfer !== null);
    await more;
    await until("all agree", () => agreed(c, 29));
    const { counters, lastTransfer, transfer, halted } = status(c, 3);
    expect(lastTransfer).toMatchObject({ reason: "behind", difference: null });
    expect(lastTransfer?.seq).toBeGreaterThanOrEqual(16);
    expect(lastTransfer?.bytes).toBeGreaterThan(1 << 20);
    expect([transfer, halted]).toEqual([null, null]);
    expect(counters.rejected.STATE_INVALID).toBeGreaterThanOrEqual(1); // once for each target
    expect(said(c, 3, "replica 0 sent wrong data")).toBe(true);
    // It votes: without one of the others the cluster goes on.
    await until("its log is in the window", () => status(c, 3).engine.stableSeq >= 28);
    await c.member(2).core.stop();
    c.members.delete(2);
    await order(client, "after", 3);
    await until("all agree again", () => agreed(c, 32));
    // And what it took over survives it.
    const stores = await c.crash(3, "power-cut");
    await c.start(3, { stores, mustExist: true });
    await order(client, "restarted", 1);
    await until("all agree after a restart", () => agreed(c, 33));
  });

  test.each([["header", TAG.STATE_HEADER, 20], ["nodes", TAG.STATE_NODES, -1], ["page", TAG.STATE_PAGES, -3]] as const)(
    "takes no wrong %s, and says who sent it", async (_what, tag, at) => {
      const c = cluster();
      for (const id of [0, 1, 2]) await c.start(id);
      const client = await c.client();
      await order(client, "before", 12);
      c.tamper = (from, to, frame) => {
        if (from !== 0 || to !== 3 || frame[1] !== tag) return frame;
        const wrong = frame.slice();
        const place = at < 0 ? wrong.length + at : at;
        wrong[place] = (wrong[place] ?? 0) ^ 1;
        return wrong;
      };
      await c.start(3);
      await until("all agree", () => agreed(c, 12));
      expect(status(c, 3).lastTransfer?.reason).toBe("behind");
      expect(status(c, 3).counters.rejected.STATE_INVALID).toBe(1);
      expect(said(c, 3, "replica 0 sent wrong data")).toBe(true);
      expect(status(c, 3).engine).toMatchObject({ view: 0, active: true });
    });

  test("is given the state by one who took it over itself", async () => {
    const c = cluster();
    for (const id of [0, 1, 2]) await c.start(id);
    const client = await c.client();
    await order(client, "before", 12);
    await c.start(3);
    await until("replica 3 has taken over a state", () => status(c, 3).lastTransfer !== null);
    await until("replica 3 has caught up", () => agreed(c, 12));
    const seq = status(c, 3).durableSeq;
    await c.member(2).core.stop();
    c.members.delete(2);
    // From now on only replica 3 gives state.
    c.tamper = (from, to, frame) => (to === 2 && from !== 3 && isAnswer(frame) ? undefined : frame);
    await c.start(2);
    await until("replica 2 has taken over a state", () => status(c, 2).lastTransfer !== null);
    expect(status(c, 2).lastTransfer?.seq).toBe(seq);
    await until("all agree", () => agreed(c, 12));
  });
});

test.each(["kill", "power-cut"] as const)("a %s in the middle: what was staged is not fetched again", async (how) => {
  const c = cluster();
  for (const id of [0, 1, 2]) await c.start(id);
  const client = await c.client();
  await order(client, "before", 16);
  let chunks = 0;
  const pagesOnce: Tamper = (_from, to, frame) => (to === 3 && frame[1] === TAG.STATE_PAGES && ++chunks > 1 ? undefined : frame);
  c.tamper = pagesOnce;
  await c.start(3);
  await until("some pages are staged", () => (status(c, 3).transfer?.pagesHere ?? 0) >= 60 && chunks > 2);
  const before = status(c, 3).transfer;
  expect(before).toMatchObject({ reason: "behind", phase: "fetching" });
  expect(status(c, 3).halted).toContain("executes nothing");
  const stores = await c.crash(3, how);
  expect(stores.state.durableSeq).toBe(0);
  c.tamper = undefined;
  await c.start(3, { stores, mustExist: true });
  await until("replica 3 has taken over the state", () => status(c, 3).lastTransfer !== null);
  expect(said(c, 3, "pages of an earlier transfer are taken up again")).toBe(true);
  expect(status(c, 3).lastTransfer?.bytes).toBeLessThan(16 * 20 * 40 - 60 * 30);
  await until("all agree", () => agreed(c, 16));
});

test("a disk that fills up in the middle: it freezes where it is and says why, and takes over the rest when there is space, for a later checkpoint by then", async () => {
  const c = cluster();
  const disk = { directory: "/var/lib/replica", reserveBytes: 1_000, free: 1 << 20, freeBytes: () => disk.free };
  c.disks.set(3, disk);
  for (const id of [0, 1, 2]) await c.start(id);
  const client = await c.client();
  await order(client, "before", 16);
  let chunks = 0;
  c.tamper = (_from, to, frame) => (to === 3 && frame[1] === TAG.STATE_PAGES && ++chunks > 1 ? undefined : frame);
  await c.start(3);
  await until("some pages are staged", () => (status(c, 3).transfer?.pagesHere ?? 0) >= 60 && chunks > 2);
  disk.free = 17;
  await until("it is frozen", () => status(c, 3).disk?.frozenMs !== null);
  const { seq = 0, pagesHere } = status(c, 3).transfer ?? {};
  c.tamper = undefined; // from here on all pages would come
  await order(client, "meanwhile", 16); // and the others have dropped that checkpoint
  expect(status(c, 3)).toMatchObject({ transfer: { seq, pagesHere, phase: "fetching" }, lastTransfer: null });
  expect(c.member(3).core.why().findings).toEqual([
    expect.stringContaining("space on its disk: 17 B are free on the file system of /var/lib/replica, and it goes on when 2.0 KiB are") as string,
    expect.stringMatching(/^the state after slot \d+ from its peers \(fetching, \d+ of \d+ pages are here\), because it is too far behind/) as string,
  ]);
  disk.free = 1 << 20;
  await until("replica 3 has taken over a state", () => status(c, 3).lastTransfer !== null);
  expect(status(c, 3).lastTransfer?.seq).toBeGreaterThan(seq);
  await until("all agree", () => agreed(c, 32));
  expect(status(c, 3).counters.diskFreezes).toBe(1);
});

test("donors that have dropped the checkpoint: the transfer goes on for a later one", async () => {
  const c = cluster();
  for (const id of [0, 1, 2]) await c.start(id);
  const client = await c.client();
  await order(client, "before", 12);
  let open = false;
  c.tamper = (_from, to, frame) => (to === 3 && !open && frame[1] === TAG.STATE_PAGES ? undefined : frame);
  await c.start(3);
  await until("it asks for pages", () => status(c, 3).transfer?.phase === "fetching");
  const first = status(c, 3).transfer?.seq ?? 0;
  await order(client, "meanwhile", 16);
  open = true;
  await until("replica 3 has taken over a state", () => status(c, 3).lastTransfer !== null);
  expect(status(c, 3).lastTransfer?.seq).toBeGreaterThan(first);
  expect(said(c, 3, "goes on for the later checkpoint")).toBe(true);
  await until("all agree", () => agreed(c, 28));
});

describe("a state that went wrong", () => {
  /** Once, at its first operation, it also writes where it must not. */
  const oddOnce = (): StateMachine => {
    let done = false;
    return {
      apply(op, context) {
        if (!done) {
          context.store.put("odd", 1);
          context.store.put("zz", 1);
        }
        done = true;
        return (shelf as StateMachine).apply(op, context);
      },
    };
  };

  async function diverging(): Promise<{ c: InProcess; client: TestClient; open: () => void }> {
    const c = cluster();
    let open = false;
    c.tamper = (_from, to, frame) => (to === 3 && !open && isAnswer(frame) ? undefined : frame);
    for (const id of [0, 1, 2]) await c.start(id);
    await c.start(3, undefined, oddOnce());
    const client = await c.client();
    await order(client, "first", 5);
    await until("replica 3 has noticed", () => status(c, 3).halted !== null);
    return { c, client, open: () => void (open = true) };
  }

  test("is quarantined: no execution, no answers, no state for others; the others go on", async () => {
    const { c, client } = await diverging();
    expect(said(c, 3, "DIVERGED")).toBe(true);
    const { head, transfer } = status(c, 3);
    await order(client, "on", 4);
    expect(status(c, 3).head).toEqual(head);
    expect(transfer).toMatchObject({ reason: "diverged", seq: 4 });
    client.send(3, client.bundle([apply({ key: "x" })]));
    await until("refusal", () => client.received.some(({ from, message }) => from === 3 && message.type === "refused" && message.code === "DIVERGED"));
    await expect(client.call(3, "app-query", { question: null })).rejects.toBeInstanceOf(Error);
    expect(await client.call(3, "status")).toMatchObject({ halted: expect.stringContaining("slot 4") as string });
  });

  test("that goes wrong again after its repair waits in quarantine for the next one, and says for how long and what to do", async () => {
    const c = cluster();
    for (const id of [0, 1, 2]) await c.start(id);
    await c.start(3, undefined, {
      apply(op, context) {
        context.store.put("odd", context.seq);
        return (shelf as StateMachine).apply(op, context);
      },
    });
    const client = await c.client();
    const waits = (): boolean => status(c, 3).transfer?.phase === "waiting";
    for (let i = 0; i < 40 && !waits(); i++) await order(client, `wrong ${i}`, 1);
    expect(status(c, 3)).toMatchObject({ transfer: { reason: "diverged", phase: "waiting", repairs: 2 }, counters: { repairs: 1 } });
    expect(status(c, 3).transfer?.waitsMs).toBeLessThanOrEqual(1_000);
    expect(c.member(3).core.why().headline).toMatch(/is waiting for the time to fetch the state after slot \d+ from its peers, in 1 s: its state went wrong again soon after 1 repair,/);
    expect(said(c, 3, "DIVERGED AGAIN")).toBe(true);
    await until("it is repaired again", () => status(c, 3).counters.repairs === 2);
  });

  test("is repaired from the others, page by page, and names the first key that differed", async () => {
    const { c, client, open } = await diverging();
    open();
    await until("replica 3 is repaired", () => status(c, 3).lastTransfer !== null);
    const { lastTransfer, halted } = status(c, 3);
    expect(lastTransfer).toMatchObject({ reason: "diverged", seq: 4, difference: { seq: 4, key: "a/odd", pages: 2 } });
    expect(lastTransfer?.difference?.header).toEqual(expect.arrayContaining(["stateRoot"]));
    expect(lastTransfer?.pages).toBe(2); // incremental: nothing else was fetched
    expect(halted).toBeNull();
    expect(said(c, 3, "REPAIRED")).toBe(true);
    expect(said(c, 3, 'differed in key "a/odd"')).toBe(true);
    await order(client, "after", 4);
    await until("all agree", () => agreed(c, 9));
    await until("its checkpoints are right again", () => status(c, 3).engine.stableSeq >= 8);
    expect(status(c, 0).counters.rejected.EQUIVOCATION).toBeUndefined();
  });

  test("leaves no block behind that the wrong state had made, nor below a checkpoint that became stable without being compared", async () => {
    const c = cluster();
    const seqOf = (frame: Uint8Array, at: number): number => Number(new DataView(frame.buffer, frame.byteOffset).getBigUint64(at));
    let [restarted, open] = [false, false];
    c.tamper = (_from, to, frame) => {
      if (frame[1] === TAG.CHECKPOINT && !open && (to === 3 || seqOf(frame, 8) > 4)) return undefined;
      return frame[1] === TAG.STABLE && to === 3 && !restarted ? undefined : frame;
    };
    for (const id of [0, 1, 2]) await c.start(id);
    await c.start(3, undefined, oddOnce());
    await order(await c.client(), "first", 9);
    await until("replica 3 has made its wrong state durable twice", () => c.member(3).stores.state.durableSeq === 8);
    const stores = await c.crash(3, "kill");
    restarted = true;
    await c.start(3, { stores, mustExist: true });
    await until("the first checkpoint is stable for it, as its state has passed it", () => status(c, 3).engine.stableSeq === 4);
    expect(status(c, 3).halted).toBeNull();
    open = true;
    await until("replica 3 is repaired", () => status(c, 3).lastTransfer?.reason === "diverged");
    await until("it lacks no block", () => c.member(3).stores.blocks.gaps.length === 0 && agreed(c, 9));
    for (let seq = 1; seq <= 9; seq++) {
      const [right, own] = await Promise.all([0, 3].map((id) => c.member(id).stores.blocks.get(seqNum(seq))));
      expect(own?.header, `block ${seq}`).toEqual(right?.header);
    }
  });
});
