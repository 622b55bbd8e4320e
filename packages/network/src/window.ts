/**
 * yamux in JavaScript acknowledges every data frame with a window update of its own: one more encryption, write, read and
 * decryption for each frame, in the opposite direction. Other implementations wait until half of the window is used up;
 * so do we. The sender's window never falls below the other half, so it never waits for longer than it would have.
 */
import type { Stream } from "@libp2p/interface";
import { ignore } from "./describe.ts";

/** Half of yamux's smallest window (256 KiB). */
const UPDATE_BYTES: number = 128 << 10;

interface Updating {
  sendWindowUpdate(): void;
}

const updates = (stream: object): stream is Updating => "sendWindowUpdate" in stream && typeof stream.sendWindowUpdate === "function";

/** Without effect on a stream of another muxer. Call what it returns with the bytes that came another way than by the stream's events. */
export function deferWindowUpdates(stream: Stream): (bytes: number) => void {
  if (!updates(stream)) return ignore;
  const now = stream.sendWindowUpdate.bind(stream);
  let received = 0;
  const update = (): void => {
    if (received < UPDATE_BYTES) return;
    received = 0;
    now();
  };
  stream.addEventListener("message", (event) => {
    received += event.data.byteLength;
  });
  // yamux dispatches the data first and asks for the update after.
  stream.sendWindowUpdate = update;
  return (bytes) => {
    received += bytes;
    update();
  };
}
