/**
 * No allow-all transport (promise L11): who a request is from is decided in three places of the shipped code, each of which
 * verifies, and no process that hosts user code reaches the code behind them. Found in the sources themselves.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findings } from '../../tools/zones/identities.ts';

const root = join(import.meta.dirname, '../..');

/** Each place that makes one, and the verification that stands in the same file. */
const PLACES: Readonly<Record<string, { readonly what: string; readonly after: RegExp }>> = {
  'control/src/api/execution/authenticate.ts': {
    what: 'makes an identity',
    after:
      /const claims = await verifier\.verify\(kind, token, [^)]*\)\);[\s\S]*const subject = asksForTry\(kind, row\) \? tryNamed\(request\) : claims\.sub;[\s\S]*return \{\s*kind,\s*claims,\s*subject,\s*token,/,
  },
  'control/src/api/auth/identity.ts': {
    what: 'makes a user',
    after: /await claimsOf\([\s\S]*getStanding\([\s\S]*via: presented\.via/,
  },
  'control/src/api/local/socket.ts': {
    what: 'makes a user',
    after: /peerCredentials\(socket\)[\s\S]*admitted\.has\(uid\)[\s\S]*via: 'socket'/,
  },
  // The option for laptops, off by default: only requests of this machine to a server that listens on loopback.
  'control/src/auth-managers/index.ts': {
    what: 'makes a user',
    after:
      /if \(core\.simple_auth_manager_all_admins\) \{\s*checkAllAdmins\(deps\.config\);[\s\S]*!isOwnMachine\(request, api\)/,
  },
  // Nobody at all, for routes whose row says that no credential is looked at.
  'control/src/api/rest/route.ts': {
    what: 'makes a user',
    after:
      /NOBODY: User = \{ name: ''[\s\S]*let user = NOBODY;\s*let payer: Payer \| null = null;\s*if \(!\('public' in row\)\)/,
  },
};

test('identities are made in the listed places alone, each after a verification', () => {
  const seen = new Map<string, ReturnType<typeof findings>>();
  const sources = globSync(
    '{control,store,secret-backends,token-verify,token-sign,proc,supervisor,standalone,sdk,contract,cli}/{src,bin}/**/*.ts',
    {
      cwd: root,
    },
  ).filter((path) => !/\.test(-d)?\.ts$/.test(path));
  for (const path of sources) {
    const found = findings(readFileSync(join(root, path), 'utf8'));
    if (found.length > 0) seen.set(path, found);
  }
  assert.ok(sources.length > 300, `${sources.length} sources`);
  assert.deepEqual([...seen.keys()].sort(), Object.keys(PLACES).sort());
  for (const [path, found] of seen) {
    assert.deepEqual(
      found.map(({ what }) => what),
      [PLACES[path]!.what],
      path,
    );
    assert.match(readFileSync(join(root, path), 'utf8'), PLACES[path]!.after, path);
  }
  console.log(
    `identities: ${sources.length} sources, ${seen.size} places that make one, all listed, 0 in-process calls of a server`,
  );
});

test('the search finds what it is for: the control', () => {
  for (const [text, what] of [
    ["const u = { name: 'x', role: 'admin', teams: [], via: 'bearer' };", 'makes a user'],
    ['return0({ kind, claims: {}, token, jkt: null });', 'makes an identity'],
    ['handle(body as User);', 'claims an identity'],
    ['handle(body as Identity);', 'claims an identity'],
    ["app.inject({ url: '/' });", 'calls a server in its own process'],
  ] as const)
    assert.deepEqual(
      findings(text).map((each) => each.what),
      [what],
      text,
    );
  assert.deepEqual(findings("const row = { role: 'admin' }; call(claims); x as Users; inject(1);"), []);
});

test('no process that hosts or runs user code reaches the server, the database or the tokens of others', () => {
  const reached = JSON.parse(readFileSync(join(root, 'tools/zones/reached.json'), 'utf8')) as Record<
    string,
    { packages: string[] }
  >;
  const behind = ['control', 'store', 'secret-backends', 'token-verify', 'token-sign'];
  for (const process of ['supervisor', 'runner', 'parser', 'bundle'])
    assert.deepEqual(
      reached[process]!.packages.filter((name) => behind.includes(name)),
      [],
      process,
    );
  assert.deepEqual(
    reached.control!.packages.filter((name) => behind.includes(name)),
    ['control', 'secret-backends', 'store', 'token-verify'],
    'the control',
  );
});
