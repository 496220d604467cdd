/** The three calls of the dag-processor to the server, with its own scoped token. */
import { AppError } from '@airlock/contract/errors';
import {
  type BundleList,
  type BundleListing,
  bundleList,
  type ParseReport,
  type ParseReportAnswer,
  parseReportAnswer,
} from '@airlock/contract/supervisor-api';
import type { ExecutionAnswer, ExecutionClient, TokenHolder } from '../client/index.ts';
import type { ParseReads } from './parse-child.ts';

export type ParseApi = {
  bundles(signal: AbortSignal): Promise<BundleList>;
  report(bundleName: string, report: ParseReport, signal: AbortSignal): Promise<ParseReportAnswer>;
  listing(bundleName: string, files: readonly string[], signal: AbortSignal): Promise<void>;
  /** The bundle can't be read, and why. A listing takes it back. */
  failure(bundleName: string, text: string, signal: AbortSignal): Promise<void>;
};

/** Asks the server for what the top level of a Python file reads, with the token of this role. */
export function makeParseReads(client: ExecutionClient, token: TokenHolder): ParseReads {
  return async ({ bundleName }, read, signal) => {
    const named = read.type === 'get_variable' ? ['variables', read.key] : ['connections', read.conn_id];
    const path = `/bundles/${encodeURIComponent(bundleName)}/${named.map(encodeURIComponent).join('/')}`;
    const answer = await client.call({ token, method: 'GET', path, signal });
    if (answer.status === 200) return { value: answer.json() };
    const code = answer.status === 404 ? 'NOT_FOUND' : answer.status === 403 ? 'NOT_ENTITLED' : 'API_UNREACHABLE';
    return { error: { status: answer.status, code, message: `The server answered ${answer.status}.` } };
  };
}

const MAX_FAILURE_LENGTH = 4000;
/** A bundled module may be megabytes. */
const REPORT_TIMEOUT_MS = 30_000;

/** The server said no, and would say so again. */
export class ReportRefused extends AppError {
  readonly status: number;
  constructor(what: string, answer: ExecutionAnswer) {
    super(answer.status === 413 ? 'BODY_TOO_LARGE' : 'VALIDATION', {
      public: `The server refused ${what} with ${answer.status}.`,
      internal: { body: answer.text().slice(0, 2000) },
    });
    this.status = answer.status;
  }
}

/** Every method throws AppError API_UNREACHABLE when there is no answer, ReportRefused when the answer is a refusal. */
export function makeParseApi(client: ExecutionClient, token: TokenHolder): ParseApi {
  const checked = (what: string, answer: ExecutionAnswer): ExecutionAnswer => {
    if (answer.status < 200 || answer.status > 299) throw new ReportRefused(what, answer);
    return answer;
  };
  const below = (bundleName: string) => `/bundles/${encodeURIComponent(bundleName)}`;
  const list = async (bundleName: string, json: BundleListing, signal: AbortSignal): Promise<void> => {
    const path = `${below(bundleName)}/listing`;
    checked('the list of files', await client.call({ token, method: 'PUT', path, json, signal }));
  };
  return {
    async bundles(signal) {
      const answer = await client.call({ token, method: 'GET', path: '/bundles', signal });
      return bundleList.parse(checked('the list of bundles', answer).json());
    },
    async report(bundleName, report, signal) {
      const path = `${below(bundleName)}/file`;
      const answer = await client.call({
        token,
        method: 'PUT',
        path,
        json: report,
        timeoutMs: REPORT_TIMEOUT_MS,
        signal,
      });
      return parseReportAnswer.parse(checked(`the report on ${report.relative_fileloc}`, answer).json());
    },
    listing: (bundleName, files, signal) => list(bundleName, { files: [...files] }, signal),
    failure: (bundleName, text, signal) => list(bundleName, { failure: text.slice(0, MAX_FAILURE_LENGTH) }, signal),
  };
}
