export { helper as words } from './words.test.ts';
