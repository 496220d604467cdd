/** Below `/ui`: what a web interface asks about the person in front of it, as Airflow's does. @see rest-api 2.6, 3.1 */
import type { FastifyInstance } from 'fastify';
import type { PolicyRow } from '../rest/policy.ts';
import { mountRoutes, type RestContext, type RestDeps, type RestRoute } from '../rest/route.ts';

const VIEW: PolicyRow = { resource: 'website', method: 'GET', item: null };

export const UI_POLICY: Readonly<Record<string, PolicyRow>> = {
  'GET /auth/me': VIEW,
  'GET /auth/menus': VIEW,
};

async function me({ user }: RestContext): Promise<unknown> {
  return { id: user.name, username: user.name };
}

/** Airflow shows every page to everybody; here only those that the user may read. */
async function menus({ deps, user }: RestContext): Promise<unknown> {
  return { authorized_menu_items: deps.auth.menuItems(user), extra_menu_items: [] };
}

export const UI_ROUTES: readonly RestRoute[] = [
  { method: 'GET', path: '/auth/me', handle: me },
  { method: 'GET', path: '/auth/menus', handle: menus },
];

/** Mounts the routes. @throws when routes and policy table differ */
export function mountUi(app: FastifyInstance, deps: RestDeps): void {
  app.register(async (scope) => mountRoutes(scope, deps, UI_ROUTES, UI_POLICY, deps.auth.userOf), { prefix: '/ui' });
}
