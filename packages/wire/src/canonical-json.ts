/**
 * JSON with one byte string per value: keys sorted by UTF-16 code unit, no white space, numbers and strings as
 * ECMAScript writes them (as RFC 8785). Properties that are undefined are left out, as JSON.stringify does, so that a
 * configuration in memory and the same one read from its file agree.
 */
import { NarsesError } from "@narses/core";
import { isWellFormed } from "./host.ts";

/** Arrays and objects inside each other, in a cluster file; a deeper one is refused. */
const DEPTH_MAX = 64;

function refuse(path: string, problem: string): NarsesError {
  return new NarsesError("CONFIG_INVALID", `cluster configuration: ${path} ${problem}`, { field: path });
}

function text(value: string, path: string): string {
  if (!isWellFormed(value)) throw refuse(path, "holds a lone surrogate, which UTF-8 cannot carry");
  return JSON.stringify(value);
}

function members(value: object, path: string, depth: number): string {
  const parts: string[] = [];
  for (const [key, member] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (member !== undefined) parts.push(`${text(key, path)}:${write(member, `${path}.${key}`, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}

function write(value: unknown, path: string, depth: number): string {
  if (depth > DEPTH_MAX) throw refuse(path, `is nested deeper than ${DEPTH_MAX}`);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return text(value, path);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw refuse(path, `is ${value}, which JSON cannot carry`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${Array.from(value, (item: unknown, i) => write(item, `${path}[${i}]`, depth + 1)).join(",")}]`;
  if (typeof value === "object") {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === null || Object.getPrototypeOf(prototype) === null) return members(value, path, depth);
  }
  throw refuse(path, `is of a kind that JSON cannot carry (${typeof value})`);
}

/** @throws NarsesError CONFIG_INVALID naming the path of what JSON cannot carry. */
export const canonicalJson = (value: unknown): string => write(value, "$", 0);
