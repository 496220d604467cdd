export const words: readonly string[] = ['one'];
export const run = (text: string) => eval(text);
