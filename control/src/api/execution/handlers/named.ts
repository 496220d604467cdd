/** Variables and connections. Rights come first: what was not declared gets one answer, whether or not it exists. */
import { z } from '@airlock/contract/schema';
import { deleteVariableFor, putVariableFor } from '@airlock/store/queries/token/named';
import { check } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { lookUp } from '../../secrets/sources.ts';
import { openConnection, openVariable, secretOwner } from '../../secrets/stored.ts';
import type { Call, Handler } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { mayReadNamed, mayWriteVariables } from '../rights.ts';
import { parseVariableBody } from '../schemas.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

function variableKey(call: Call): string {
  const { variable_key: key } = check(
    z.object({ variable_key: wire.text({ min: 1, max: 250 }) }),
    { variable_key: call.params['*'] ?? '' },
    ['path'],
  );
  return key;
}

const readOf = (call: Call, name: string) => {
  const { id, jti, triggerer } = callerKey(call);
  return { id, jti, name, triggerer };
};

export const getVariable: Handler = async (context, call) => {
  const key = variableKey(call);
  const read = async () => requireLive(context, call, await context.variables(readOf(call, key)));
  const caller = await read();
  if (!caller.allowed || !mayReadNamed(context.rights, caller, 'variables', key)) throw notEntitled(`variable ${key}`);
  await context.uses.note(caller, 'variables', key);
  const outside = await lookUp(context.deps.secretSources, (source) => source.variable(key, caller.team));
  // Asking may have taken seconds, and the try may have ended meanwhile.
  const row = context.deps.secretSources.list.length > 0 ? await read() : caller;
  if (outside === null && !row.data) throw notFound(`Variable with key '${key}' not found`);
  const value = outside ?? openVariable(context.box, row.data!).val;
  return await answerLive(context, call, row, { status: 200, body: { key, value } });
};

export const putVariable: Handler = async (context, call) => {
  const key = variableKey(call);
  const { val, description } = parseVariableBody(call.request.body);
  // The reference stores the word of its language for nothing; readers depend on it.
  const text = val ?? 'None';
  const { box } = context;
  const row = await requireLive(
    context,
    call,
    await putVariableFor(
      context.db,
      callerKey(call),
      key,
      {
        val: box.encrypts ? box.seal(text, secretOwner.variable(key)) : text,
        encrypted: box.encrypts,
        description: description ?? null,
      },
      context.rights,
    ),
  );
  if (!row.allowed || !mayWriteVariables(context.rights, row)) throw notEntitled(`variable ${key}`);
  await context.uses.note(row, 'variable_writes', key);
  return await answerLive(context, call, row, { status: 201, body: { message: 'Variable successfully set' } });
};

export const deleteVariable: Handler = async (context, call) => {
  const key = variableKey(call);
  const row = await requireLive(
    context,
    call,
    await deleteVariableFor(context.db, callerKey(call), key, context.rights),
  );
  if (!row.allowed || !mayWriteVariables(context.rights, row)) throw notEntitled(`variable ${key}`);
  await context.uses.note(row, 'variable_writes', key);
  return await answerLive(context, call, row, { status: 204 });
};

export const getConnection: Handler = async (context, call) => {
  const connId = call.params.conn_id ?? '';
  const read = async () => requireLive(context, call, await context.connections(readOf(call, connId)));
  const caller = await read();
  if (!caller.allowed || !mayReadNamed(context.rights, caller, 'connections', connId)) {
    throw notEntitled(`connection ${connId}`);
  }
  await context.uses.note(caller, 'connections', connId);
  const outside = await lookUp(context.deps.secretSources, (source) => source.connection(connId, caller.team));
  const row = context.deps.secretSources.list.length > 0 ? await read() : caller;
  if (outside === null && !row.data) throw notFound(`Connection with ID ${connId} not found`);
  const { conn_type, host, schema, login, password, port, extra } = outside ?? openConnection(context.box, row.data!);
  return await answerLive(context, call, row, {
    status: 200,
    body: { conn_id: connId, conn_type, host, schema, login, password, port, extra },
  });
};
