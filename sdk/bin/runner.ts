/** Entry of the process that runs one task. Started inside the sandbox; reads nothing of its environment. */
import { serveOneTask } from '../src/runner/main.ts';

serveOneTask();
