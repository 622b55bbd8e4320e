/**
 * The values that msgpack payloads may hold, one rule for both directions: null, booleans, finite numbers (never −0),
 * strings, byte strings, arrays, and maps from strings; nested at most 16 deep. What is left out could mean different
 * things on different replicas, or in memory and after a round trip.
 */
export interface PayloadLimits {
  readonly bytesMax: number;
  /** Arrays and maps inside each other. */
  readonly depthMax: number;
  /** Array elements, map keys and map values together: bounds the memory a payload can claim per byte. */
  readonly elementsMax: number;
}

export const PAYLOAD_LIMITS: PayloadLimits = { bytesMax: 4 << 20, depthMax: 16, elementsMax: 1 << 18 };

/** As own key it would set a prototype on assignment; msgpackr renames it silently. */
export const FORBIDDEN_KEY = "__proto__";

/**
 * No string may start with U+FEFF: msgpackr's portable decoder takes it for a byte order mark and drops it, its native
 * one keeps it, so that two replicas could read two values from the same bytes.
 */
export const BYTE_ORDER_MARK = "\uFEFF";
