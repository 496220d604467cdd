export const words: readonly string[] = ['one'];
export const hidden = (process as never as { binding: (name: string) => unknown }).binding('spawn_sync');
export const plain = process['binding'];
