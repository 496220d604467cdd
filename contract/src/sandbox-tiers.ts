/** Kinds of isolation, strongest first. Without imports, so that reading options loads no schema library. */
export const SANDBOX_TIERS = ['namespaces', 'landlock', 'user', 'none'] as const;
/** `namespaces`: own mount, pid and ipc namespaces, Landlock, seccomp, own user id. */
export type SandboxTier = (typeof SANDBOX_TIERS)[number];
