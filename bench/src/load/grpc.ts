/** As much of gRPC and protobuf as a load generator for etcd needs: unary calls over one HTTP/2 connection, without TLS. */
import { connect, constants, type ClientHttp2Session } from "node:http2";
import { NarsesError } from "@narses/core";

// ── protobuf ─────────────────────────────────────────────────────────────────────────────────────────────────────

const LENGTH_DELIMITED = 2;

function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

/** A field of bytes, of a string or of a message. */
export const field = (number: number, content: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.from([...varint(number * 8 + LENGTH_DELIMITED), ...varint(content.length)]), content]);

/** A message's fields of the kinds that etcd's answers hold, the last of each number: integers and bytes. */
export function fields(message: Uint8Array): ReadonlyMap<number, bigint | Uint8Array> {
  const found = new Map<number, bigint | Uint8Array>();
  let at = 0;
  const integer = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined || shift > 63n) throw new NarsesError("CALL_FAILED", `an answer of ${message.length} bytes ends in the middle of a number`);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = Number(integer());
    if (key % 8 === 0) found.set(Math.floor(key / 8), integer());
    else if (key % 8 === LENGTH_DELIMITED) {
      const length = Number(integer());
      found.set(Math.floor(key / 8), message.subarray(at, at + length));
      at += length;
    } else throw new NarsesError("CALL_FAILED", `an answer has a field of wire type ${key % 8} at byte ${at}, which is not expected`);
  }
  return found;
}

// ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

const PREFIX_BYTES = 5;

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(PREFIX_BYTES + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, PREFIX_BYTES);
  return frame;
}

export class GrpcConnection {
  readonly #session: ClientHttp2Session;

  constructor(address: string) {
    this.#session = connect(`http://${address}`);
    // A call that is under way hears of it as well.
    this.#session.on("error", () => undefined);
  }

  /** The answer's message. Rejects with what the server, or the connection, says is wrong. */
  call(path: string, message: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
      const chunks: Buffer[] = [];
      let failure: string | undefined;
      const look = (headers: Readonly<Record<string, unknown>>): void => {
        const status = headers["grpc-status"];
        if (status !== undefined && status !== "0") failure = `status ${String(status)}: ${decodeURIComponent(String(headers["grpc-message"] ?? ""))}`;
      };
      stream.on("response", look).on("trailers", look).on("error", reject);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("close", () => {
        const answer = Buffer.concat(chunks);
        if (failure === undefined && stream.rstCode === constants.NGHTTP2_NO_ERROR && answer.length >= PREFIX_BYTES) resolve(answer.subarray(PREFIX_BYTES));
        else reject(new NarsesError("CALL_FAILED", `${path}: ${failure ?? `the stream ended with code ${stream.rstCode} after ${answer.length} bytes`}`));
      });
      stream.end(framed(message));
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
