import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Method, Question, Resource, User } from './auth-manager.ts';
import { rolePermissions } from './permissions.ts';

const METHODS: readonly Method[] = ['GET', 'POST', 'PUT', 'DELETE'];
const ROLES = ['viewer', 'user', 'op', 'admin'] as const;
const somebody = (role: User['role'], teams: readonly string[] = []): User => ({
  name: 'x',
  role,
  teams,
  via: 'bearer',
});
const about = (resource: Resource, method: Method, team: string | null = null): Question => ({
  resource,
  method,
  item: team === null ? null : 'thing',
  team,
});

/** Written down by hand from the reference's table: least role that reads, least that writes. */
const TABLE: Readonly<Record<Resource, readonly [read: User['role'], write: User['role']]>> = {
  dag: ['viewer', 'user'],
  audit_log: ['viewer', 'user'],
  code: ['viewer', 'user'],
  dependencies: ['viewer', 'user'],
  hitl_detail: ['viewer', 'user'],
  run: ['viewer', 'user'],
  task: ['viewer', 'user'],
  task_instance: ['viewer', 'user'],
  task_logs: ['viewer', 'user'],
  version: ['viewer', 'user'],
  warning: ['viewer', 'user'],
  xcom: ['viewer', 'user'],
  asset: ['viewer', 'op'],
  asset_alias: ['viewer', 'op'],
  pool: ['viewer', 'op'],
  configuration: ['viewer', 'op'],
  connection: ['op', 'op'],
  variable: ['op', 'op'],
  cluster_activity: ['viewer', 'admin'],
  docs: ['viewer', 'admin'],
  import_errors: ['viewer', 'admin'],
  jobs: ['viewer', 'admin'],
  plugins: ['viewer', 'admin'],
  providers: ['viewer', 'admin'],
  triggers: ['viewer', 'admin'],
  website: ['viewer', 'admin'],
};

test('each role may do with each resource exactly what the table says', () => {
  const { isAuthorized } = rolePermissions(false);
  for (const [resource, [read, write]] of Object.entries(TABLE)) {
    for (const method of METHODS) {
      const least = method === 'GET' ? read : write;
      for (const role of ROLES) {
        const may = isAuthorized(somebody(role), about(resource as Resource, method));
        assert.equal(may, ROLES.indexOf(role) >= ROLES.indexOf(least), `${role} ${method} ${resource}`);
      }
    }
  }
});

test('with teams on, every role but admin is refused what belongs to a team that is not its own', () => {
  const { isAuthorized } = rolePermissions(true);
  for (const resource of Object.keys(TABLE) as Resource[]) {
    for (const method of METHODS) {
      for (const role of ['viewer', 'user', 'op'] as const) {
        const without = isAuthorized(somebody(role, ['a']), about(resource, method));
        assert.equal(isAuthorized(somebody(role, ['a']), about(resource, method, 'b')), false);
        assert.equal(isAuthorized(somebody(role), about(resource, method, 'b')), false);
        assert.equal(isAuthorized(somebody(role, ['a', 'B']), about(resource, method, 'b')), false, 'case counts');
        // Controls: the own team, and what belongs to none, are as without teams.
        assert.equal(isAuthorized(somebody(role, ['a', 'b']), about(resource, method, 'b')), without);
      }
      assert.equal(isAuthorized(somebody('admin'), about(resource, method, 'b')), true);
    }
  }
});

test('lists are cut to the own teams, except for admins and where teams are off', () => {
  const question = about('dag', 'GET');
  assert.deepEqual(rolePermissions(true).visible(somebody('op', ['a']), question), { teams: ['a'] });
  assert.deepEqual(rolePermissions(true).visible(somebody('viewer'), question), { teams: [] });
  assert.equal(rolePermissions(true).visible(somebody('admin'), question), 'all');
  assert.equal(rolePermissions(false).visible(somebody('viewer', ['a']), question), 'all');
});

test('the menu holds the pages that a role may read', () => {
  const { menuItems } = rolePermissions(false);
  const hidden = (role: User['role']) =>
    menuItems(somebody('admin')).filter((item) => !menuItems(somebody(role)).includes(item));
  for (const role of ['viewer', 'user'] as const) assert.deepEqual(hidden(role), ['Connections', 'Variables']);
  assert.deepEqual(hidden('op'), []);
});

test('a request to people is answered by those whom it names, an admin not excepted, and by everybody where it names nobody', () => {
  const { mayAnswer } = rolePermissions(true);
  for (const role of ROLES) {
    assert.equal(mayAnswer(somebody(role), ['y', 'X']), false, role);
    assert.equal(mayAnswer(somebody(role), ['y', 'x']), true); // control
    assert.equal(mayAnswer(somebody(role), []), true);
  }
});
