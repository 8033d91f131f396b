/**
 * Operations on what opens an account: the own password, and second factors. The own ones are for people who show their password or
 * come from a browser's session, and who show the password once more where an open browser must not be enough.
 *
 * Invariant: no access token changes what opens its account.
 */
import { z } from 'zod'
import type { Account, Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { accountNamed } from '../../registry/accounts.ts'
import { changePassword } from '../../registry/change-password.ts'
import { accountName } from './fields.ts'
import { operation, type Deed } from './operation.ts'
import { nameOf, ownOf } from './own.ts'
import { administration, ofAccount, ownCredentials } from './right.ts'

const tag = 'me'
const ofOne = { account: accountName }
const password = z.string().meta({ description: 'The current one.', format: 'password', examples: ['correct horse battery'] })
const code = z.string().meta({ description: 'What the app shows now.', examples: ['123456'] })
const recoveryCodes = z.array(z.string()).meta({ description: 'Each stands in once for a code of the app. They are shown only this once.' })
const codesSchema = z.strictObject({ recoveryCodes }).meta({ id: 'RecoveryCodes' })

export const changeOwnPassword = operation({
  id: 'changeOwnPassword',
  method: 'PUT',
  path: '/me/password',
  tag,
  summary: 'Change your own password',
  description: 'All sessions but the one that the request comes from end, and all tokens.',
  right: ownCredentials,
  body: z
    .strictObject({
      currentPassword: password,
      newPassword: z.string().meta({ description: 'At least 8 characters and at most 72 bytes.', format: 'password' }),
    })
    .meta({ id: 'PasswordChange' }),
  answer: { status: 204, description: 'It is changed.' },
  errors: ['loginThrottled'],
  example: { body: { currentPassword: 'correct horse battery', newPassword: 'several odd words' } },
  deed: ({ caller }) => ({ action: 'user-password', target: targetOf(caller) }),
  handle: async ({ services, caller, source, body: { currentPassword: oldPassword, newPassword } }) => {
    const { authenticator, passwords, registry } = services
    const change = { account: accountOf(caller), oldPassword, newPassword, source, ...keptBy(caller) }
    await changePassword({ database: registry.database, authenticator, passwords }, change)
    return { body: undefined }
  },
})

export const getSecondFactor = operation({
  id: 'getSecondFactor',
  method: 'GET',
  path: '/accounts/{account}/second-factor',
  tag: 'accounts',
  summary: 'Say whether an account has a second factor',
  right: ofAccount,
  parameters: ofOne,
  answer: {
    status: 200,
    description: 'Whether it has one.',
    schema: z.strictObject({ enabled: z.boolean(), recoveryCodesLeft: z.int().min(0) }).meta({ id: 'SecondFactor' }),
  },
  errors: ['accountUnknown'],
  example: { path: { account: 'alice' } },
  handle: async ({ services, path }) => {
    const account = await accountNamed(services.registry.database, path.account)
    return { body: { enabled: account.hasSecondFactor, recoveryCodesLeft: await services.secondFactors.recoveryCodesLeft(account) } }
  },
})

export const removeSecondFactor = operation({
  id: 'removeSecondFactor',
  method: 'DELETE',
  path: '/accounts/{account}/second-factor',
  tag: 'accounts',
  summary: 'Take the second factor of an account away, when its device is lost',
  description: 'The password alone opens the account again. All its sessions end. Your own you remove below /me.',
  right: administration,
  parameters: ofOne,
  answer: { status: 204, description: 'It is gone.' },
  errors: ['accountUnknown'],
  example: { path: { account: 'alice' } },
  deed: ({ path }) => factorDeed(path.account, 'removed'),
  handle: async ({ services, caller, path }) => {
    if (caller.identity.kind === 'account' && caller.identity.account.name === path.account) throw ownFactor()
    await services.secondFactors.disable(await accountNamed(services.registry.database, path.account))
    return { body: undefined }
  },
})

export const getOwnSecondFactor = ownOf(getSecondFactor, { id: 'getOwnSecondFactor', summary: 'Say whether you have a second factor' })

export const startSecondFactor = operation({
  id: 'startSecondFactor',
  method: 'POST',
  path: '/me/second-factor',
  tag,
  summary: 'Begin a second factor',
  description: 'It counts for nothing until a code of it confirms it. To begin again replaces the secret.',
  right: ownCredentials,
  body: z.strictObject({ password }).meta({ id: 'SecondFactorStart' }),
  answer: {
    status: 200,
    description: 'What an app computes the codes from. It is shown only this once.',
    schema: z
      .strictObject({
        secret: z.string().meta({ description: 'In base32, to be typed.' }),
        uri: z.string().meta({ description: 'otpauth://, for a QR code.' }),
      })
      .meta({ id: 'StartedSecondFactor' }),
  },
  errors: ['loginThrottled'],
  example: { body: { password: 'correct horse battery' } },
  deed: ({ caller }) => factorDeed(targetOf(caller), 'begun'),
  handle: async ({ services, caller, source, body }) => {
    const account = accountOf(caller)
    await services.authenticator.checkPassword(account.name, body.password, source)
    return { body: await services.secondFactors.enrol(account) }
  },
})

export const confirmSecondFactor = operation({
  id: 'confirmSecondFactor',
  method: 'POST',
  path: '/me/second-factor/confirm',
  tag,
  summary: 'Confirm a second factor by a first code',
  description: 'From now on it counts. All sessions but the one that the request comes from end.',
  right: ownCredentials,
  body: z.strictObject({ code }).meta({ id: 'SecondFactorConfirmation' }),
  answer: { status: 200, description: 'Codes for the day on which the device is lost.', schema: codesSchema },
  errors: ['codeWrong'],
  example: { body: { code: '123456' } },
  deed: ({ caller }) => factorDeed(targetOf(caller), 'confirmed'),
  handle: async ({ services, caller, body }) => ({
    body: { recoveryCodes: await services.secondFactors.confirm(accountOf(caller), { code: body.code, ...keptBy(caller) }) },
  }),
})

export const renewRecoveryCodes = operation({
  id: 'renewRecoveryCodes',
  method: 'POST',
  path: '/me/second-factor/recovery-codes',
  tag,
  summary: 'Make new recovery codes in place of those that are left',
  right: ownCredentials,
  body: z
    .strictObject({ code: code.meta({ description: 'What the app shows now, or a recovery code.' }) })
    .meta({ id: 'RecoveryCodeWish' }),
  answer: { status: 200, description: 'The new ones.', schema: codesSchema },
  errors: ['codeWrong', 'loginThrottled'],
  example: { body: { code: '123456' } },
  deed: ({ caller }) => factorDeed(targetOf(caller), 'recovery codes renewed'),
  handle: async ({ services: { secondFactors }, caller, source, body }) => {
    const account = accountOf(caller)
    await secondFactors.pass(account, body.code, source)
    return { body: { recoveryCodes: await secondFactors.renewRecoveryCodes(account) } }
  },
})

export const removeOwnSecondFactor = operation({
  id: 'removeOwnSecondFactor',
  method: 'POST',
  path: '/me/second-factor/remove',
  tag,
  summary: 'Remove your own second factor',
  description: 'The password alone opens the account again. All sessions but the one that the request comes from end.',
  right: ownCredentials,
  body: z
    .strictObject({ password, code: code.meta({ description: 'What the app shows now, or a recovery code.' }) })
    .meta({ id: 'SecondFactorRemoval' }),
  answer: { status: 204, description: 'It is gone.' },
  errors: ['codeWrong', 'loginThrottled'],
  example: { body: { password: 'correct horse battery', code: '123456' } },
  deed: ({ caller }) => factorDeed(targetOf(caller), 'removed'),
  handle: async ({ services: { authenticator, secondFactors }, caller, source, body }) => {
    const account = accountOf(caller)
    await authenticator.checkPassword(account.name, body.password, source)
    await secondFactors.pass(account, body.code, source)
    await secondFactors.disable(account, keptBy(caller))
    return { body: undefined }
  },
})

/** @throws {RegistryError} unauthenticated: nobody in particular, such as the operator of a data folder */
function accountOf(caller: Caller): Account {
  nameOf(caller)
  const { identity } = caller
  if (identity.kind !== 'account') throw new RegistryError('internal', { cause: new Error('a caller with a name is no account') })
  return identity.account
}

/** The session that outlives the change. */
function keptBy({ sessionId }: Caller): { keptSessionId?: number } {
  return sessionId === undefined ? {} : { keptSessionId: sessionId }
}

/** The account that a deed is about; empty for nobody, who is refused. */
function targetOf({ identity }: Caller): string {
  return identity.kind === 'account' ? identity.account.name : ''
}

function factorDeed(target: string, change: string): Deed {
  return { action: 'user-second-factor', target, detail: { change } }
}

function ownFactor(): RegistryError {
  const message = 'this is your own second factor: remove it at /api/v1/me/second-factor/remove, with your password and a code'
  return new RegistryError('denied', { message })
}
