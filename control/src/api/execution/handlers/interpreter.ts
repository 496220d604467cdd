/** What a Dag processor says of its Python, for people to read. */
import { inventory, plugin } from '@airlock/contract/inventory';
import { saveInterpreter } from '@airlock/store/queries/supervisor/interpreter';
import { parseBody } from '../../http/validation.ts';
import { forSupervisor } from './supervisors.ts';

export const interpreter = forSupervisor(async (context, call) => {
  const { providers, plugins, plugin_import_errors } = parseBody(inventory, call.request);
  await saveInterpreter(context.db, {
    supervisorId: call.identity.claims.sub,
    nowIso: call.nowIso,
    inventory: {
      providers,
      plugins: plugins.flatMap((found) => plugin.safeParse(found).data ?? []),
      plugin_import_errors,
    },
  });
  return { status: 204 };
});
