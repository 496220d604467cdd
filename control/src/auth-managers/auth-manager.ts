/**
 * What an auth manager answers: who sent a request, and what that user may do and see. It is the only place that is asked for a
 * right; routes name resource, method and item in the policy table and never look at a role. @see rest-api 3.1
 */
import type { AccountRole } from '@airlock/store/queries/account/get';
import type { Visible } from '@airlock/store/queries/team/visible';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** PATCH and clearing ask for PUT, as in the reference. */
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A Dag and its parts; they have the team of the Dag, which is that of its bundle. */
export const DAG_RESOURCES = [
  'dag',
  'audit_log',
  'code',
  'dependencies',
  'hitl_detail',
  'run',
  'task',
  'task_instance',
  'task_logs',
  'version',
  'warning',
  'xcom',
] as const;
export type DagResource = (typeof DAG_RESOURCES)[number];
export type Resource =
  | DagResource
  | 'asset'
  | 'asset_alias'
  | 'pool'
  | 'variable'
  | 'connection'
  | 'configuration'
  // Views: there is nothing in them to change.
  | 'cluster_activity'
  | 'docs'
  | 'import_errors'
  | 'jobs'
  | 'plugins'
  | 'providers'
  | 'triggers'
  | 'website';

export type User = {
  readonly name: string;
  readonly role: AccountRole;
  /** Names of the teams that the user belongs to, now. */
  readonly teams: readonly string[];
  /** How the request proved it. A cookie rides along by itself, so writes by cookie need more. */
  readonly via: 'bearer' | 'cookie' | 'socket';
};

export type Question = {
  readonly resource: Resource;
  readonly method: Method;
  /** Id of the one thing that is meant; null = of whichever the user may see. */
  readonly item: string | null;
  /** Team that the item belongs to; null = none, or no one thing is meant. */
  readonly team: string | null;
};

export const MENU_ITEMS = [
  'Assets',
  'Audit Log',
  'Config',
  'Connections',
  'Dags',
  'Docs',
  'Jobs',
  'Plugins',
  'Pools',
  'Providers',
  'Required Actions',
  'Variables',
  'XComs',
] as const;
export type MenuItem = (typeof MENU_ITEMS)[number];

export type AuthManager = {
  /** Who sent this. @throws TOKEN_MISSING, TOKEN_EXPIRED, TOKEN_INVALID */
  readonly userOf: (request: FastifyRequest) => Promise<User>;
  readonly isAuthorized: (user: User, question: Question) => boolean;
  /** What a list of this kind shows to this user; asked after `isAuthorized` without an item. */
  readonly visible: (user: User, question: Pick<Question, 'resource' | 'method'>) => Visible;
  /** Whether the user may answer a request that is put to these people; to nobody in particular means to everybody. */
  readonly mayAnswer: (user: User, assigned: readonly string[]) => boolean;
  /** Pages that the user may open. */
  readonly menuItems: (user: User) => readonly MenuItem[];
  /** Where a person who is not logged in is sent, with `next` in the query. */
  readonly loginPath: string;
  /** Where a log-out goes on after our tokens have ended; null = to our own log-in page. */
  readonly logoutUrl: () => Promise<string | null>;
  /** Mounts routes of its own, below `/auth`. */
  readonly register: (app: FastifyInstance) => void;
};
