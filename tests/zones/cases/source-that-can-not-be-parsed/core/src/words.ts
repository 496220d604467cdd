export const words: readonly string[] = ['one'];
export const = ;
