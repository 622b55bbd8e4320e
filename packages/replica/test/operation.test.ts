/** What a state machine is given with an operation. */
import { seqNum, type ApplyContext, type StateMachine } from "@narses/core";
import { decodeResult } from "@narses/wire";
import { expect, test } from "vitest";
import { ownPayloads, runOperation } from "../src/operation.ts";
import { Overlay } from "../src/overlay.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4);

function run(app: StateMachine, operation = apply(0)): unknown {
  const state = new Overlay({ get: () => undefined });
  const bundle = tools.bundle([operation]);
  const payloads = ownPayloads(bundle.operations);
  const common = { state, app, logger: recordingLogger(), time: 1, seq: seqNum(1), bundle, random: () => () => 0.5 };
  return decodeResult(runOperation(common, { kind: "apply", payloads, from: 0, to: payloads.length, index: 0, bytesMax: 1_000 }));
}

test("a machine that is made of others can hand the context on with another store, and loses nothing of it", () => {
  const inner = (_op: unknown, { store, ...rest }: ApplyContext): unknown => [Object.keys(rest).sort(), rest.publicKey.length, rest.random(), store.get("x")];
  const store = { get: () => 1, put: () => undefined, delete: () => undefined };
  const value = [["client", "publicKey", "random", "rid", "seq", "time"], 32, 0.5, 1];
  expect(run({ apply: (op, context) => inner(op, { ...context, store }) })).toEqual({ ok: true, value: { status: "ok", value } });
});
