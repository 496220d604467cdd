/** Operator commands: only over the control socket, where the server knows the caller by the kernel's word. */
import { Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { readSecretLine } from '../secret-input.ts';

const ROLES = ['viewer', 'user', 'op', 'admin'] as const;
type User = {
  readonly name: string;
  readonly role: string;
  readonly disabled: boolean;
  readonly has_password: boolean;
};

const userPath = (name: string, ...rest: readonly string[]): string =>
  ['/local/users', encodeURIComponent(name), ...rest].join('/');

export function usersCommand(context: Context): Command {
  const users = new Command('users').description("who may log in (on the server's own machine, as its user or root)");
  users
    .command('list')
    .description('all users with their roles')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const { users: rows } = await context.client().json<{ users: readonly User[] }>('GET', '/local/users');
      if (options.json) return context.output.json(rows);
      context.output.table(
        ['USER', 'ROLE', 'STATE'],
        rows.map((user) => [
          user.name,
          user.role,
          user.disabled ? 'disabled' : user.has_password ? 'active' : 'no password yet',
        ]),
      );
    });
  users
    .command('create <name>')
    .description('add a user')
    .addOption(new Option('--role <role>', 'what the user may do').choices(ROLES).makeOptionMandatory())
    .option('--password-stdin', 'read the password from standard input instead of asking')
    .action(async (name: string, options: { role: string; passwordStdin?: boolean }) => {
      const password = await readSecretLine(context, 'Password: ', options.passwordStdin === true);
      await context.client().json('POST', '/local/users', { name, role: options.role, password });
      context.output.line(`created ${name} (${options.role})`);
    });
  users
    .command('reset-password <name>')
    .description('set a new password; tokens that the user holds end')
    .option('--password-stdin', 'read the password from standard input instead of asking')
    .action(async (name: string, options: { passwordStdin?: boolean }) => {
      const password = await readSecretLine(context, 'New password: ', options.passwordStdin === true);
      await context.client().json('POST', userPath(name, 'password'), { password });
      context.output.line(`new password for ${name}`);
    });
  users
    .command('role <name> <role>')
    .description(`change a role: ${ROLES.join(', ')}; counts from the next request on`)
    .action(async (name: string, role: string) => {
      await context.client().json('PATCH', userPath(name), { role });
      context.output.line(`${name} is now ${role}`);
    });
  for (const [verb, disabled] of [
    ['disable', true],
    ['enable', false],
  ] as const) {
    users
      .command(`${verb} <name>`)
      .description(disabled ? 'refuse every further request of this user' : 'let a disabled user in again')
      .action(async (name: string) => {
        await context.client().json('PATCH', userPath(name), { disabled });
        context.output.line(`${name} ${verb}d`);
      });
  }
  users
    .command('revoke <name>')
    .description('end every token that the user holds; the password stays')
    .action(async (name: string) => {
      await context.client().json('POST', userPath(name, 'revoke-tokens'));
      context.output.line(`the tokens of ${name} are revoked`);
    });
  users
    .command('delete <name>')
    .description('remove a user')
    .action(async (name: string) => {
      await context.client().json('DELETE', userPath(name));
      context.output.line(`deleted ${name}`);
    });
  return users;
}
