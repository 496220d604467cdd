export const words: readonly string[] = ['one'];
export const hidden = process.getBuiltinModule('child_process');
