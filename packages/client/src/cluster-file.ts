/**
 * The cluster file where there is no file system and no schema library: JSON text to a cluster configuration, with the
 * defaults of omitted fields filled in. Holds the same clusters for valid as a replica does, and gives them the same id.
 */
import {
  DEFAULT_PARAMETERS,
  NarsesError,
  SIGNATURE_SUITE,
  checkCluster,
  defaultParameters,
  epoch,
  faultsTolerated,
  fromHex,
  quorums,
  replicaId,
  type ClusterConfig,
  type Digest,
  type Parameters,
  type ReplicaInfo,
} from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { clusterId } from "@narses/wire";

/** A cluster file is read up to this many characters. */
const CLUSTER_FILE_LENGTH_MAX: number = 16 << 20;

type Fields = Readonly<Record<string, unknown>>;

function invalid(source: string, problem: string, field?: string): NarsesError {
  return new NarsesError("CONFIG_INVALID", `${source}: ${field === undefined ? "" : `${field} `}${problem}`, { source, ...(field !== undefined && { field }) });
}

/** Reads one JSON object: every field is asked for by name, and one that nobody asked for is a mistake, not an extension. */
class ObjectReader {
  readonly #source: string;
  readonly #at: string;
  readonly #fields: Fields;

  constructor(source: string, at: string, value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(source, "must be a JSON object", at === "" ? undefined : at);
    this.#source = source;
    this.#at = at;
    this.#fields = value as Fields;
  }

  only(names: readonly string[]): this {
    const extra = Object.keys(this.#fields).find((name) => !names.includes(name));
    if (extra !== undefined) throw this.#wrong(extra, "is not a field of this file");
    return this;
  }

  text(name: string, lengthMax: number = CLUSTER_FILE_LENGTH_MAX): string {
    const value = this.#fields[name];
    if (typeof value !== "string" || value.length === 0 || value.length > lengthMax) throw this.#wrong(name, `must be text of 1 to ${lengthMax} characters`);
    return value;
  }

  number(name: string, fallback?: number): number {
    const value = this.#valueOf(name, fallback);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.#wrong(name, "must be a number");
    return value;
  }

  /** A number or a truth value, as the example is. */
  like(name: string, example: number | boolean): number | boolean {
    return typeof example === "number" ? this.number(name) : this.oneOf(name, [true, false]);
  }

  integer(name: string, max: number, fallback?: number): number {
    const value = this.number(name, fallback);
    if (!Number.isSafeInteger(value) || value < 0 || value > max) throw this.#wrong(name, `must be an integer from 0 to ${max}`);
    return value;
  }

  oneOf<T extends string | number | boolean>(name: string, allowed: readonly T[], fallback?: T): T {
    const value = this.#valueOf(name, fallback);
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) throw this.#wrong(name, `must be ${allowed.map((candidate) => JSON.stringify(candidate)).join(" or ")}`);
    return found;
  }

  list<T>(name: string, read: (item: unknown, at: string) => T, fallback?: readonly T[]): readonly T[] {
    const value = this.#fields[name];
    if (value === undefined && fallback !== undefined) return fallback;
    if (!Array.isArray(value)) throw this.#wrong(name, "must be a list");
    return value.map((item: unknown, i) => read(item, `${this.#path(name)}[${i}]`));
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined;
  }

  raw(name: string): unknown {
    return this.#fields[name];
  }

  /** Null is a value, not an omission. */
  #valueOf(name: string, fallback: unknown): unknown {
    const value = this.#fields[name];
    return value === undefined ? fallback : value;
  }

  #path(name: string): string {
    return this.#at === "" ? name : `${this.#at}.${name}`;
  }

  #wrong(name: string, problem: string): NarsesError {
    return invalid(this.#source, problem, this.#path(name));
  }
}

const readReplica = (source: string, value: unknown, at: string): ReplicaInfo => {
  const fields = new ObjectReader(source, at, value).only(["id", "publicKey", "networkKey", "addresses"]);
  return {
    id: replicaId(fields.integer("id", 255)),
    publicKey: fields.text("publicKey"),
    networkKey: fields.text("networkKey"),
    addresses: fields.list("addresses", (item, where) => textItem(source, item, where)),
  };
};

function textItem(source: string, item: unknown, at: string): string {
  if (typeof item !== "string" || item === "") throw invalid(source, "must be text", at);
  return item;
}

function readParameters(source: string, value: unknown, defaults: Parameters): Parameters {
  const names = Object.keys(DEFAULT_PARAMETERS) as (keyof Parameters)[];
  const fields = new ObjectReader(source, "parameters", value === undefined ? {} : value).only(names);
  return { ...defaults, ...Object.fromEntries(names.filter((name) => fields.has(name)).map((name) => [name, fields.like(name, DEFAULT_PARAMETERS[name])])) };
}

function parseJson(text: string, source: string): unknown {
  if (text.length > CLUSTER_FILE_LENGTH_MAX) throw invalid(source, `has ${text.length} characters, at most ${CLUSTER_FILE_LENGTH_MAX}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(source, `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * A cluster from the text of its file. `source` names it in errors.
 * @throws NarsesError CONFIG_INVALID naming the field: shape, relations, or a key that the signature suite refuses.
 */
export function parseClusterFile(text: string, source = "cluster file"): ClusterConfig {
  const names = ["version", "name", "epoch", "f", "signatureSuite", "replicas", "clients", "clientKeys", "parameters", "genesis"];
  const fields = new ObjectReader(source, "", parseJson(text, source)).only(names);
  const replicas = fields.list("replicas", (item, at) => readReplica(source, item, at));
  const f = fields.integer("f", faultsTolerated(256));
  const fits = replicas.length > 3 * f;
  const cluster: ClusterConfig = {
    version: fields.oneOf("version", [1]),
    name: fields.text("name", 200),
    epoch: epoch(fields.integer("epoch", 0xffff_ffff, 0)),
    f,
    signatureSuite: fields.oneOf("signatureSuite", [SIGNATURE_SUITE], SIGNATURE_SUITE),
    replicas,
    clients: fields.oneOf("clients", ["open", "listed"] as const, "open"),
    clientKeys: fields.list("clientKeys", (item, at) => textItem(source, item, at), []),
    parameters: readParameters(source, fields.raw("parameters"), fits ? defaultParameters(quorums(replicas.length, f)) : DEFAULT_PARAMETERS),
    genesis: fields.raw("genesis") ?? null,
  };
  checkCluster(cluster);
  for (const { publicKey, networkKey } of cluster.replicas) for (const key of [publicKey, networkKey]) verifyingKey(fromHex(key));
  for (const key of cluster.clientKeys) verifyingKey(fromHex(key));
  return cluster;
}

/** The hash that names a cluster: two files are about the same cluster exactly when it is the same. */
export const clusterIdOf = (cluster: ClusterConfig): Digest => clusterId(hasher, cluster);
