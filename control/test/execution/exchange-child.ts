/** A process of its own that makes one request when it is told to, for tests of who may exchange a token. Nothing secret in its arguments. */
export type Exchange = { readonly url: string; readonly headers: Record<string, string>; readonly body: unknown };
export type Exchanged = { readonly status: number; readonly token: string | null };

process.once('message', async ({ url, headers, body }: Exchange) => {
  const response = await fetch(url, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  const answer: Exchanged = { status: response.status, token: response.headers.get('refreshed-api-token') };
  process.send!(answer);
  // Lives on until it is told to go, so that it can be looked at.
  process.once('disconnect', () => process.exit(0));
});
process.send!('ready');
