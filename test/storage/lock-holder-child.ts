/** A process that holds a data folder until it is killed. Arguments: the folder, the address it says that it listens on. */
import { DataFolderLock } from '../../storage/data-folder-lock.ts'
import { dataLayout } from '../../storage/layout.ts'

const [root = '', listen = ''] = process.argv.slice(2)
const lock = DataFolderLock.acquire(dataLayout(root), listen)
process.stdout.write('held\n')
process.stdin.on('data', () => {
  lock.release()
  process.stdout.write('released\n')
})
