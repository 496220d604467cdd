export const words: readonly string[] = ['one'];
export const get = () => fetch('http://localhost');
