/** Sizes on the channel between a supervisor and its child; apart from the schemas, so that the child loads no schema library. */

/** Largest frame from a child, bytes. A result above it fails the task with a message that names the limit. */
export const MAX_CHILD_FRAME_BYTES = 16 * 1024 * 1024;
/** Largest frame to a child, bytes. */
export const MAX_PARENT_FRAME_BYTES = 64 * 1024 * 1024;
/** Largest Dag module in an archive, unpacked; the child bounds its bytes by the same number. */
export const MAX_MODULE_CHARACTERS = 4 * 1024 * 1024;
