/** The authenticated state in a LevelDB directory. */
import { openLevelBackend } from "./level-backend.ts";
import { openStateOver, type AuthenticatedState, type StateOptions } from "./state-store.ts";

export interface StateStoreOptions extends StateOptions {
  /** Made when missing. Nothing but this state may be in it. */
  readonly directory: string;
  /** The replica has run before: a directory without a state is DATA_CORRUPT. */
  readonly mustExist?: boolean;
}

/**
 * Opens or makes the state in a LevelDB directory.
 * @throws NarsesError DATA_CORRUPT, DATA_VERSION, DATA_DIR_LOCKED, CONFIG_INVALID (other bucket bits), DISK_FAILED.
 */
export async function openStateStore(options: StateStoreOptions): Promise<AuthenticatedState> {
  return openStateOver(options, await openLevelBackend(options.directory, options.mustExist ?? false));
}
