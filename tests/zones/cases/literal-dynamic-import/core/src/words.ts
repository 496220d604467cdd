export const words: readonly string[] = ['one'];
export const late = () => import('node:child_process');
