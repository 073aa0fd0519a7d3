/** Limits of trust metadata. docs/operations.md lists them with what happens at each. */

/** Largest root file read: 512 KiB. */
export const ROOT_BYTES_MAX: number = 512 * 1024;
/** Largest timestamp read: 16 KiB. */
export const TIMESTAMP_BYTES_MAX: number = 16 * 1024;
/** Largest snapshot read, however long the timestamp says it is: 2 MiB. */
export const SNAPSHOT_BYTES_MAX: number = 2 * 1024 * 1024;
/** Largest targets file read, however long the snapshot says it is: 5 MiB. */
export const TARGETS_BYTES_MAX: number = 5 * 1024 * 1024;
/** Most roots walked in one decision; the next one goes on from there. At one rotation a week: 5 years. */
export const ROOT_STEPS_MAX = 256;
/** Most files that one decision asks a source for. */
export const GATHER_FILES_MAX = 600;
/** Most delegated roles looked at for one target. */
export const DELEGATIONS_MAX = 32;
/** Most keys and most signatures of one document: each is a signature that may have to be checked. */
export const TRUST_KEYS_MAX = 64;
/** Most files that a snapshot names. */
export const SNAPSHOT_FILES_MAX = 256;
/** Highest version of a metadata file. A version cannot be driven to where no next one exists. */
export const METADATA_VERSION_MAX: number = 2 ** 31 - 1;
/** Longest path of a target in characters. */
export const TARGET_PATH_LENGTH_MAX = 255;
/** Most files of one release that a node takes at once. */
export const WANTED_TARGETS_MAX = 4_096;
/** A download is judged by what came in this long: 60 s. */
export const RETRIEVAL_WINDOW_MS = 60_000;
/** Least bytes in a second, on the mean of RETRIEVAL_WINDOW_MS, that a download may come in: 256 bytes/s. */
export const RETRIEVAL_BYTES_PER_SECOND_MIN = 256;
