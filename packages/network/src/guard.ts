/**
 * Two decorators for libp2p's layers below our streams.
 *
 * `joined`: noise writes the length, the ciphertext and the tag of a message as separate socket writes. Joined, they are one. And it learns
 * that a message is not complete from an exception, one for every read: told in another way, a small frame costs a third less to receive.
 *
 * `guarded`: yamux buffers a data frame until it is complete, whatever length its header announces, answers pings without
 * looking whether the peer reads the answers, and lets a connection open streams without end. A stranger needs no more
 * than that to fill our memory, so all three are bounded here, before yamux sees the bytes.
 */
import type { ConnectionEncrypter, MessageStream, StreamMuxer, StreamMuxerFactory } from "@libp2p/interface";

import { reset } from "./describe.ts";
import { noteMuxer, noteSecured } from "./lane.ts";

/** Frames of our own peers carry at most WRITE_BYTES_MAX, or a few of them joined after a full window. */
const MUX_FRAME_BYTES_MAX: number = 1 << 20;
/** Replies (pongs, window updates, refusals) waiting for a peer that does not read. */
const MUX_REPLY_BYTES_MAX: number = 1 << 20;
/** Streams one connection may open in its life; we open one. */
export const STREAMS_PER_CONNECTION_MAX = 4;

const MUX_HEADER_BYTES = 12;
const TYPE_DATA = 0;
const TYPE_WINDOW_UPDATE = 1;
const FLAG_SYN = 1;

/** Each write to `stream` reaches the socket in one piece. */
function joinWrites(stream: MessageStream): MessageStream {
  const send = stream.send.bind(stream);
  stream.send = (data) => send(data.subarray());
  return stream;
}

/** Bytes of a noise message on the wire, behind a length of two bytes. */
const NOISE_BYTES_MAX = 65_535;

interface Lengths {
  readonly length: number;
  getUint16?(at: number): number;
  readonly [at: number]: number;
}

interface Decoding {
  readonly decoder: { lengthDecoder: (bytes: Lengths) => number };
}

const decodes = (secured: object): secured is Decoding =>
  "decoder" in secured && typeof secured.decoder === "object" && secured.decoder !== null &&
  "lengthDecoder" in secured.decoder && typeof secured.decoder.lengthDecoder === "function";

/** Fewer than two bytes: a length that no bytes can satisfy yet, so that the decoder waits for more, as after the exception. */
function waitQuietly<S extends { readonly connection: MessageStream }>(secured: S): S {
  if (decodes(secured.connection)) {
    const { decoder } = secured.connection;
    const lengthOf = decoder.lengthDecoder;
    decoder.lengthDecoder = (bytes) => (bytes.length < 2 ? NOISE_BYTES_MAX : lengthOf(bytes));
  }
  return secured;
}

function secured<S extends { readonly connection: MessageStream }>(result: S, socket: MessageStream): S {
  noteSecured(result.connection, socket);
  return waitQuietly(result);
}

/** Wraps an encrypter so that each of its messages is one socket write, and reading them throws nothing. */
export function joined<C>(encrypter: (components: C) => ConnectionEncrypter): (components: C) => ConnectionEncrypter {
  return (components) => {
    const inner = encrypter(components);
    return {
      protocol: inner.protocol,
      secureInbound: async (connection, options) => secured(await inner.secureInbound(joinWrites(connection), options), connection),
      secureOutbound: async (connection, options) => secured(await inner.secureOutbound(joinWrites(connection), options), connection),
    };
  };
}

/** Reads yamux headers as they pass; holds no more than one of them. */
export class MuxInspector {
  readonly #header = new Uint8Array(MUX_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  #headerBytes = 0;
  #bodyLeft = 0;
  #streams = 0;

  /** @returns what no correct peer does, or undefined. */
  push(chunk: Uint8Array): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const skipped = Math.min(this.#bodyLeft, chunk.length - at);
        this.#bodyLeft -= skipped;
        at += skipped;
        continue;
      }
      this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
      if (this.#headerBytes < MUX_HEADER_BYTES) continue;
      this.#headerBytes = 0;
      const problem = this.#inspect();
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #inspect(): string | undefined {
    const type = this.#header[1];
    const length = this.#view.getUint32(8);
    if ((type === TYPE_DATA || type === TYPE_WINDOW_UPDATE) && (this.#view.getUint16(2) & FLAG_SYN) !== 0) {
      this.#streams += 1;
      if (this.#streams > STREAMS_PER_CONNECTION_MAX) return `opened more than ${STREAMS_PER_CONNECTION_MAX} streams on one connection`;
    }
    if (type !== TYPE_DATA) return undefined;
    if (length > MUX_FRAME_BYTES_MAX) return `announced a muxer frame of ${length} bytes, the cap is ${MUX_FRAME_BYTES_MAX}`;
    this.#bodyLeft = length;
    return undefined;
  }
}

/** Wraps a muxer: connections whose peer breaks one of the bounds above are reset, and reported. */
export function guarded<C>(
  muxer: (components: C) => StreamMuxerFactory,
  report: (reason: string) => void,
): (components: C) => StreamMuxerFactory {
  return (components) => {
    const inner = muxer(components);
    return {
      protocol: inner.protocol,
      createStreamMuxer: (connection): StreamMuxer => {
        const inspector = new MuxInspector();
        const drop = (problem: string): void => {
          report(problem);
          reset(connection, problem);
        };
        // Registered before the muxer's own listener, hence called before it.
        connection.addEventListener("message", ({ data }) => {
          if (connection.status !== "open") return;
          const waiting = connection.writeBufferLength;
          if (waiting > MUX_REPLY_BYTES_MAX) return drop(`does not read: ${waiting} bytes of replies wait`);
          for (const chunk of data instanceof Uint8Array ? [data] : data) {
            const problem = inspector.push(chunk);
            if (problem !== undefined) return drop(problem);
          }
        });
        const created = inner.createStreamMuxer(connection);
        noteMuxer(created, connection);
        return created;
      },
    };
  };
}
