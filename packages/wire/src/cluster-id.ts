import type { ClusterConfig, Digest, Hasher } from "@narses/core";
import { hexDigest } from "./hex-digest.ts";
import { canonicalJson } from "./canonical-json.ts";
import { DOMAIN } from "./domains.ts";
import { utf8 } from "./host.ts";

/** SHA-256(domain ‖ canonical JSON): the same for everybody who holds the same configuration, whatever its layout on disk. */
export const clusterId = (hasher: Hasher, cluster: ClusterConfig): Digest => hexDigest(hasher.sha256(DOMAIN.cluster, utf8(canonicalJson(cluster))));
