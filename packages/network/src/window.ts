/**
 * yamux in JavaScript acknowledges every data frame with a window update of its own: one more encryption, write, read and
 * decryption for each frame, in the opposite direction. Other implementations wait until half of the window is used up;
 * so do we. The sender's window never falls below the other half, so it never waits for longer than it would have.
 */
import type { Stream } from "@libp2p/interface";

/** Half of yamux's smallest window (256 KiB). */
const UPDATE_BYTES: number = 128 << 10;

interface Updating {
  sendWindowUpdate(): void;
}

const updates = (stream: object): stream is Updating => "sendWindowUpdate" in stream && typeof stream.sendWindowUpdate === "function";

/** Without effect on a stream of another muxer. */
export function deferWindowUpdates(stream: Stream): void {
  if (!updates(stream)) return;
  const now = stream.sendWindowUpdate.bind(stream);
  let received = 0;
  stream.addEventListener("message", (event) => {
    received += event.data.byteLength;
  });
  // yamux dispatches the data first and asks for the update after.
  stream.sendWindowUpdate = () => {
    if (received < UPDATE_BYTES) return;
    received = 0;
    now();
  };
}
