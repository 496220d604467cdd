// Loaded before the launcher: what Node below 26 looks like to it.
process.execve = undefined;
