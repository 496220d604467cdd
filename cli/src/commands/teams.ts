/** Operator commands about teams: only over the control socket, like those about users. */
import { Command } from 'commander';
import type { Context } from '../context.ts';

type Team = { readonly name: string; readonly bundles: readonly string[]; readonly users: readonly string[] };

const teamPath = (team: string): string => `/local/teams/${encodeURIComponent(team)}`;
const memberPath = (team: string, user: string): string => `${teamPath(team)}/users/${encodeURIComponent(user)}`;

export function teamsCommand(context: Context): Command {
  const teams = new Command('teams').description(
    "who shares bundles, variables, connections and pools (on the server's own machine, as its user or root)",
  );
  teams
    .command('list')
    .description('all teams with their bundles and users')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const { teams: rows } = await context.client().json<{ teams: readonly Team[] }>('GET', '/local/teams');
      if (options.json) return context.output.json(rows);
      context.output.table(
        ['TEAM', 'BUNDLES', 'USERS'],
        rows.map((team) => [team.name, team.bundles.join(' ') || '-', team.users.join(' ') || '-']),
      );
    });
  teams
    .command('create <name>')
    .description('add a team; bundles are mapped to it by team_name in [dag_processor] dag_bundle_config_list')
    .action(async (name: string) => {
      await context.client().json('POST', '/local/teams', { name });
      context.output.line(`created team ${name}`);
    });
  teams
    .command('add-user <team> <user>')
    .description("let a user reach the team's things, as far as the user's role goes; counts from the next request on")
    .action(async (team: string, user: string) => {
      await context.client().json('PUT', memberPath(team, user));
      context.output.line(`${user} is in team ${team}`);
    });
  teams
    .command('remove-user <team> <user>')
    .description('take a user out of a team; counts from the next request on')
    .action(async (team: string, user: string) => {
      await context.client().json('DELETE', memberPath(team, user));
      context.output.line(`${user} is no longer in team ${team}`);
    });
  teams
    .command('delete <name>')
    .description('remove a team that nothing belongs to any more')
    .action(async (name: string) => {
      await context.client().json('DELETE', teamPath(name));
      context.output.line(`deleted team ${name}`);
    });
  return teams;
}
