/** A monitor, an agent and runs as their users have them: processes of their own, in a home of their own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const fedforge = process.env.FEDFORGE_BIN ?? join(root, '.venv/bin/fedforge')

/** Real images and weights, where this machine has them. */
function real(variable: string, beside: string, file: string): string | null {
  const folder = process.env[variable] ?? resolve(root, '../shared', beside)
  return existsSync(join(folder, file)) ? folder : null
}
export const realData = real('FEDFORGE_REAL_DATA', 'data/medmnist', 'bloodmnist.npz')
export const realBackbone = real('FEDFORGE_REAL_BACKBONE', 'models/deit-tiny-patch16-224', 'model.safetensors')

async function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer().on('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (typeof address === 'object' && address !== null ? found(address.port) : failed()))
    })
  })
}

export class Monitor {
  readonly home = mkdtempSync(join(tmpdir(), 'fedforge-'))
  url = ''
  private port = 0
  private readonly processes = new Map<string, ChildProcess>()
  private readonly token: string | undefined

  constructor(token?: string) {
    this.token = token
  }

  async start(): Promise<void> {
    this.port ||= await freePort()
    this.url = `http://127.0.0.1:${this.port}`
    this.spawn('monitor', ['monitor', '--port', String(this.port)])
    await this.until(async () => (await fetch(`${this.url}/api/ready`)).ok)
  }

  /** As a machine that loses its power. */
  kill(): Promise<void> {
    return this.end('monitor', 'SIGKILL')
  }

  /** Carries out what is asked for here. */
  agent(): void {
    const offered = [
      ...(realData === null ? [] : ['--offer-data', `medmnist=${realData}`]),
      ...(realBackbone === null ? [] : ['--offer-backbone', `deit=${realBackbone}`]),
    ]
    this.spawn('agent', ['agent', '--monitor', this.url, ...offered])
  }

  /** A run from the command line. */
  run(runId: string, ...options: string[]): void {
    const standard = ['--data', 'phantom', '--backbone', 'untrained', '--clients', '3', '--set', 'dataset.limit=240']
    this.spawn(runId, ['run', 'blood', '--run-id', runId, '--monitor', this.url, ...standard, ...options])
  }

  async get<T>(path: string): Promise<T> {
    const headers: Record<string, string> = this.token === undefined ? {} : { Authorization: `Bearer ${this.token}` }
    const answer = await fetch(`${this.url}${path}`, { headers })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as T
  }

  async post(path: string, body: unknown): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  /** The state that a run comes to. */
  async comesTo(runId: string, ...states: string[]): Promise<string> {
    let state = ''
    await this.until(async () => {
      state = (await this.get<{ state: string }>(`/api/runs/${runId}`)).state
      return states.includes(state)
    })
    return state
  }

  async until(holds: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + Number(process.env.FEDFORGE_TEST_PATIENCE ?? 600) * 1000
    for (;;) {
      const held = await holds().catch(() => false)
      if (held) return
      if (Date.now() > end) throw new Error(`it does not come to be. The processes said:\n${this.said()}`)
      await new Promise((passed) => setTimeout(passed, 100))
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.processes.keys()].map((name) => this.end(name, 'SIGTERM')))
    rmSync(this.home, { recursive: true, force: true })
  }

  private spawn(name: string, words: string[]): void {
    const log = join(this.home, `${name}.log`)
    const environment: NodeJS.ProcessEnv = { ...process.env, FEDFORGE_HOME: join(this.home, 'home') }
    delete environment.PYTHONDONTWRITEBYTECODE
    if (this.token !== undefined) environment.FEDFORGE_MONITOR_TOKEN = this.token
    const command = [fedforge, ...words].map((word) => `'${word}'`).join(' ')
    const child = spawn('/bin/sh', ['-c', `exec ${command} >> '${log}' 2>&1`], { cwd: this.home, env: environment })
    this.processes.set(name, child)
  }

  private async end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.processes.get(name)
    this.processes.delete(name)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((ended) => child.once('exit', ended))
    child.kill(signal)
    const force = setTimeout(() => child.kill('SIGKILL'), 60_000)
    await gone
    clearTimeout(force)
  }

  private said(): string {
    return [...this.processes.keys(), 'monitor']
      .map((name) => join(this.home, `${name}.log`))
      .filter((path) => existsSync(path))
      .map((path) => `${path}:\n${readFileSync(path, 'utf8').slice(-2_000)}`)
      .join('\n')
  }
}
