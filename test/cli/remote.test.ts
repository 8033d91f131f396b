/** `lanyard repo` and `lanyard tag`: the same on the data folder and on a running registry, with a token or a password. */
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { formatBytes, printable } from '../../cli/terminal.ts'
import { basic, Client, expectStatus, type PushedImage } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

suite('repo and tag', () => {
  const ends: (() => unknown)[] = []
  let registry: TestRegistry
  let local: CommandLine
  let remote: CommandLine
  let images: { one: PushedImage; two: PushedImage }

  before(async () => {
    registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
    local = commandLine(registry.data)
    // No folder: what it does, it does over HTTP.
    remote = commandLine(undefined)
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  const places = ['local', 'remote'] as const
  /** Runs the same command in a place, signed in as the administrator where that is needed. */
  const at = (place: (typeof places)[number]) => {
    const signIn = ` --server ${registry.url} --user admin`
    return {
      does: (args: string) => (place === 'local' ? local.does(args) : remote.does(`${args}${signIn}`, `${adminPassword}\n`)),
      refuses: (args: string) => (place === 'local' ? local.refuses(args) : remote.refuses(`${args}${signIn}`, `${adminPassword}\n`)),
    }
  }

  for (const place of places) {
    test(`${place}: repositories are listed by what is asked for, shown, changed and removed`, async () => {
      const lanyard = at(place)
      const client = new Client(registry)
      for (const name of [`${place}/a`, `${place}/b`]) await client.pushImage(name, 'v1')
      const namesOf = async (flags: string) =>
        (JSON.parse(await lanyard.does(`repo list --json ${flags}`)) as { name: string }[]).map(({ name }) => name)
      assert.deepEqual(await namesOf(`--namespace ${place}`), [`${place}/a`, `${place}/b`])
      assert.deepEqual(await namesOf(`--filter ${place}/b`), [`${place}/b`])
      assert.equal(await lanyard.does(`repo visibility ${place}/b internal`), `${place}/b is internal now\n`)
      assert.deepEqual(await namesOf(`--visibility internal --namespace ${place}`), [`${place}/b`])
      assert.match(
        await lanyard.does(`repo show ${place}/b`),
        new RegExp(
          `^NAME +${place}/b\nVISIBILITY +internal\nDESCRIPTION\nCREATED +\\S+Z\nBYTES +\\d+\nBLOBS +2\nMANIFESTS +1\nSHARED BYTES +\\d+\nFREED IF DELETED +\\d+\n$`,
        ),
      )
      assert.equal(
        await lanyard.refuses(`repo visibility ${place}/b public`),
        `anyone who reaches the registry may then pull ${place}/b: add --yes if that is what you want`,
      )
      assert.equal(await lanyard.does(`repo visibility ${place}/b public --yes`), `${place}/b is public now\n`)
      assert.match(
        await lanyard.refuses(`repo delete ${place}/b`),
        new RegExp(
          `^this removes ${place}/b with all its tags and manifests; that frees \\d+ bytes, .*: add --yes if that is what you want`,
        ),
      )
      assert.match(await lanyard.does(`repo delete ${place}/b --yes`), new RegExp(`^${place}/b is gone; "lanyard trash list"`))
      const unknown = `there is no repository ${place}/b: it comes to be with the first push`
      for (const command of ['show', 'delete --yes']) assert.equal(await lanyard.refuses(`repo ${command} ${place}/b`), unknown)
      assert.equal((await client.call('GET', `/v2/${place}/b/manifests/v1`)).status, 404)
    })

    test(`${place}: tags are listed, shown, set, removed, and tell what they were`, async () => {
      const lanyard = at(place)
      const client = new Client(registry)
      const name = `${place}/tags`
      images = { one: await client.pushImage(name, 'v1', ['1']), two: await client.pushImage(name, 'v2', ['2']) }
      const [head = '', ...rows] = (await lanyard.does(`tag list ${name}`)).trimEnd().split('\n')
      assert.match(head, /^TAG +DIGEST +SIZE +PLATFORMS +PUSHED BY +PUSHED AT$/)
      assert.deepEqual(
        rows.map((row) => row.split(/ {2,}/).toSpliced(2, 1).slice(0, 4)),
        [
          ['v1', images.one.digest, 'linux/amd64', 'admin'],
          ['v2', images.two.digest, 'linux/amd64', 'admin'],
        ],
      )
      assert.equal(await lanyard.does(`tag set ${name} latest v1`), `${name}:latest is ${images.one.digest} now\n`)
      assert.equal(await lanyard.does(`tag set ${name} latest ${images.two.digest}`), `${name}:latest is ${images.two.digest} now\n`)
      const shown = await lanyard.does(`tag show ${name} latest`)
      for (const text of [`LAYER +${images.two.layers[0]} +1 B`, 'PLATFORMS +linux/amd64', 'TAGS +latest, v2'])
        assert.match(shown, new RegExp(`^${text}$`, 'm'))
      const whole = JSON.parse(await lanyard.does(`tag show ${name} latest --json`)) as { digest: string; manifest: { tags: string[] } }
      assert.deepEqual([whole.digest, whole.manifest.tags], [images.two.digest, ['latest', 'v2']])
      assert.match(
        await lanyard.refuses(`tag delete ${name} latest`),
        /^this removes the tag latest of \S+, which is sha256:\w+: add --yes if that is what you want$/,
      )
      assert.equal(await lanyard.does(`tag delete ${name} latest --yes`), `${name}:latest is gone\n`)
      const history = JSON.parse(await lanyard.does(`tag history ${name} latest --json`)) as { digest: string; setBy: string | null }[]
      const by = place === 'local' ? null : 'admin'
      assert.deepEqual(
        history.map(({ digest, setBy }) => [digest, setBy]),
        [
          [images.two.digest, by],
          [images.one.digest, by],
        ],
      )
      assert.match(await lanyard.does(`tag history ${name} latest`), /^SINCE +UNTIL +DIGEST +SET BY +ENDED BY\n/)
      assert.equal(await lanyard.refuses(`tag show ${name} latest`), 'the repository has no tag latest')
      assert.match(await lanyard.refuses(`tag set ${name} x ${images.one.config}`), /^the repository has no manifest sha256:/)
    })
  }

  test('a token signs in, from the environment or a flag; nobody and a wrong password are told so', async () => {
    await registry.addUser('alice')
    await new Client(registry, basic('alice')).pushImage('alice/app', 'v1')
    const scope = 'scope=repository:alice/app:pull'
    const answer = await expectStatus(await new Client(registry, basic('alice')).call('GET', `/token?service=lanyard&${scope}`), 200)
    const { token } = JSON.parse(answer.bytes.toString()) as { token: string }
    const command = `tag list alice/app --json --server ${registry.url}`
    const withToken = commandLine(undefined, { TOKEN: token })
    assert.equal(await withToken.does(command), await remote.does(`${command} --token ${token}`))
    assert.match(await remote.refuses(command), /^authentication required: log in to pull alice\/app$/)
    assert.equal(await remote.refuses(`${command} --token no-token`), 'the token is expired or not valid: log in again')
    assert.equal(await remote.refuses(`${command} --user alice`, 'wrong\n'), 'incorrect username or password')
    assert.match(
      await withToken.refuses(`repo delete alice/app --yes --server ${registry.url}`),
      /token of the registry protocol does not open this/,
    )
  })

  test('a token in the environment is no setting, and keeps no other command from its work', async () => {
    assert.match(await commandLine(registry.data, { TOKEN: 'something' }).does('user list'), /^NAME/)
  })

  test('what cannot be said to a server is refused in one sentence', async () => {
    assert.equal(
      await remote.refuses('repo list --server registry'),
      '--server is an address such as https://registry.example.com, not "registry"',
    )
    assert.match(await remote.refuses('repo list --server http://127.0.0.1:1'), /^http:\/\/127\.0\.0\.1:1 cannot be reached: .{5,}$/)
    assert.equal(await local.refuses('repo list --user alice'), '--token and --user go with --server: the data folder asks nobody')
    assert.equal(await remote.refuses(`repo list --server ${registry.url} --user a --token b`), 'give --token or --user, not both')
  })

  test('no redirect is followed: credentials go to the server that was named alone', async (t) => {
    const asked: (string | undefined)[] = []
    const elsewhere = await listen(t, (request, response) => {
      asked.push(request.headers.authorization)
      response.end('{}')
    })
    const server = await listen(t, (_request, response) => response.writeHead(307, { Location: `${elsewhere}/api/v1/repositories` }).end())
    assert.equal(
      await remote.refuses(`repo list --server ${server} --token secret`),
      `${server} answered 307, which is no answer of a Lanyard registry`,
    )
    assert.deepEqual(asked, [])
  })
})

async function listen(t: { after: (end: () => void) => void }, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('what a terminal would obey is not printed', () => {
  assert.equal(printable('a\u001b[2Jb\u202ec\u009bd\ne'), 'a\ufffd[2Jb\ufffdc\ufffdd\ufffde')
  assert.equal(printable('ä 漢 🐳'), 'ä 漢 🐳')
})

test('sizes are printed as people read them', () => {
  assert.deepEqual([0, 1, 1023, 1024, 1536, 5 * 1024 ** 2, 3 * 1024 ** 5].map(formatBytes), [
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '5.0 MiB',
    '3072.0 TiB',
  ])
})
