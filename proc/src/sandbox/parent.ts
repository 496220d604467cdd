/** What a process does to itself before it starts sandboxed children, because children inherit it. */
import { becomeSubreaper, closeDescriptorsOnExec, forbidNewPrivileges } from '../native/process.ts';
import { installNoRingsFilter } from '../native/seccomp.ts';
import { thisArchitecture } from '../native/syscalls.ts';

let filtered = false;

/** Cheap (one system call) after the first time. Where seccomp is missing, the tiers that need it fail by themselves. */
export function prepareParent(): void {
  closeDescriptorsOnExec();
  if (filtered) return;
  filtered = true;
  // Where no pid namespace ends a child, what it left behind is found among our own children.
  becomeSubreaper();
  const architecture = thisArchitecture();
  if (architecture === null) return;
  try {
    forbidNewPrivileges();
    installNoRingsFilter(architecture);
  } catch {
    // A kernel without seccomp: `detectTier` finds out by its probe, and says so.
  }
}
