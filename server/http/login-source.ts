/**
 * Where the credentials of a request come from, for the throttling of logins. Made for every request, looked at only when a
 * password is checked.
 */
import type { LoginSource } from '../../auth/login-attempts.ts'
import type { Services } from '../services.ts'
import type { Context } from './exchange.ts'

export function sourceOf(ctx: Context, services: Pick<Services, 'origins'>): LoginSource {
  const { req } = ctx
  return {
    get address() {
      return services.origins.clientAddress(req)
    },
    connection: req.socket,
  }
}
