export const words: readonly string[] = ['one'];
export const home = process.env.HOME;
