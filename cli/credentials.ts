/**
 * What is pasted where a machine signs in: a robot's name and its secret, in the form that docker, Kubernetes, GitHub and GitLab
 * want. Pure; whoever prints it says that it is shown only once.
 */

export const outputForms = ['plain', 'docker-config', 'k8s-secret', 'github', 'gitlab'] as const

export type OutputForm = (typeof outputForms)[number]

export interface Credentials {
  /** Host and port, without a scheme, as clients write it in front of a repository. */
  readonly registry: string
  readonly username: string
  readonly secret: string
}

const render: Readonly<Record<OutputForm, (credentials: Credentials) => string>> = {
  plain: ({ registry, username, secret }) =>
    lines(
      `registry  ${registry}`,
      `username  ${username}`,
      `password  ${secret}`,
      '',
      `docker login ${registry} --username ${username} --password-stdin`,
    ),
  'docker-config': (credentials) => lines(dockerConfig(credentials, 2)),
  'k8s-secret': kubernetesSecret,
  github: gitHubStep,
  gitlab: gitLabVariables,
}

/** Text that ends in a line break. */
export function renderCredentials(form: OutputForm, credentials: Credentials): string {
  return render[form](credentials)
}

/** The content of `~/.docker/config.json`. */
function dockerConfig({ registry, username, secret }: Credentials, indent?: number): string {
  const auth = Buffer.from(`${username}:${secret}`).toString('base64')
  return JSON.stringify({ auths: { [registry]: { auth } } }, null, indent)
}

function kubernetesSecret(credentials: Credentials): string {
  // The name of an object in Kubernetes has no underscore.
  const name = `lanyard-${credentials.username.replaceAll(/_+/g, '-')}`
  return lines(
    '# kubectl apply -f this-file.yaml, then in the pod or its service account:',
    `#   imagePullSecrets: [{ name: ${name} }]`,
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    `  name: ${name}`,
    'type: kubernetes.io/dockerconfigjson',
    'data:',
    `  .dockerconfigjson: ${Buffer.from(dockerConfig(credentials)).toString('base64')}`,
  )
}

/** The secret stays out of the workflow, which is in the repository. */
function gitHubStep({ registry, username, secret }: Credentials): string {
  return lines(
    '# Settings > Secrets and variables > Actions > New repository secret:',
    '#   name    LANYARD_TOKEN',
    `#   secret  ${secret}`,
    '# and in the workflow, among the steps of a job:',
    `- name: Sign in to ${registry}`,
    '  uses: docker/login-action@v3',
    '  with:',
    `    registry: '${registry}'`,
    `    username: '${username}'`,
    '    password: ${{ secrets.LANYARD_TOKEN }}',
  )
}

/** DOCKER_AUTH_CONFIG is what the runner itself pulls a job's image with. */
function gitLabVariables(credentials: Credentials): string {
  return lines(
    '# Settings > CI/CD > Variables; mask LANYARD_TOKEN and DOCKER_AUTH_CONFIG',
    `LANYARD_REGISTRY=${credentials.registry}`,
    `LANYARD_USERNAME=${credentials.username}`,
    `LANYARD_TOKEN=${credentials.secret}`,
    `DOCKER_AUTH_CONFIG=${dockerConfig(credentials)}`,
    '# and in .gitlab-ci.yml, where a job runs docker itself:',
    '#   before_script:',
    '#     - echo "$LANYARD_TOKEN" | docker login "$LANYARD_REGISTRY" --username "$LANYARD_USERNAME" --password-stdin',
  )
}

function lines(...texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('')
}
