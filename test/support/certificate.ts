/** Certificates made on the spot for 127.0.0.1 and localhost, and a look at the one that a server shows. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { generate } from 'selfsigned'

export interface Certificate {
  /** PEM texts. */
  readonly cert: string
  readonly key: string
}

export async function makeCertificate(): Promise<Certificate> {
  const subjectAltName = {
    name: 'subjectAltName' as const,
    altNames: [
      { type: 2 as const, value: 'localhost' },
      { type: 7 as const, ip: '127.0.0.1' },
    ],
  }
  const pems = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'basicConstraints', cA: true, critical: true }, subjectAltName],
  })
  return { cert: pems.cert, key: pems.private }
}

/** Writes the pair into a folder and returns the settings that name it. */
export function writeCertificate(folder: string, { cert, key }: Certificate): { TLS_CERTIFICATE: string; TLS_KEY: string } {
  const files = { TLS_CERTIFICATE: join(folder, 'tls.crt'), TLS_KEY: join(folder, 'tls.key') }
  writeFileSync(files.TLS_CERTIFICATE, cert)
  writeFileSync(files.TLS_KEY, key)
  return files
}

/** Whether a new connection to this port is answered with exactly this certificate, for a client that trusts nothing else. */
export async function showsCertificate(port: number, { cert }: Certificate): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port, ca: cert, ALPNProtocols: ['h2', 'http/1.1'] })
  try {
    await once(socket, 'secureConnect')
    return socket.authorized && socket.alpnProtocol === 'http/1.1'
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
