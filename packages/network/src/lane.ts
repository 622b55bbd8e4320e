/**
 * The short way through libp2p. A frame of ours passes three message streams there (yamux, noise, TCP), each with lists of buffers, events
 * and a queue: four fifths of what a small frame costs. Once a connection carries nothing but our one stream, its frames go between the
 * socket and the wire in one step: the same yamux frame in the same noise message, made and read here, with the connection's own
 * ciphers. Whatever else comes or is to be done (another muxer frame, a queue that is not empty, a full window or socket) goes the long way.
 *
 * This reaches into libp2p's objects. Where one of them is not as expected there is no lane, and everything goes the long way; a test
 * knows when that happens with the versions we ship.
 */
import type { MessageStream, Stream, StreamMuxer } from "@libp2p/interface";
import { sealInPlace, TAG_BYTES } from "#noise-crypto";
import { NoiseReader } from "./noise-reader.ts";

const NOISE_LENGTH_BYTES = 2;
const MUX_HEADER_BYTES = 12;
const TYPE_DATA = 0;
/** `StreamState.Established` of yamux: flags are said, and plain data may follow. */
const ESTABLISHED = 3;

/** What is written in front of the payload of a frame, and behind it. */
export const LANE_HEAD_BYTES: number = NOISE_LENGTH_BYTES + MUX_HEADER_BYTES;
export const LANE_TAIL_BYTES: number = TAG_BYTES;

interface Bytes {
  subarray(): Uint8Array;
}

interface Buffered {
  readonly byteLength: number;
}

/** The parts of a libp2p message stream that matter here. */
interface Queued {
  readonly status: string;
  readonly writeStatus: string;
  readonly writeBufferLength: number;
  readonly readBufferLength: number;
  writableNeedsDrain: boolean;
}

interface Socket extends Queued {
  onData(bytes: Uint8Array): void;
  sendData(bytes: readonly Uint8Array[]): { readonly canSendMore: boolean };
}

interface Secured extends Queued {
  readonly handshake: { encrypt(plaintext: Uint8Array): Bytes; decrypt(sealed: Uint8Array, to: Uint8Array): Bytes };
  readonly decoder: { readonly buffer: Buffered };
  onData(bytes: Uint8Array): void;
  abort(reason: Error): void;
}

interface Muxed extends Queued {
  readonly streamId: number;
  readonly state: number;
  sendWindowCapacity: number;
  recvWindowCapacity: number;
  onMuxerNeedsDrain(): void;
}

interface Muxer {
  readonly decoder: { readonly buffer: Buffered };
}

/** What a stream lies on. */
interface Layers {
  readonly socket: MessageStream;
  readonly secured: MessageStream;
  readonly muxer: StreamMuxer;
}

const sockets = new WeakMap<MessageStream, MessageStream>();
const layers = new WeakMap<Stream, Layers>();

/** `secured` is what became of `socket`. */
export function noteSecured(secured: MessageStream, socket: MessageStream): void {
  sockets.set(secured, socket);
}

/** Remembers for each stream of `muxer` what it lies on. */
export function noteMuxer(muxer: StreamMuxer, secured: MessageStream): void {
  const socket = sockets.get(secured);
  if (socket === undefined) return;
  const below: Layers = { socket, secured, muxer };
  const create = muxer.createStream.bind(muxer);
  muxer.createStream = async (options) => {
    const stream = await create(options);
    layers.set(stream, below);
    return stream;
  };
  // Not a listener: streams that come before there is any are kept for the first one.
  const dispatch = muxer.dispatchEvent.bind(muxer);
  muxer.dispatchEvent = (event) => {
    if (event.type === "stream" && "detail" in event) layers.set(event.detail as Stream, below);
    return dispatch(event);
  };
}

const has = (object: object, fields: Readonly<Record<string, string>>): boolean =>
  Object.entries(fields).every(([name, type]) => typeof Reflect.get(object, name) === type);

const QUEUED = { status: "string", writeStatus: "string", writeBufferLength: "number", readBufferLength: "number", writableNeedsDrain: "boolean" } as const;

const isSocket = (object: object): object is Socket => has(object, { ...QUEUED, onData: "function", sendData: "function" });
const isBuffering = (object: unknown): boolean =>
  typeof object === "object" && object !== null && typeof (Reflect.get(object, "buffer") as Partial<Buffered> | undefined)?.byteLength === "number";

function isSecured(object: object): object is Secured {
  const handshake: unknown = Reflect.get(object, "handshake");
  return has(object, { ...QUEUED, onData: "function", abort: "function" }) && isBuffering(Reflect.get(object, "decoder")) &&
    typeof handshake === "object" && handshake !== null && has(handshake, { encrypt: "function", decrypt: "function" });
}

const isMuxed = (object: object): object is Muxed =>
  has(object, { ...QUEUED, streamId: "number", state: "number", sendWindowCapacity: "number", recvWindowCapacity: "number", onMuxerNeedsDrain: "function" });
const isMuxer = (object: object): object is Muxer => isBuffering(Reflect.get(object, "decoder"));

/**
 * Undefined when libp2p is not as it was. `onData` gets the payload of each frame, in order with what the stream's own events bring; it must
 * have the sender's window updated.
 */
export function openLane(stream: Stream, onData: (payload: Uint8Array) => void): Lane | undefined {
  const below = layers.get(stream);
  if (below === undefined || !isMuxed(stream)) return undefined;
  const { socket, secured, muxer } = below;
  return isSocket(socket) && isSecured(secured) && isMuxer(muxer) ? new Lane(stream, { socket, secured, muxer }, onData) : undefined;
}

const isFree = (queued: Queued): boolean => queued.writeBufferLength === 0 && !queued.writableNeedsDrain && queued.writeStatus === "writable" && queued.status === "open";

export class Lane {
  readonly #stream: Muxed;
  readonly #socket: Socket;
  readonly #secured: Secured;
  readonly #muxer: Muxer;
  readonly #onData: (payload: Uint8Array) => void;
  readonly #onMessage: (message: Uint8Array) => void;
  readonly #reader = new NoiseReader();
  /** What comes from the socket is read here, not by noise. */
  #reading = false;

  constructor(stream: Muxed, { socket, secured, muxer }: { readonly socket: Socket; readonly secured: Secured; readonly muxer: Muxer }, onData: (payload: Uint8Array) => void) {
    this.#stream = stream;
    this.#socket = socket;
    this.#secured = secured;
    this.#muxer = muxer;
    this.#onData = onData;
    this.#onMessage = (message) => this.#open(message);
    const longWay = socket.onData.bind(socket);
    socket.onData = (bytes) => {
      if (this.#takeOver()) this.#receive(bytes);
      else longWay(bytes);
    };
  }

  /**
   * Sends the payload that lies between the LANE_HEAD_BYTES and the LANE_TAIL_BYTES of `room`, and overwrites all of it. False, and `room`
   * is as it was, when it must go the long way. After it `writable` says whether more is welcome. @throws when noise can encrypt no more.
   */
  send(room: Uint8Array): boolean {
    const stream = this.#stream;
    const payloadBytes = room.length - LANE_HEAD_BYTES - LANE_TAIL_BYTES;
    if (stream.state !== ESTABLISHED || stream.sendWindowCapacity < payloadBytes) return false;
    if (!isFree(stream) || !isFree(this.#secured) || !isFree(this.#socket)) return false;
    stream.sendWindowCapacity -= payloadBytes;
    const sealedBytes = room.length - NOISE_LENGTH_BYTES;
    room[0] = sealedBytes >>> 8;
    room[1] = sealedBytes & 0xff;
    writeMuxHeader(room, stream.streamId, payloadBytes);
    sealInPlace(this.#secured.handshake.encrypt, room.subarray(NOISE_LENGTH_BYTES), MUX_HEADER_BYTES + payloadBytes);
    if (!this.#socket.sendData([room]).canSendMore) {
      // As if each layer had been told so by the one below. They hear of the end of it from the socket.
      this.#socket.writableNeedsDrain = true;
      this.#secured.writableNeedsDrain = true;
      stream.onMuxerNeedsDrain();
    }
    return true;
  }

  get writable(): boolean {
    return !this.#stream.writableNeedsDrain;
  }

  /** Between two messages nothing is lost: what noise and yamux hold back would come too late otherwise. */
  #takeOver(): boolean {
    this.#reading ||= this.#socket.readBufferLength === 0 && this.#secured.decoder.buffer.byteLength === 0 && this.#secured.readBufferLength === 0;
    return this.#reading;
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes, this.#onMessage);
    } catch (problem) {
      this.#secured.abort(problem instanceof Error ? problem : new Error(String(problem)));
    }
  }

  #open(message: Uint8Array): void {
    if (this.#secured.status !== "open") return;
    if (message.length < TAG_BYTES) throw new RangeError(`a noise message of ${message.length} bytes has no tag`);
    const plain = this.#secured.handshake.decrypt(message, message.subarray(0, message.length - TAG_BYTES)).subarray();
    let at = 0;
    while (at < plain.length) {
      const end = this.#endOfPlainFrame(plain, at);
      if (end === undefined) {
        // Another kind of frame, or a part of one: yamux knows. It takes everything until it has nothing left over.
        this.#secured.onData(plain.subarray(at));
        return;
      }
      this.#stream.recvWindowCapacity -= end - at - MUX_HEADER_BYTES;
      this.#onData(plain.subarray(at + MUX_HEADER_BYTES, end));
      at = end;
    }
  }

  /** Where the frame at `at` ends, if it is data for our stream, whole, with nothing else to it, and its turn. */
  #endOfPlainFrame(plain: Uint8Array, at: number): number | undefined {
    const stream = this.#stream;
    if (plain.length - at < MUX_HEADER_BYTES || this.#muxer.decoder.buffer.byteLength > 0 || stream.readBufferLength > 0 || stream.status !== "open") return undefined;
    const length = uint32(plain, at + 8);
    const end = at + MUX_HEADER_BYTES + length;
    const isPlain = plain[at] === 0 && plain[at + 1] === TYPE_DATA && plain[at + 2] === 0 && plain[at + 3] === 0 && uint32(plain, at + 4) === stream.streamId;
    return isPlain && end <= plain.length && length <= stream.recvWindowCapacity ? end : undefined;
  }
}

const uint32 = (bytes: Uint8Array, at: number): number => (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;

/** Behind the length of the noise message: version 0, data, no flags. */
function writeMuxHeader(room: Uint8Array, stream: number, length: number): void {
  room.fill(0, NOISE_LENGTH_BYTES, LANE_HEAD_BYTES);
  for (let i = 0; i < 4; i++) {
    const shift = 24 - 8 * i;
    room[NOISE_LENGTH_BYTES + 4 + i] = (stream >>> shift) & 0xff;
    room[NOISE_LENGTH_BYTES + 8 + i] = (length >>> shift) & 0xff;
  }
}
