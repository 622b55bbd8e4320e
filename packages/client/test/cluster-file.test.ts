/** The cluster file as a browser reads it. The replica's reader is in another package: test/browser compares the two. */
import { NarsesError, type ClusterConfig } from "@narses/core";
import { clusterId } from "@narses/wire";
import { hasher } from "@narses/crypto";
import { describe, expect, it } from "vitest";
import { parseClusterFile } from "../src/index.ts";
import { clusterConfig } from "./support/fake-cluster.ts";

const cluster = clusterConfig({});
const idOf = (config: ClusterConfig): string => clusterId(hasher, config);

const problem = (value: unknown): unknown => {
  try {
    parseClusterFile(typeof value === "string" ? value : JSON.stringify(value), "c.json");
    return undefined;
  } catch (error) {
    if (!(error instanceof NarsesError)) throw error;
    return { code: error.code, field: error.data["field"], message: error.message };
  }
};

describe("parseClusterFile", () => {
  it("gives back the cluster whose text it reads", () => {
    expect(parseClusterFile(JSON.stringify(cluster, undefined, 2))).toEqual(cluster);
  });

  it("fills in what a short file leaves out, so that it names the same cluster", () => {
    const { version, name, f, replicas } = cluster;
    const short = parseClusterFile(JSON.stringify({ version, name, f, replicas }));
    expect(idOf(short)).toBe(idOf({ ...cluster, clients: "open", clientKeys: [], genesis: null }));
  });

  it.each([
    ["not JSON", "{", undefined],
    ["no object", [], undefined],
    ["an unknown field", { ...cluster, colour: "red" }, "colour"],
    ["a name that is no text", { ...cluster, name: 7 }, "name"],
    ["another version", { ...cluster, version: 2 }, "version"],
    ["no replicas", { ...cluster, f: 0, replicas: [] }, "replicas (count)"],
    ["a replica that is no object", { ...cluster, replicas: [1, ...cluster.replicas.slice(1)] }, "replicas[0]"],
    ["an address that is no text", { ...cluster, replicas: cluster.replicas.map((r) => ({ ...r, addresses: [4] })) }, "replicas[0].addresses[0]"],
    ["a parameter that is no number", { ...cluster, parameters: { logWindow: "256" } }, "parameters.logWindow"],
    ["an unknown parameter", { ...cluster, parameters: { logwindow: 256 } }, "parameters.logwindow"],
    ["f that does not fit n", { ...cluster, f: 2 }, "f"],
    ["who may submit", { ...cluster, clients: "all" }, "clients"],
    ["an epoch that is no integer", { ...cluster, epoch: 0.5 }, "epoch"],
    ["a list that is none", { ...cluster, clientKeys: {} }, "clientKeys"],
  ])("refuses %s, naming the field", (_what, value, field) => {
    expect(problem(value)).toMatchObject({ code: "CONFIG_INVALID", ...(field !== undefined && { field }) });
  });

  it("refuses a key that is none", () => {
    const replicas = cluster.replicas.map((r, i) => (i === 1 ? { ...r, publicKey: "00".repeat(32) } : r));
    expect(problem({ ...cluster, replicas })).toMatchObject({ code: "KEY_INVALID" });
  });
});
