/**
 * An answer counts only for the request that it answers. HTTP/1.1 pairs them by their order on a connection, so that one reply
 * too many, from a proxy that repeats or confuses replies, would be read as the answer to the next request: a heartbeat's
 * `204` as that of a result which the server never got. Each request carries an id of its own, which the Execution API sends
 * back; a reply with another one ends the connection, and the request is made again.
 */
import type { Dispatcher } from 'undici';

export const CORRELATION_ID = 'correlation-id';

/** For requests whose headers are an object with lower-case names. A reply without an id passes: it may be a proxy's own. */
export const ownAnswersOnly: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => {
  const asked = (options.headers as Readonly<Record<string, string>>)[CORRELATION_ID];
  return dispatch(options, {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseStart: (controller, status, headers, message) => {
      const answered = headers[CORRELATION_ID];
      if (answered !== undefined && answered !== asked) {
        controller.abort(new Error('the reply is the answer to another request'));
        return;
      }
      handler.onResponseStart?.(controller, status, headers, message);
    },
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  });
};
