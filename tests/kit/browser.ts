/** As much of a browser as a log-in needs: cookies by origin and path, and one redirect after another. */
type Cookie = { readonly value: string; readonly path: string; readonly line: string };

export type Visit = { readonly url: string; readonly status: number; readonly text: string; readonly headers: Headers };

export class Browser {
  readonly cookies = new Map<string, Map<string, Cookie>>();
  /** Public origin to where it really listens. */
  readonly #served: Readonly<Record<string, string>>;

  constructor(served: Readonly<Record<string, string>> = {}) {
    this.#served = served;
  }

  cookie(origin: string, name: string): Cookie | undefined {
    return this.cookies.get(origin)?.get(name);
  }

  /** One request, no redirect followed. */
  async get(address: string): Promise<Visit> {
    const url = new URL(address);
    const jar = this.cookies.get(url.origin) ?? new Map<string, Cookie>();
    this.cookies.set(url.origin, jar);
    const sent = [...jar].filter(([, { path }]) =>
      `${url.pathname}/`.startsWith(path.endsWith('/') ? path : `${path}/`),
    );
    const headers: Record<string, string> =
      sent.length === 0 ? {} : { cookie: sent.map(([name, { value }]) => `${name}=${value}`).join('; ') };
    const target = (this.#served[url.origin] ?? url.origin) + url.pathname + url.search;
    const response = await fetch(target, { headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair!.indexOf('=');
      const [name, value] = [pair!.slice(0, at), pair!.slice(at + 1)];
      const path = attributes.find((each) => /^path=/i.test(each))?.slice(5) ?? '/';
      const gone = attributes.some((each) => /^max-age=0$/i.test(each) || /^expires=Thu, 01 Jan 1970/i.test(each));
      if (gone) jar.delete(name);
      else jar.set(name, { value, path, line });
    }
    return { url: address, status: response.status, text: await response.text(), headers: response.headers };
  }

  /** Follows redirects until an answer is none, or `stop` says so about the next address. */
  async follow(address: string, stop: (next: string) => boolean = () => false): Promise<Visit> {
    let at = address;
    for (let steps = 0; steps < 20; steps++) {
      const visit = await this.get(at);
      const location = visit.headers.get('location');
      if (location === null) return visit;
      at = new URL(location, at).href;
      if (stop(at)) return { ...visit, url: at };
    }
    throw new Error('too many redirects');
  }
}
