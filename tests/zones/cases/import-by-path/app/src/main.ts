export { start } from '../../hands/src/start.ts';
