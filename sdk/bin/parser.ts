/** Entry of the process that parses one Dag file. Started inside the sandbox; reads nothing of its environment. */
import { serveOneParse } from '../src/parser/main.ts';

serveOneParse();
