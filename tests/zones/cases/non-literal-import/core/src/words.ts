export const words: readonly string[] = ['one'];
export const late = (name: string) => import(name);
