/**
 * `/v2/`, by which clients learn that a registry is here and how to sign in, and the list of extensions.
 */
import { replyJson } from '../http/reply.ts'
import type { Handler } from '../http/exchange.ts'

/** Spec: distribution-spec v1.1.1, "Determining Support" (end-1). */
export const getBase: Handler<'base'> = ({ ctx }) => replyJson(ctx, {})

/** Spec: distribution-spec v1.1.1, extensions/_oci.md */
export const getExtensions: Handler<'extensions'> = ({ ctx }) => {
  const extension = {
    name: '_oci',
    url: 'https://github.com/opencontainers/distribution-spec/blob/v1.1.1/extensions/_oci.md',
    description: 'extension discovery',
    endpoints: ['_oci/ext/discover'],
  }
  replyJson(ctx, { extensions: [extension] })
}
