/** Frames on a byte stream, without libp2p: for simulators that carry real frames. */
export { FrameReader } from "./frame-reader.ts";
export { WriteQueue } from "./write-queue.ts";
export { DEFAULT_LIMITS, resolveLimits, type NetworkLimits } from "./limits.ts";
export { newCounters, type Counters } from "./wire.ts";
