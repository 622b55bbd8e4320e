/** A state without room in more than one place at once: what is told of ids stays true when there is room again. */
import { seqNum, type Batch, type CommitCertificate, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { blockHash, decodeResult } from "@narses/wire";
import { expect, test } from "vitest";
import { createExecutor } from "../src/executor.ts";
import { decodeSession } from "../src/session.ts";
import { genesisHeader } from "../src/genesis.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { sessionWindow: 512 } });
const app: StateMachine = { apply: (op, { store }) => (store.put(op as string, 1), "done") };

function setUp(): { state: FakeState; run: (batch: Batch) => unknown[] } {
  const state = new FakeState();
  const header = genesisHeader(state.root());
  const executor = createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
  const codeOf = (bytes: Uint8Array): unknown => {
    const decoded = decodeResult(bytes);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    return decoded.value.status === "ok" ? decoded.value.value : (decoded.value as { code: string }).code;
  };
  const run = (batch: Batch): unknown[] =>
    executor.execute(seqNum(executor.head.header.seq + 1), batch, {} as CommitCertificate).bundles.flatMap(({ results }) => results.map(codeOf));
  return { state, run };
}

test("no room for what the application writes, nor for the reply: the ids are used up all the same", () => {
  const { state, run } = setUp();
  const bundle = tools.bundle([apply("one")]);
  state.full = ["a/", "r/"];
  expect(run(tools.batch([bundle]))).toEqual(["STATE_FULL"]);
  state.full = undefined;
  expect(run(tools.batch([bundle]))).toEqual(["ALREADY_EXECUTED"]);
  expect(run(tools.batch([tools.bundle([apply("two")], { ridFirst: 2, fifo: true })]))).toEqual(["done"]);
});

test.each([1, 256])("no room for what a bundle of %i writes: what is kept instead of their results counts with the bytes it has", (count) => {
  const { state, run } = setUp();
  expect(run(tools.batch([tools.bundle([apply("before")])]))).toEqual(["done"]);
  state.full = "a/";
  const refused = run(tools.batch([tools.bundle(Array.from({ length: count }, () => apply("x")), { ridFirst: 2 })]));
  expect(new Set(refused)).toEqual(new Set(["STATE_FULL"]));
  const records = [...state.entries].filter(([key]) => key.startsWith("r/")).map(([, bytes]) => bytes.length);
  const session = [...state.entries].find(([key]) => /^s\/[0-9a-f]+\/\d+$/.test(key))?.[1] ?? expect.fail();
  expect(decodeSession(session, tools.cluster.parameters.sessionWindow).kept.map(({ bytes }) => bytes)).toEqual(records);
  expect(Math.max(...records)).toBeLessThan(33 << 10);
});

test("no room for the acknowledgement that a bundle brings which comes too early: it comes too early, and is executed when it is its turn", () => {
  const { state, run } = setUp();
  expect(run(tools.batch([tools.bundle([apply("one")])]))).toEqual(["done"]);
  const third = tools.batch([tools.bundle([apply("three")], { ridFirst: 3, ackLow: 1, fifo: true })]);
  state.full = "s/";
  // Not SESSION_FULL: the client takes that for the last word, and the bundle would be executed after it.
  expect(run(third)).toEqual(["OUT_OF_ORDER"]);
  state.full = undefined;
  expect(run(tools.batch([tools.bundle([apply("two")], { ridFirst: 2, fifo: true })]))).toEqual(["done"]);
  expect(run(third)).toEqual(["done"]);
});
