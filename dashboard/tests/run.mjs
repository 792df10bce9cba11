// Compile each *.test.ts with what it imports, and run all of them in node. No DOM, no framework.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const here = dirname(fileURLToPath(import.meta.url))
const out = join(here, '..', 'node_modules', '.tests')
const names = readdirSync(here).filter((name) => name.endsWith('.test.ts'))

await build({
  root: here,
  configFile: false,
  logLevel: 'error',
  build: {
    ssr: true,
    outDir: out,
    emptyOutDir: true,
    rollupOptions: { input: names.map((name) => join(here, name)) },
  },
})
const files = names.map((name) => join(out, name.replace(/\.ts$/, '.js')))
process.exit(spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status)
