/** Entry of the process that runs the triggers of TypeScript tasks. Started inside the sandbox; reads nothing of its environment. */
import { serveTriggers } from '../src/triggers/main.ts';

serveTriggers();
