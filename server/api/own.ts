/**
 * An operation on what belongs to an account, once more for the caller's own: below `/me` in place of `/accounts/{account}`, and
 * without naming the account. What it does is written once.
 */
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { accountName } from './fields.ts'
import { apiRoot, type Call, type Deed, type Operation, type Reply, type Schema, type Shape } from './operation.ts'
import { ofCaller } from './right.ts'

const ofAnyone = '/accounts/{account}'

/** Parameters of which one is the account. */
type OfAccount = Shape & { readonly account: typeof accountName }

/** @param words what differs beside the path */
export function ownOf<P extends OfAccount, Q extends Shape, B extends Schema, A extends Schema>(
  operation: Operation<P, Q, B, A>,
  words: { readonly id: string; readonly summary: string },
): Operation<Omit<P, 'account'>, Q, B, A> {
  const { account: _account, ...parameters } = operation.parameters ?? ({} as P)
  const { account: _example, ...path } = operation.example?.path ?? {}
  return {
    ...operation,
    ...words,
    path: operation.path.replace(ofAnyone, '/me'),
    tag: 'me',
    right: ofCaller,
    parameters,
    ...(operation.example && { example: { ...operation.example, path } }),
    ...(operation.deed && { deed: (sent) => deedOf(operation, sent) }),
    handle: async (call) => {
      const of = { ...call, path: { ...call.path, account: nameOf(call.caller) } }
      return below(await operation.handle(of as unknown as Call<P, Q, B>), of.path.account)
    },
  }
}

function deedOf<P extends OfAccount, Q extends Shape, B extends Schema, A extends Schema>(
  operation: Operation<P, Q, B, A>,
  sent: { readonly caller: Caller; readonly path: object; readonly body: unknown },
): Deed {
  const path = { ...sent.path, account: accountNameOf(sent.caller.identity) ?? '' }
  const deed = operation.deed?.({ ...sent, path } as unknown as Parameters<NonNullable<typeof operation.deed>>[0])
  if (!deed) throw new RegistryError('internal', { cause: new Error(`${operation.id} has no deed`) })
  return deed
}

/** @throws {RegistryError} unauthenticated: nobody in particular, such as the operator of a data folder */
export function nameOf({ identity }: Caller): string {
  const name = accountNameOf(identity)
  if (name === undefined) throw new RegistryError('unauthenticated', { message: 'nobody is signed in: name the account' })
  return name
}

function below<T>(reply: Reply<T>, account: string): Reply<T> {
  const { location } = reply
  return location === undefined ? reply : { ...reply, location: location.replace(`${apiRoot}/accounts/${account}/`, `${apiRoot}/me/`) }
}
