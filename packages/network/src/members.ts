/** Who the peers are: the cluster file's network keys as libp2p peer ids, and where to dial them. */
import "./polyfill.ts";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import type { PeerId } from "@libp2p/interface";
import { peerIdFromPublicKey } from "@libp2p/peer-id";
import { multiaddr, type Multiaddr } from "@multiformats/multiaddr";
import { fromHex, NarsesError, type ClusterConfig, type ReplicaId } from "@narses/core";

export interface Member {
  readonly replica: ReplicaId;
  readonly peerId: PeerId;
  /** Each ends in /p2p/<peer id>: libp2p refuses whoever answers with another key. */
  readonly addresses: readonly Multiaddr[];
}

/** libp2p peer id of an Ed25519 public key given as 64 hex digits, as `networkKey` in the cluster file. */
export const peerIdOf = (networkKey: string): string => peerId(networkKey).toString();

const peerId = (networkKey: string): PeerId => peerIdFromPublicKey(publicKeyFromRaw(fromHex(networkKey)));

/** @throws NarsesError CONFIG_INVALID naming the address that cannot be used. */
export function membersOf(cluster: ClusterConfig): readonly Member[] {
  return cluster.replicas.map((info, i) => {
    const id = peerId(info.networkKey);
    const addresses = info.addresses.map((text, j) => memberAddress(text, id, `replicas[${i}].addresses[${j}]`));
    return { replica: info.id, peerId: id, addresses };
  });
}

function memberAddress(text: string, id: PeerId, field: string): Multiaddr {
  const address = parseAddress(text, field);
  const named = address.getComponents().find((component) => component.name === "p2p")?.value;
  if (named === undefined) return address.encapsulate(`/p2p/${id.toString()}`);
  if (named !== id.toString()) {
    const problem = `cluster file: ${field} ends in /p2p/${named}, but the networkKey beside it is ${id.toString()}`;
    throw new NarsesError("CONFIG_INVALID", problem, { field });
  }
  return address;
}

/** @throws NarsesError CONFIG_INVALID naming `field` when `text` is not a TCP or websocket multiaddr. */
export function parseAddress(text: string, field: string): Multiaddr {
  let address: Multiaddr;
  try {
    address = multiaddr(text);
  } catch (cause) {
    const problem = `${field} is not a multiaddr: ${JSON.stringify(text)}; write it like /ip4/127.0.0.1/tcp/7100`;
    throw new NarsesError("CONFIG_INVALID", problem, { field }, { cause });
  }
  const names = address.getComponents().map((component) => component.name).filter((name) => name !== "p2p").join("/");
  if (!/^(ip4|ip6|dns|dns4|dns6)\/tcp(\/ws|\/wss|\/tls\/ws|\/tls\/sni\/ws)?$/.test(names)) {
    const problem = `${field} must be /ip4|ip6|dns…/<host>/tcp/<port>, optionally with /ws, got ${JSON.stringify(text)}`;
    throw new NarsesError("CONFIG_INVALID", problem, { field });
  }
  return address;
}
