/** A browser and a replica must read the same cluster, with the same id, from the same file, and refuse the same files. */
import { parseClusterFile } from "@narses/client";
import { DEFAULT_PARAMETERS, NarsesError, type ClusterConfig } from "@narses/core";
import { parseCluster } from "@narses/replica";
import fc from "fast-check";
import { expect, it } from "vitest";
import { testCluster } from "../../packages/replica/test/support/cluster.ts";

const outcome = (read: () => ClusterConfig): ClusterConfig | "refused" => {
  try {
    return read();
  } catch (error) {
    if (error instanceof NarsesError) return "refused";
    throw error;
  }
};

/** Values that a field may wrongly or rightly have. */
const anything = fc.oneof(fc.integer({ min: -1, max: 300 }), fc.double(), fc.boolean(), fc.string(), fc.constant(null), fc.constant([]), fc.constant({}), fc.constant("listed"));

const names = ["version", "name", "epoch", "f", "signatureSuite", "replicas", "clients", "clientKeys", "parameters", "genesis", "extra"];

/** A good file, some of whose fields are missing or anything. */
const files = fc
  .record({
    n: fc.constantFrom(1, 2, 4, 7),
    left: fc.subarray(["epoch", "signatureSuite", "clients", "clientKeys", "parameters", "genesis"]),
    set: fc.option(fc.tuple(fc.constantFrom(...names), anything), { freq: 1 }),
    parameter: fc.option(fc.tuple(fc.constantFrom(...Object.keys(DEFAULT_PARAMETERS), "colour"), anything), { freq: 1 }),
    field: fc.option(fc.tuple(fc.constantFrom("id", "publicKey", "networkKey", "addresses", "colour"), anything), { freq: 1 }),
  })
  .map(({ n, left, set, parameter, field }) => {
    const cluster = structuredClone(testCluster(n).cluster) as unknown as Record<string, unknown>;
    for (const name of left) delete cluster[name];
    if (parameter !== null) cluster["parameters"] = { [parameter[0]]: parameter[1] };
    if (field !== null) (cluster["replicas"] as Record<string, unknown>[])[0]![field[0]] = field[1];
    if (set !== null) cluster[set[0]] = set[1];
    return JSON.stringify(cluster);
  });

it("the client's reader and the replica's agree", () => {
  let read = 0;
  fc.assert(
    fc.property(files, (text) => {
      const mine = outcome(() => parseClusterFile(text));
      if (mine !== "refused") read++;
      expect(mine).toEqual(outcome(() => parseCluster(JSON.parse(text))));
    }),
    { numRuns: 400 },
  );
  expect(read).toBeGreaterThan(20); // not all were refused
});
