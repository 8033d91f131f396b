/**
 * A process that writes, for the tests with two of them: each write is a blob and a move of one tag that all processes share.
 * Arguments: where the database is, the repository's id, a name for this writer, how many writes.
 */
import { parseTag } from '../../../oci/reference.ts'
import { putBlob } from '../../../storage/metadata/blobs.ts'
import { Database } from '../../../storage/metadata/database.ts'
import { setTag } from '../../../storage/metadata/tags.ts'
import { sha256Of } from '../../support/metadata-rows.ts'

const [location = '', repositoryId = '', writer = '', count = ''] = process.argv.slice(2)
const database = Database.open(location)
let written = 0
for (let index = 0; index < Number(count); index++) {
  const digest = sha256Of(`${writer} ${index}`)
  await database[index % 5 === 0 ? 'write' : 'writeRelaxed'](async (tx) => {
    await putBlob(tx, { digest, sizeBytes: 1, nowMs: index })
    await setTag(tx, { repositoryId: Number(repositoryId), tag: parseTag('latest'), digest, nowMs: index, by: writer })
  })
  written++
}
await database.close()
process.stdout.write(JSON.stringify({ written }))
