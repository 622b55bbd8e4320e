/** Operations as bytes: how many they need in a signed bundle, and how many fit one. */
import { NarsesError, type Operation } from "@narses/core";
import { BUNDLE_BYTES_MIN, OPERATION_ENTRY_BYTES, PAYLOAD_LIMITS, encodePayload } from "@narses/wire";

/** The cluster's cap on bundles is what bounds an operation; see splitIntoUnits. */
const OPERATION_LIMITS = { ...PAYLOAD_LIMITS, bytesMax: Number.MAX_SAFE_INTEGER };

/** @throws TypeError or RangeError for a value that msgpack cannot carry, naming the place. */
export const encodeOperation = (kind: Operation["kind"], value: unknown): Operation => ({ kind, payload: encodePayload(value, OPERATION_LIMITS) });

/** Bytes of a bundle without its operations: header, key, ids, count, signature. */
export const BUNDLE_OVERHEAD_BYTES: number = BUNDLE_BYTES_MIN - OPERATION_ENTRY_BYTES;

export const operationBytes = (operation: Operation): number => OPERATION_ENTRY_BYTES + operation.payload.length;

export interface UnitLimits {
  readonly operationsMax: number;
  readonly bundleBytesMax: number;
}

/**
 * Splits operations, in order, into the fewest consecutive runs that each fit a bundle.
 * @throws NarsesError REQUEST_TOO_LARGE when one operation does not fit a bundle of its own.
 */
export function splitIntoUnits(operations: readonly Operation[], { operationsMax, bundleBytesMax }: UnitLimits): readonly (readonly Operation[])[] {
  const units: Operation[][] = [];
  let unit: Operation[] = [];
  let bytes = BUNDLE_OVERHEAD_BYTES;
  for (const [index, operation] of operations.entries()) {
    const size = operationBytes(operation);
    if (BUNDLE_OVERHEAD_BYTES + size > bundleBytesMax) throw tooLarge(operation, index, bundleBytesMax);
    if (unit.length === operationsMax || bytes + size > bundleBytesMax) {
      units.push(unit);
      unit = [];
      bytes = BUNDLE_OVERHEAD_BYTES;
    }
    unit.push(operation);
    bytes += size;
  }
  if (unit.length > 0) units.push(unit);
  return units;
}

function tooLarge(operation: Operation, index: number, bundleBytesMax: number): NarsesError {
  const bytesMax = bundleBytesMax - BUNDLE_OVERHEAD_BYTES - OPERATION_ENTRY_BYTES;
  const text = `operation ${index} has ${operation.payload.length} bytes, the cluster takes at most ${bytesMax} (parameters.bundleBytesMax ${bundleBytesMax}); split it`;
  return new NarsesError("REQUEST_TOO_LARGE", text, { index, bytes: operation.payload.length, bytesMax });
}
